"""What a forward pass tells of a pair besides its rewards: the head along the tokens, the distance layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from normbt_lab.data.batches import PairBatch
    from normbt_lab.data.tokenization import TokenizedPair

MOST_COMPARED = 1000
"""Tokens of each answer that are compared once the answers part: it takes time that grows with the product of both."""


BROKEN = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer decodes a part of a letter to."""


class TracedToken(NamedTuple):
    """A token of an answer, what the score head says there, and whether the other answer has it in its place."""

    text: str
    reward: float
    differs: bool


class LayerDistance(NamedTuple):
    """How far apart two answers lie after a layer, at the tokens where their rewards are read."""

    name: str
    distance: float
    relative: float
    """The distance over the mean length of the two vectors: lengths grow from layer to layer, this does not."""


@dataclass(frozen=True)
class Trace:
    """One pair on its way through one model.

    Attributes:
        chosen: The tokens of the chosen sequence, prompt included.
        rejected: The same for the other.
        shared: So many of these are the same in both from the start on.
        layers: Distances from the embedding to the representation that the score head reads; empty where the layers of
            the model are not found.
    """

    chosen: list[TracedToken]
    rejected: list[TracedToken]
    shared: int
    layers: list[LayerDistance]


def trace_of(
    tokens: TokenizedPair, tokenizer: PreTrainedTokenizerBase, scores: Tensor, states: Sequence[Tensor]
) -> Trace:
    """The trace from what a forward pass over the two sequences left.

    Args:
        tokens: The pair's tokens.
        tokenizer: What their texts come from.
        scores: Output of the score head at every token, shape (2, tokens), chosen first, padded on the right.
        states: From `pooled_states`, and last the representations: each of shape (2, hidden).
    """
    ids = (tokens.chosen_ids, tokens.rejected_ids)
    differs = differing(*ids)
    chosen, rejected = (
        [
            TracedToken(*token)
            for token in zip(token_texts(tokenizer, ids[row]), scores[row].tolist(), differs[row], strict=False)
        ]
        for row in (0, 1)
    )
    return Trace(chosen, rejected, _shared_start(*ids), _layer_distances(states))


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """The text that each token adds to those before it; a letter spread over several tokens stands at its last one.

    Example:
        >>> from normbt_lab.backbones import load_tokenizer, resolve_backbone
        >>> tokenizer = load_tokenizer(resolve_backbone("tiny-random"))
        >>> "".join(token_texts(tokenizer, tokenizer("It is 4.")["input_ids"]))
        'It is 4.'
    """
    texts: list[str] = []
    start = 0  # each token is read after the one before it: some tokenizers drop the space before a first token
    is_open = False  # within a letter
    for end in range(1, len(ids) + 1):
        before = tokenizer.decode(ids[start : end - 1]).rstrip(BROKEN)
        text = tokenizer.decode(ids[start:end])
        was_open, is_open = is_open, text.endswith(BROKEN) and end < len(ids)
        texts.append("" if is_open else text[len(before) :])
        if not is_open:
            start = end if was_open else end - 1  # the last part of a letter is no text to start from
    return texts


def differing(chosen: Sequence[int], rejected: Sequence[int]) -> tuple[list[bool], list[bool]]:
    """For each token of both sides, whether the other side has none like it in its place.

    Behind the first `MOST_COMPARED` tokens after the two part, nothing is marked.

    Example:
        >>> differing([5, 6, 7, 9], [5, 8, 7, 9])
        ([False, True, False, False], [False, True, False, False])
    """
    from difflib import SequenceMatcher

    part = _shared_start(chosen, rejected)
    compared = (chosen[part : part + MOST_COMPARED], rejected[part : part + MOST_COMPARED])
    marks = ([True] * len(compared[0]), [True] * len(compared[1]))
    for start, other_start, size in SequenceMatcher(None, *compared, autojunk=False).get_matching_blocks():
        marks[0][start : start + size] = [False] * size
        marks[1][other_start : other_start + size] = [False] * size

    def within(answer: Sequence[int], found: list[bool]) -> list[bool]:
        return [False] * part + found + [False] * (len(answer) - part - len(found))

    return within(chosen, marks[0]), within(rejected, marks[1])


def _shared_start(chosen: Sequence[int], rejected: Sequence[int]) -> int:
    pairs = zip(chosen, rejected, strict=False)
    return next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(chosen), len(rejected)))


@contextmanager
def pooled_states(model: nn.Module, batch: PairBatch) -> Iterator[list[Tensor]]:
    """What enters the first layer and leaves each layer in one forward pass, at the two pooled tokens of a pair.

    Only these two vectors of a layer are kept: all hidden states of a long pair would take hundreds of megabytes.

    Args:
        model: A sequence classifier, plain or wrapped by PEFT.
        batch: One pair in the padded layout.
    """
    import torch

    states: list[Tensor] = []

    def keep(hidden: Tensor) -> None:
        states.append(torch.cat(batch.pool(hidden)).float())

    layers = _layers(model)
    handles = [layer.register_forward_hook(lambda _module, _inputs, output: keep(_tensor(output))) for layer in layers]
    if layers:
        handles.append(
            layers[0].register_forward_pre_hook(
                lambda _module, inputs, named: keep(inputs[0] if inputs else named["hidden_states"]), with_kwargs=True
            )
        )
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _layers(model: Any) -> list[nn.Module]:
    """The layers of the language model: the list of modules that is as long as its configuration says."""
    from torch import nn

    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count)
    return list(next(lists, []))


def _tensor(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _layer_distances(states: Sequence[Tensor]) -> list[LayerDistance]:
    if len(states) < 2:
        return []
    names = ["embedding", *(f"layer {number}" for number in range(len(states) - 2)), "final norm"]
    found = []
    for name, (chosen, rejected) in zip(names, states, strict=True):
        distance = (chosen - rejected).norm().item()
        length = (chosen.norm().item() + rejected.norm().item()) / 2
        found.append(LayerDistance(name, distance, distance / length if length else 0.0))
    return found
