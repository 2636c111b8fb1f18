"""Accuracy overall, by category and by representation distance, beside what the length of a response alone would give.

By distance, because that is where Bradley-Terry and NormBT part: close pairs get small Bradley-Terry gradients
(paper, section 3.2 and figure 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.groups import UNCATEGORISED, by_category, by_distance
from normbt_lab.evaluation.intervals import bootstrap_interval

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair


@dataclass(frozen=True)
class GroupResult:
    """What was measured over a group of pairs; shares are 0 to 1.

    Attributes:
        pairs: Number of pairs.
        strict: Accuracy with a tie counted as wrong.
        half: Accuracy with a tie counted as half right.
        interval: 95 % bootstrap interval of `strict`.
        tie_rate: Share of pairs with exactly equal rewards.
        length_baseline: Accuracy of preferring the response with more tokens, equal lengths counted half.
    """

    pairs: int
    strict: float
    half: float
    interval: tuple[float, float]
    tie_rate: float
    length_baseline: float

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON object."""
        return {
            "pairs": self.pairs,
            "accuracy": {"strict": self.strict, "half": self.half, "interval": list(self.interval)},
            "tie_rate": self.tie_rate,
            "length_baseline": self.length_baseline,
        }


@dataclass(frozen=True)
class DistanceBin:
    """The pairs whose representation distance lies between two quantiles.

    Attributes:
        low: Lower edge, units of h.
        high: Upper edge; it belongs to the next bin, but for the last.
        result: What was measured over them.
    """

    low: float
    high: float
    result: GroupResult

    def to_json(self) -> dict[str, Any]:
        """The bin as one JSON object."""
        return {"low": self.low, "high": self.high, **self.result.to_json()}


@dataclass(frozen=True)
class Evaluation:
    """Accuracy of one model on one set of pairs.

    Attributes:
        overall: Over all pairs.
        categories: By category, RewardBench's four first; empty where the data has no categories.
        distance_bins: From closest to farthest, about equally many pairs in each.
        layout: How the pairs were computed, ``shared_prefix`` or ``padded``; None where that is not known.
    """

    overall: GroupResult
    categories: Mapping[str, GroupResult]
    distance_bins: Sequence[DistanceBin]
    layout: str | None = None

    @property
    def category_mean(self) -> float | None:
        """Mean of the categories' strict accuracies (decisions, point 22); None without categories."""
        accuracies = [result.strict for name, result in self.categories.items() if name != UNCATEGORISED]
        return sum(accuracies) / len(accuracies) if accuracies else None

    def to_json(self) -> dict[str, Any]:
        """The evaluation as one JSON object, as ``normbt evaluate --json`` prints it."""
        return {
            **self.overall.to_json(),
            "categories": {name: result.to_json() for name, result in self.categories.items()},
            "distance_bins": [distance_bin.to_json() for distance_bin in self.distance_bins],
            "layout": self.layout,
        }

    def table(self) -> str:
        """The evaluation for a terminal: one line per group, aligned."""
        from normbt_lab.evaluation.tables import evaluation_table

        return evaluation_table(self)


def evaluate_pairs(scored: Iterable[ScoredPair], bins: int = 5) -> Evaluation:
    """Accuracy of the model that scored these pairs.

    Args:
        scored: From `score_pairs`; read once, only numbers are kept.
        bins: Number of distance bins; fewer come back where many distances are equal.

    Raises:
        NormBTError: No pairs.
        UsageError: A number of bins below 1.
    """
    if bins < 1:
        raise UsageError(f"bins must be 1 or more; got {bins}")
    table = [
        (pair.category, pair.reward_difference, pair.representation_distance, pair.tokens_chosen - pair.tokens_rejected)
        for pair in scored
    ]
    if not table:
        raise NormBTError("nothing to evaluate: no scored pair. Is the input empty, or was every row rejected?")
    categories, *columns = zip(*table, strict=True)
    differences, distances, extra_tokens = (np.array(column, dtype=float) for column in columns)

    def result(members: np.ndarray) -> GroupResult:
        return _group_result(differences[members], extra_tokens[members])

    return Evaluation(
        overall=result(np.arange(len(table))),
        categories={name: result(members) for name, members in by_category(categories).items()},
        distance_bins=[DistanceBin(low, high, result(members)) for low, high, members in by_distance(distances, bins)],
    )


def _group_result(differences: np.ndarray, extra_tokens: np.ndarray) -> GroupResult:
    correct, tied = differences > 0, differences == 0
    return GroupResult(
        pairs=len(differences),
        strict=float(correct.mean()),
        half=float((correct + 0.5 * tied).mean()),
        interval=bootstrap_interval(correct),
        tie_rate=float(tied.mean()),
        length_baseline=float(((extra_tokens > 0) + 0.5 * (extra_tokens == 0)).mean()),
    )
