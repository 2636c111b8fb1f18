"""Accuracy overall, by category and by representation distance, beside what the length of a response alone would give.

By distance, because that is where Bradley-Terry and NormBT part: close pairs get small Bradley-Terry gradients
(paper, section 3.2 and figure 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normbt_lab.data.formats import CATEGORY_SUBSETS
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.intervals import bootstrap_interval

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair

UNCATEGORISED = "uncategorised"
"""Where pairs without a category are counted when others have one."""


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
        categories={name: result(members) for name, members in _by_category(categories).items()},
        distance_bins=[DistanceBin(low, high, result(members)) for low, high, members in _by_distance(distances, bins)],
    )


def bin_names(bins: int) -> list[str]:
    """What distance bins are called, from closest to farthest.

    Example:
        >>> bin_names(3)
        ['1 of 3 (closest)', '2 of 3', '3 of 3 (farthest)']
    """
    if bins == 1:
        return ["all distances"]
    names = [f"{i} of {bins}" for i in range(1, bins + 1)]
    return [f"{names[0]} (closest)", *names[1:-1], f"{names[-1]} (farthest)"]


def in_usual_order(categories: Iterable[str]) -> list[str]:
    """Categories in the order they always have: RewardBench's four, then others by name.

    Example:
        >>> in_usual_order(["poetry", "reasoning", "chat"])
        ['chat', 'reasoning', 'poetry']
    """
    known = list(CATEGORY_SUBSETS)
    return sorted(set(categories), key=lambda name: (known.index(name) if name in known else len(known), name))


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


def _by_category(categories: Sequence[str | None]) -> dict[str, np.ndarray]:
    if not any(categories):
        return {}
    # As objects: a column of text would take the room of the longest name in every row, and cut NULs at the end.
    named = np.array([name or UNCATEGORISED for name in categories], dtype=object)
    return {name: np.flatnonzero(named == name) for name in in_usual_order(named.tolist())}


def _by_distance(distances: np.ndarray, bins: int) -> list[tuple[float, float, np.ndarray]]:
    """Edges and members of each quantile bin; equal edges fall together, so no bin is empty."""
    edges = np.unique(np.quantile(distances, np.linspace(0, 1, bins + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    bin_of = np.searchsorted(edges[1:-1], distances, side="right")  # an inner edge belongs to the bin above it
    members = [np.flatnonzero(bin_of == i) for i in range(len(edges) - 1)]
    return [(float(edges[i]), float(edges[i + 1]), found) for i, found in enumerate(members) if len(found)]
