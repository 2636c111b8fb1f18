"""From many pairs to their rewards and representations, once, for everything that needs no gradient of the backbone.

Under a frozen backbone the representations stay what they are, so a score head trains on them in seconds.
Derived in ``notebooks/01_bradley_terry.ipynb``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from normbt_lab.data.batches import collate_pairs
from normbt_lab.data.length_batches import TOKENS_PER_BATCH, split_by_tokens
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.tokenization import tokenize_pair
from normbt_lab.layouts import CHECKED_PAIRS, choose_layout_once
from normbt_lab.pair_bar import pair_bar
from normbt_lab.representations import PairOutputs, pair_outputs


def represent_pairs(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[PreferencePair],
    *,
    batch_size: int = 8,
    max_length: int = 1024,
    dtype: torch.dtype = torch.float32,
    average_pool: bool = False,
    layout: str = "auto",
) -> PairOutputs:
    """Rewards and representations of all pairs, in their order, on the model's device, without gradients.

    Pairs of like length share a batch, which saves padding; what a pair gets does not depend on its batch mates beyond
    rounding.

    Args:
        model: A sequence classifier with one label, plain or wrapped by PEFT.
        tokenizer: Its tokenizer.
        pairs: Pairs as text. What is longer than `max_length` is cut on the right.
        batch_size: Pairs per forward pass.
        max_length: Most tokens of a response with its prompt.
        dtype: Arithmetic of the backbone (`choose_precision`); the score head runs in float32 whatever it is.
        average_pool: Also return representations averaged over the sequence.
        layout: ``auto`` computes what both responses share once, where a check on the first pairs shows that the model
            honours it; ``shared_prefix`` insists on it; ``padded`` computes each response by itself.

    Raises:
        ValueError: No pairs, or a response that is empty or ends in the pad token.
        UsageError: No such layout, or one that the model does not support.

    Example:
        >>> from normbt_lab.backbones import load_tokenizer, resolve_backbone
        >>> from normbt_lab.model import build_reward_model
        >>> backbone = resolve_backbone("tiny-random")
        >>> pair = PreferencePair("What is 2 + 2?", "4", "5")
        >>> outputs = represent_pairs(build_reward_model(backbone), load_tokenizer(backbone), [pair, pair])
        >>> outputs.h_chosen.shape == (2, 64)
        True
    """
    if not pairs:
        raise ValueError("expected pairs to represent, got none")
    ids = [_token_ids(pair, tokenizer, max_length) for pair in pairs]
    device, pad = next(model.parameters()).device, tokenizer.pad_token_id
    chosen = choose_layout_once(model, lambda: collate_pairs(ids[:CHECKED_PAIRS], pad).to(device), layout)
    batches = split_by_tokens([chosen.slots(*pair) for pair in ids], TOKENS_PER_BATCH, batch_size)
    parts: list[PairOutputs] = []
    with pair_bar("Representing", ids) as bar:
        for members in batches:
            batch = chosen.collate([ids[i] for i in members], pad)
            with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                parts.append(pair_outputs(model, batch.to(device), average_pool))
            bar.update(len(members))
    return _in_order(parts, [i for members in batches for i in members])


def _token_ids(
    pair: PreferencePair, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[Sequence[int], Sequence[int]]:
    tokens = tokenize_pair(pair, tokenizer, max_length, overlong="truncate_right")
    assert tokens is not None  # truncated, never dropped
    return tokens.chosen_ids, tokens.rejected_ids


def _in_order(parts: Sequence[PairOutputs], positions: Sequence[int]) -> PairOutputs:
    """The batches as one, each pair back at its position in the input."""
    return PairOutputs.joined(parts).take(torch.tensor(positions).argsort())
