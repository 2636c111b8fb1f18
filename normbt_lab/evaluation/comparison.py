"""Two reward models on the same pairs: which is better, whether chance explains it, and on which pairs they part.

The pairs both rank alike say nothing about a difference. What is left are the disagreements, pairs that exactly one
model ranks right: their counts give McNemar's test, their representation distances the paper's figure 4, and their
texts its figure 7. A tie is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.groups import by_category, by_distance
from normbt_lab.evaluation.intervals import Estimate, paired_difference

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair


@dataclass(frozen=True)
class PairedResult:
    """Two models over one group of pairs; shares are 0 to 1.

    Attributes:
        pairs: Number of pairs.
        both: Pairs that both models rank right.
        model_only: Pairs that only the model ranks right.
        baseline_only: Pairs that only the baseline ranks right.
        gain: Accuracy of the model minus the baseline's, with the 95 % interval of the paired bootstrap.
        p_value: Of McNemar's exact test that a disagreement falls to either model alike.
    """

    pairs: int
    both: int
    model_only: int
    baseline_only: int
    gain: Estimate
    p_value: float

    @property
    def model_accuracy(self) -> float:
        """Share of pairs that the model ranks right."""
        return (self.both + self.model_only) / self.pairs

    @property
    def baseline_accuracy(self) -> float:
        """Share of pairs that the baseline ranks right."""
        return (self.both + self.baseline_only) / self.pairs

    @property
    def disagreements(self) -> int:
        """Pairs that exactly one of the two ranks right."""
        return self.model_only + self.baseline_only

    @property
    def model_share(self) -> float | None:
        """Share of the disagreements that the model wins; None without any."""
        return self.model_only / self.disagreements if self.disagreements else None

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON object."""
        return {
            "pairs": self.pairs,
            "accuracy": {"model": self.model_accuracy, "baseline": self.baseline_accuracy},
            "gain": {"mean": self.gain.mean, "interval": [self.gain.low, self.gain.high]},
            "disagreements": {
                "model_only": self.model_only,
                "baseline_only": self.baseline_only,
                "model_share": self.model_share,
            },
            "mcnemar_p_value": self.p_value,
        }


@dataclass(frozen=True)
class PairedBin:
    """The pairs whose distance lies between two quantiles.

    Attributes:
        low: Lower edge, units of h.
        high: Upper edge; it belongs to the next bin, but for the last.
        result: Both models over them.
    """

    low: float
    high: float
    result: PairedResult

    def to_json(self) -> dict[str, Any]:
        """The bin as one JSON object."""
        return {"low": self.low, "high": self.high, **self.result.to_json()}


@dataclass(frozen=True)
class Disagreement:
    """A pair that exactly one model ranks right.

    Attributes:
        distance: Between its two representations, under the model that `Comparison.distance_source` names.
        model_is_right: Whether it is the model, not the baseline, that ranks it right.
        model: The pair as the model scored it.
        baseline: The pair as the baseline scored it.
    """

    distance: float
    model_is_right: bool
    model: ScoredPair
    baseline: ScoredPair

    def to_json(self) -> dict[str, Any]:
        """The pair with its texts as one JSON object."""
        pair = self.model
        return {
            "index": pair.index,
            "origin": pair.origin,
            "category": pair.category,
            "distance": self.distance,
            "right": "model" if self.model_is_right else "baseline",
            "reward_difference": {"model": pair.reward_difference, "baseline": self.baseline.reward_difference},
            "prompt": pair.prompt,
            "chosen": pair.chosen,
            "rejected": pair.rejected,
        }


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pairs.

    Attributes:
        model: Name of the model.
        baseline: Name of what it is compared with.
        distance_source: Whose representations the distances are measured between.
        overall: Over all pairs.
        categories: By category, RewardBench's four first; empty where the data has no categories.
        distance_bins: From closest to farthest, about equally many pairs in each.
        disagreements: Pairs that exactly one model ranks right, from closest to farthest.
        layouts: How the pairs were computed, ``shared_prefix`` or ``padded``, by the model's name, where it is known.
    """

    model: str
    baseline: str
    distance_source: str
    overall: PairedResult
    categories: Mapping[str, PairedResult]
    distance_bins: Sequence[PairedBin]
    disagreements: Sequence[Disagreement]
    layouts: Mapping[str, str] = field(default_factory=dict)

    def closest(self, count: int, *, model_is_right: bool = True) -> list[Disagreement]:
        """The closest pairs that only the model, or only the baseline, ranks right (paper figure 7)."""
        return [found for found in self.disagreements if found.model_is_right is model_is_right][:count]

    def to_json(self) -> dict[str, Any]:
        """The comparison as one JSON object, as ``normbt compare --json`` prints it."""
        return {
            "model": self.model,
            "baseline": self.baseline,
            "distance_source": self.distance_source,
            **self.overall.to_json(),
            "categories": {name: result.to_json() for name, result in self.categories.items()},
            "distance_bins": [distance_bin.to_json() for distance_bin in self.distance_bins],
            "disagreeing_pairs": [found.to_json() for found in self.disagreements],
            "layouts": dict(self.layouts),
        }

    def table(self) -> str:
        """The comparison for a terminal: one line per group, then the closest pairs that one model alone gets right."""
        from normbt_lab.evaluation.comparison_tables import comparison_text

        return comparison_text(self)


def compare_models(
    model: Sequence[ScoredPair],
    baseline: Sequence[ScoredPair],
    *,
    distances: Sequence[float] | None = None,
    names: tuple[str, str] = ("model", "baseline"),
    distance_source: str | None = None,
    bins: int = 5,
) -> Comparison:
    """Which of two models ranks the same pairs better, by how much, and on which pairs.

    Bins are quantiles of the distances of all pairs, not of the disagreements alone: every bin then has as many
    chances to disagree, and its counts compare with the next bin's.

    Args:
        model: Pairs scored by the model.
        baseline: The same pairs, in the same order, scored by the baseline.
        distances: One distance per pair, units of h; the paper's figure 4 takes the base model's, before any training.
            None for those of the baseline itself.
        names: What the model and the baseline are called.
        distance_source: Whose distances they are; None for the baseline, if `distances` is None too.
        bins: Number of distance bins; fewer come back where many distances are equal.

    Raises:
        NormBTError: The two are not scores of the same pairs, there are none, or a distance is missing or not finite.
        UsageError: A number of bins below 1, or two equal names.
    """
    if bins < 1:
        raise UsageError(f"bins must be 1 or more; got {bins}")
    if names[0] == names[1]:
        raise UsageError(f"a comparison needs two names to tell the models apart; both are {names[0]!r}")
    overall = _paired_result(model, baseline)  # first, because it checks that the pairs are the same
    measured = _checked_distances(distances, baseline)

    def result(members: np.ndarray) -> PairedResult:
        return _paired_result([model[i] for i in members], [baseline[i] for i in members])

    categories = by_category([pair.category for pair in model])
    return Comparison(
        model=names[0],
        baseline=names[1],
        distance_source=distance_source or (names[1] if distances is None else "distances as given"),
        overall=overall,
        categories={name: result(members) for name, members in categories.items()},
        distance_bins=[PairedBin(low, high, result(members)) for low, high, members in by_distance(measured, bins)],
        disagreements=_disagreements(model, baseline, measured),
    )


def mcnemar_p_value(model_only: int, baseline_only: int) -> float:
    """Probability of disagreements at least as one-sided as these, if each falls to either model like a fair coin.

    It is McNemar's exact test, two-sided: twice the tail of the binomial distribution with probability 1/2, at most 1.

    Args:
        model_only: Pairs that only the first model ranks right.
        baseline_only: Pairs that only the second ranks right.

    Example:
        >>> mcnemar_p_value(5, 0)  # 2 * (1/2)^5
        0.0625
    """
    tosses = model_only + baseline_only
    term, tail = 1, 0  # whole numbers, because 2^tosses is no float from 1,024 disagreements on
    for k in range(min(model_only, baseline_only) + 1):
        tail += term  # the number of ways to choose k of the tosses
        term = term * (tosses - k) // (k + 1)
    return min(1.0, 2 * tail / 2**tosses)


def _paired_result(model: Sequence[ScoredPair], baseline: Sequence[ScoredPair]) -> PairedResult:
    gain = paired_difference(model, baseline)
    verdicts = [(ours.is_correct, theirs.is_correct) for ours, theirs in zip(model, baseline, strict=True)]
    model_only, baseline_only = verdicts.count((True, False)), verdicts.count((False, True))
    p_value = mcnemar_p_value(model_only, baseline_only)
    return PairedResult(len(verdicts), verdicts.count((True, True)), model_only, baseline_only, gain, p_value)


def _checked_distances(distances: Sequence[float] | None, baseline: Sequence[ScoredPair]) -> np.ndarray:
    if distances is None:
        distances = [pair.representation_distance for pair in baseline]
    if len(distances) != len(baseline):
        raise NormBTError(f"expected one distance per pair, {len(baseline)}; got {len(distances)}: of other pairs?")
    for pair, distance in zip(baseline, distances, strict=True):
        if not math.isfinite(distance):
            raise NormBTError(f"the distance of pair {pair.index} is {distance}, not a finite number: an overflow?")
    return np.asarray(distances, dtype=float)


def _disagreements(
    model: Sequence[ScoredPair], baseline: Sequence[ScoredPair], distances: np.ndarray
) -> list[Disagreement]:
    pairs = zip(distances.tolist(), model, baseline, strict=True)
    differ = (ours.is_correct != theirs.is_correct for ours, theirs in zip(model, baseline, strict=True))
    found = [
        Disagreement(distance, ours.is_correct, ours, theirs) for distance, ours, theirs in compress(pairs, differ)
    ]
    return sorted(found, key=lambda one: (one.distance, one.model.index))
