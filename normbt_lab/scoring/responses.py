"""Rewards of all responses to a question, as benchmarks and best-of-n need them, by the pass that scores pairs.

Responses go through `score_pairs` two by two, as if they were pairs of which only the rewards are read; in the
shared-prefix layout, a prompt is computed once per couple.

A reward comes from a float32 sum whose last bits depend on the shape of the batch. So responses of a question that are
the same tokens are scored once and share the reward: their tie is exact, whatever they are batched with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from normbt_lab.data.pairs import PreferencePair, Text
from normbt_lab.data.rejects import Reason, RejectLog
from normbt_lab.data.tokenization import UntokenizablePair, tokenize_pair
from normbt_lab.scoring.score import longest_sequence, score_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from normbt_lab.model import RewardModel


@dataclass(frozen=True)
class Question:
    """A prompt and responses to it, one or more.

    Attributes:
        prompt: What was asked: text, or the conversation so far.
        responses: What was answered.
        origin: Where it was read, for messages.
        row: The record as it was read, for the log of rejects.
    """

    prompt: Text
    responses: Sequence[Text]
    origin: str | None = None
    row: Mapping[str, Any] = field(default_factory=dict)


class ScoredResponse(NamedTuple):
    """What is known of a response once it is scored.

    Attributes:
        reward: Log-odds (nats).
        tokens: Its length, prompt included.
        truncated: Whether it was cut to that length.
    """

    reward: float
    tokens: int
    truncated: bool


def score_responses(
    reward_model: RewardModel,
    questions: Sequence[Question],
    *,
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    rejects: RejectLog | None = None,
    progress: bool = False,
) -> list[list[ScoredResponse] | None]:
    """For each question its scored responses, in order; None where one of them is refused.

    Args:
        reward_model: From `load_reward_model`.
        questions: Prompts with their responses.
        batch_size: Most couples of responses in one forward pass; changes speed only.
        max_length: As in `score_pairs`: longer responses are cut on the right.
        layout: As in `score_pairs`: whether what two responses share is computed once.
        rejects: Where questions that the tokenizer refuses are counted.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: A reward is not a finite number.
        UsageError: A batch size or length out of range, or a layout that the model does not support.
    """
    rejects = rejects or RejectLog()
    longest = longest_sequence(reward_model, max_length)
    stands_for: list[list[int]] = []
    couples: list[tuple[int, int, int]] = []
    for number, question in enumerate(questions):
        ids = _token_ids_or_none(question, reward_model.tokenizer, longest, rejects)
        stands_for.append([ids.index(one) for one in ids])  # for each response, the first that is the same tokens
        couples += [(number, first, second) for first, second in _couples(_longest_first(stands_for[-1], ids))]
    pairs = [_as_pair(questions[number], first, second) for number, first, second in couples]
    found: dict[tuple[int, int], ScoredResponse] = {}
    for record in score_pairs(
        reward_model,
        pairs,
        batch_size=batch_size,
        max_length=max_length,
        layout=layout,
        rejects=rejects,
        progress=progress,
    ):
        number, first, second = couples[record.index]
        found[number, first] = ScoredResponse(record.reward_chosen, record.tokens_chosen, record.truncated_chosen)
        found[number, second] = ScoredResponse(
            record.reward_rejected, record.tokens_rejected, record.truncated_rejected
        )
    return [
        [found[number, position] for position in positions]
        if positions and all((number, position) in found for position in positions)
        else None
        for number, positions in enumerate(stands_for)
    ]


def response_token_ids(question: Question, tokenizer: PreTrainedTokenizerBase, longest: int) -> list[tuple[int, ...]]:
    """Token ids of each response with its prompt, as the model sees them: template, special tokens and cut included.

    Args:
        question: The question.
        tokenizer: The model's.
        longest: Most tokens; what is longer is cut on the right.

    Raises:
        UntokenizablePair: The tokenizer or its chat template refuses a response.
    """
    ids: list[tuple[int, ...]] = []
    for first, second in _couples(range(len(question.responses))):
        tokens = tokenize_pair(_as_pair(question, first, second), tokenizer, longest, overlong="truncate_right")
        assert tokens is not None  # truncated, never dropped
        ids += [tuple(tokens.chosen_ids), tuple(tokens.rejected_ids)]
    return ids[: len(question.responses)]


def _token_ids_or_none(
    question: Question, tokenizer: PreTrainedTokenizerBase, longest: int, rejects: RejectLog
) -> list[tuple[int, ...]]:
    try:
        return response_token_ids(question, tokenizer, longest)
    except UntokenizablePair as error:
        rejects.reject(question.origin, Reason.NOT_TOKENIZABLE, dict(question.row), str(error))
        return []


def _longest_first(positions: Sequence[int], ids: Sequence[Sequence[int]]) -> list[int]:
    """The different positions, so that couples are of like length."""
    return sorted(set(positions), key=lambda position: (-len(ids[position]), position))


def _couples(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Positions two by two; the last of an odd number goes with itself, and both sides get one reward."""
    return [(position, positions[min(i + 1, len(positions) - 1)]) for i, position in enumerate(positions) if i % 2 == 0]


def _as_pair(question: Question, first: int, second: int) -> PreferencePair:
    responses = question.responses
    return PreferencePair(
        question.prompt, responses[first], responses[second], origin=question.origin, row=question.row
    )
