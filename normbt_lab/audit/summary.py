"""From measured pairs to what they say together: plain numbers, each over all pairs or a category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from normbt_lab.audit.near_duplicates import NEARLY_ALL, word_overlap
from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.groups import by_category
from normbt_lab.gradients.correlation import Correlation, bootstrap_correlation
from normbt_lab.gradients.measured_pair import MeasuredPair

FEWEST_PAIRS = 20
"""Below that, quarters and intervals say nothing."""

SHOWN_BOUND = 10.0
"""The bound on weights whose effect is shown, whatever the data."""


@dataclass(frozen=True)
class CategorySummary:
    """What was measured over the pairs of one category, or over all.

    Attributes:
        pairs: Number of pairs.
        misranked: Share that the model ranks wrong, ties included.
        distance: Median representation distance, units of h.
        gradient: Median gradient distance.
        share_of_pairs: Share of all pairs.
        share_of_update: Share of the summed Bradley-Terry update sizes (exact, eq. 2).
        share_of_update_normbt: The same under NormBT weights.
        spearman: Rank correlation of representation and gradient distance within it.
    """

    pairs: int
    misranked: float
    distance: float
    gradient: float
    share_of_pairs: float
    share_of_update: float
    share_of_update_normbt: float
    spearman: Correlation


@dataclass(frozen=True)
class Audit:
    """What a model's gradients on some pairs say about NormBT.

    Attributes:
        model: What was audited.
        has_trained_head: Whether rankings and errors mean anything; a fresh head ranks by chance.
        head_norm: ‖w_s‖ of the score head.
        trained_parameters: Number of parameters that the gradients are taken over.
        overall: Over all pairs.
        categories: By category; empty where the data has none.
        pearson: Correlation of representation and gradient distance over all pairs (Figure 8).
        ratio: 5th, 50th and 95th percentile of k, gradient distance over representation distance (eq. 7).
        head_share: Median share of the squared gradient norm at the score head.
        distance_spread: 90th over 10th percentile of the representation distance; None where the latter is 0.
        misranked_in_closest: Of the mis-ranked pairs, the share that lies in the closest quarter by distance.
        update_of_misranked_closest: Share of the total Bradley-Terry update that these pairs receive.
        update_of_misranked_closest_normbt: The same under NormBT weights.
        weight_mean: Mean NormBT weight with the mean distance as running mean.
        weight_p99: 99th percentile of the weights.
        weight_max: Largest weight.
        bounded_share: Share of pairs that ``max_weight=10`` would cut.
        zero_distance: Pairs whose representations are equal to the last bit.
        near_duplicates: Pairs with at least 95 % of their words in common.
        closest: Indices of the near-duplicates that weigh most, at most five.
        layout: How the pairs were computed, ``shared_prefix`` or ``padded``; None where that is not known.
    """

    model: str
    has_trained_head: bool
    head_norm: float
    trained_parameters: int
    overall: CategorySummary
    categories: Mapping[str, CategorySummary]
    pearson: Correlation
    ratio: tuple[float, float, float]
    head_share: float
    distance_spread: float | None
    misranked_in_closest: float
    update_of_misranked_closest: float
    update_of_misranked_closest_normbt: float
    weight_mean: float
    weight_p99: float
    weight_max: float
    bounded_share: float
    zero_distance: int
    near_duplicates: int
    closest: Sequence[int]
    layout: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The audit as one JSON object, with its verdict."""
        from normbt_lab.audit.verdict import verdict

        return {**asdict(self), "verdict": asdict(verdict(self))}


def audit_pairs(
    measured: Sequence[MeasuredPair],
    *,
    model: str = "model",
    has_trained_head: bool = True,
    head_norm: float = float("nan"),
    trained_parameters: int = 0,
    layout: str | None = None,
) -> Audit:
    """What the measured pairs say together.

    Weights are those of NormBT with the mean distance of these pairs as running mean; at distance 0, where eq. 11 gives
    a weight of running mean / eps, the pair counts as an update of size 0, which it is.

    Args:
        measured: From `measure_pairs`.
        model: What to call the model.
        has_trained_head: Whether the score head was trained.
        head_norm: ‖w_s‖.
        trained_parameters: Number of parameters behind the gradients.
        layout: How the pairs were computed.

    Raises:
        NormBTError: Fewer than 20 pairs, or all at distance 0.
    """
    if len(measured) < FEWEST_PAIRS:
        raise NormBTError(f"an audit needs at least {FEWEST_PAIRS} pairs to say anything, got {len(measured)}")
    distance = np.array([pair.scored.representation_distance for pair in measured])
    gradient = np.array([pair.gradient_distance for pair in measured])
    if not distance.any():
        raise NormBTError(
            f"all {len(measured)} pairs are at distance 0, so nothing pulls: chosen and rejected are the same, or "
            "became so where they were cut. Look at the pairs, or raise max_length."
        )
    misranked = np.array([not pair.scored.is_correct for pair in measured])
    plain = np.array([pair.update_size for pair in measured])
    apart = distance > 0
    weight = np.divide(distance.mean(), distance, out=np.zeros_like(distance), where=apart)
    shares = plain / plain.sum(), (plain * weight) / (plain * weight).sum()
    closest_misranked = misranked & (distance <= np.quantile(distance, 0.25))
    overlaps = np.array([word_overlap(pair.scored.chosen, pair.scored.rejected) for pair in measured])
    duplicates = np.flatnonzero(overlaps >= NEARLY_ALL)

    def summary(members: np.ndarray) -> CategorySummary:
        return CategorySummary(
            pairs=len(members),
            misranked=float(misranked[members].mean()),
            distance=float(np.median(distance[members])),
            gradient=float(np.median(gradient[members])),
            share_of_pairs=len(members) / len(measured),
            share_of_update=float(shares[0][members].sum()),
            share_of_update_normbt=float(shares[1][members].sum()),
            spearman=bootstrap_correlation(distance[members], gradient[members], "spearman"),
        )

    low, high = np.quantile(distance, [0.1, 0.9])
    names = [pair.scored.category for pair in measured]
    return Audit(
        model=model,
        has_trained_head=has_trained_head,
        head_norm=head_norm,
        trained_parameters=trained_parameters,
        overall=summary(np.arange(len(measured))),
        categories={name: summary(members) for name, members in by_category(names).items()},
        pearson=bootstrap_correlation(distance, gradient),
        ratio=_percentiles(gradient[apart] / distance[apart]),
        head_share=float(np.median([pair.score_head_share for pair in measured])),
        distance_spread=float(high / low) if low > 0 else None,
        misranked_in_closest=float(closest_misranked.sum() / max(1, misranked.sum())),
        update_of_misranked_closest=float(shares[0][closest_misranked].sum()),
        update_of_misranked_closest_normbt=float(shares[1][closest_misranked].sum()),
        weight_mean=float(weight[apart].mean()),
        weight_p99=float(np.quantile(weight[apart], 0.99)),
        weight_max=float(weight.max()),
        bounded_share=float((weight > SHOWN_BOUND).mean()),
        zero_distance=int((~apart).sum()),
        near_duplicates=len(duplicates),
        closest=[measured[i].scored.index for i in duplicates[np.argsort(distance[duplicates])][:5]],
        layout=layout,
    )


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)
