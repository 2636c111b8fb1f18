"""What one run says of one split: a few plain numbers per pair, small enough to keep for every run of a suite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normbt_lab.evaluation.groups import in_usual_order

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair


@dataclass(frozen=True)
class SplitScores:
    """Columns of equal length, one entry per pair, in the order of the data.

    Attributes:
        reward_difference: Reward of chosen minus reward of rejected, log-odds.
        representation_distance: In units of h.
        category: None where the data does not say.
    """

    reward_difference: list[float]
    representation_distance: list[float]
    category: list[str | None]

    @classmethod
    def of(cls, scored: Iterable[ScoredPair]) -> SplitScores:
        """The columns of scored pairs."""
        rows = [(pair.reward_difference, pair.representation_distance, pair.category) for pair in scored]
        differences, distances, categories = zip(*rows, strict=True)
        return cls(list(differences), list(distances), list(categories))

    def correct(self) -> np.ndarray:
        """1 where chosen has the higher reward, 0 elsewhere and for a tie, shape (pairs,)."""
        return (np.array(self.reward_difference) > 0).astype(float)

    def tie_rate(self) -> float:
        """Share of pairs with exactly equal rewards."""
        return float((np.array(self.reward_difference) == 0).mean())

    def accuracy(self) -> float:
        """Share of correct pairs, a tie counted as wrong."""
        return float(self.correct().mean())

    def accuracy_by_category(self) -> dict[str, float]:
        """The same for each category, RewardBench's four first; empty where the data has none."""
        correct, categories = self.correct(), np.array([name or "" for name in self.category])
        names = in_usual_order(name for name in self.category if name)
        return {name: float(correct[categories == name].mean()) for name in names}

    def loss(self) -> float:
        """Mean plain Bradley-Terry loss (paper eq. 1), whatever the run trained on."""
        return float(np.logaddexp(0.0, -np.array(self.reward_difference)).mean())

    def to_json(self) -> dict[str, Any]:
        """The columns as one JSON object."""
        return asdict(self)
