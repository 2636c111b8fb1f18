"""The items of a benchmark with their rewards, and each response as the model saw it.

The scoring is `normbt_lab.scoring.responses`, which best-of-n uses too; here are a benchmark's own records at both ends
of it: items in, scored items out, without those of which a response is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbt_lab.data.rejects import RejectLog
from normbt_lab.evaluation.benchmarks.items import BenchmarkItem, ScoredItem
from normbt_lab.scoring.responses import Question, response_token_ids, score_responses
from normbt_lab.scoring.score import longest_sequence

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel


def score_items(
    reward_model: RewardModel,
    items: Sequence[BenchmarkItem],
    *,
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    rejects: RejectLog | None = None,
    progress: bool = False,
) -> list[ScoredItem]:
    """Each item with the rewards of its responses, in order; an item with a response that is refused is left out.

    Args:
        reward_model: From `load_reward_model`.
        items: From a benchmark's ``read``.
        batch_size: As in `score_responses`, like all that follows.
        max_length: The same.
        layout: The same.
        rejects: The same.
        progress: The same.

    Raises:
        NormBTError: A reward is not a finite number.
        UsageError: A batch size or length out of range, or a layout that the model does not support.
    """
    found = score_responses(
        reward_model,
        [_question(item) for item in items],
        batch_size=batch_size,
        max_length=max_length,
        layout=layout,
        rejects=rejects,
        progress=progress,
    )
    return [
        ScoredItem(item, *zip(*responses, strict=True))
        for item, responses in zip(items, found, strict=True)
        if responses is not None
    ]


def response_texts(reward_model: RewardModel, item: BenchmarkItem, max_length: int | None) -> list[str]:
    """Each response with its prompt, as the model saw it: template, special tokens and cut included."""
    tokenizer, longest = reward_model.tokenizer, longest_sequence(reward_model, max_length)
    return [tokenizer.decode(list(ids)) for ids in response_token_ids(_question(item), tokenizer, longest)]


def _question(item: BenchmarkItem) -> Question:
    return Question(item.prompt, item.responses, item.origin, item.row)
