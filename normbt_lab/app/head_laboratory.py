"""The score head retrained on the explored pairs in seconds: uniform weights beside chosen ones, on held-out pairs.

The backbone stands still, so its representations are computed once and the head's gradient is the whole gradient
(paper eq. 6). What weights do to a backbone that learns too, this cannot show.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.accuracy import Evaluation, evaluate_pairs
from normbt_lab.evaluation.intervals import Estimate, paired_difference
from normbt_lab.figures import count_of_pairs

if TYPE_CHECKING:
    from normbt_lab.app.explore_scores import Explored
    from normbt_lab.app.weight_tab_numbers import WeightSettings
    from normbt_lab.experiments.head_only import HeadRun
    from normbt_lab.scoring.scored_pair import ScoredPair

FEWEST_PAIRS = 20
"""Below this, half to train on and half to measure on say nothing."""

BATCH_SIZE = 16


@dataclass(frozen=True)
class LaboratorySettings:
    """How both heads are trained; they differ in the weights alone.

    Attributes:
        objective: Key of `OBJECTIVES`.
        learning_rate: Of plain SGD, constant.
        epochs: Passes over the training half.
        seed: Seed of the fresh head and of the order of pairs.
    """

    objective: str = "bradley_terry"
    learning_rate: float = 0.01
    epochs: int = 30
    seed: int = 0


@dataclass(frozen=True)
class HeadComparison:
    """Two heads that differ in the weights alone, on pairs that neither was trained on.

    Attributes:
        settings: How both were trained.
        trained_on: Number of pairs they learned from.
        uniform: Accuracy of the head trained with uniform weights.
        weighted: Accuracy of the one with the chosen weights.
        gain: Accuracy of weighted minus uniform, with its paired 95 % interval.
    """

    settings: LaboratorySettings
    trained_on: int
    uniform: Evaluation
    weighted: Evaluation
    gain: Estimate


def compare_heads(explored: Explored, weights: WeightSettings, settings: LaboratorySettings) -> HeadComparison:
    """Both heads trained on one half of the explored pairs and measured on the other.

    The running mean is tracked over the batches, as in training, whatever the slider for it says.

    Args:
        explored: The pairs with their representations.
        weights: Weighting, strength and bounds of the chosen weights.
        settings: How both are trained.

    Raises:
        UsageError: Too few pairs, or an objective that needs ratings which the pairs have not.
        NormBTError: The loss stops being finite.
    """
    if len(explored.pairs) < FEWEST_PAIRS:
        raise UsageError(
            f"{count_of_pairs(len(explored.pairs))} explored; the laboratory trains on one half and measures on the "
            f"other, so it needs {FEWEST_PAIRS} or more. Raise the number of pairs in the Explore tab."
        )
    training, held_out = halves(explored)
    runs = {
        "uniform": _train(explored, training, settings, weighting="uniform"),
        "weighted": _train(
            explored,
            training,
            settings,
            weighting=weights.weighting,
            norm_alpha=weights.norm_alpha,
            norm_eps=weights.norm_eps,
            max_weight=weights.max_weight,
        ),
    }
    records = {name: judged(run, explored, held_out) for name, run in runs.items()}
    return HeadComparison(
        settings=settings,
        trained_on=len(training),
        uniform=evaluate_pairs(records["uniform"]),
        weighted=evaluate_pairs(records["weighted"]),
        gain=paired_difference(records["weighted"], records["uniform"]),
    )


def halves(explored: Explored) -> tuple[list[int], list[int]]:
    """Positions of the pairs to train on and of those to measure on.

    Pairs of one problem stay together, or half of it would be learned by heart; the problems of each category go to
    either side in turn.
    """
    side_of: dict[str, int] = {}
    met: Counter[str | None] = Counter()
    sides: tuple[list[int], list[int]] = ([], [])
    for position, pair in enumerate(explored.pairs):
        problem = json.dumps(pair.row.get("problem", pair.prompt), default=str)
        if problem not in side_of:
            side_of[problem] = met[pair.category] % 2
            met[pair.category] += 1
        sides[side_of[problem]].append(position)
    if not all(sides):
        raise UsageError("all these pairs share one prompt: there is none to measure on that was not trained on")
    return sides


def _train(explored: Explored, positions: Sequence[int], settings: LaboratorySettings, **weights: Any) -> HeadRun:
    from normbt_lab.experiments.head_only import train_head
    from normbt_lab.objectives import OBJECTIVES

    margins = [margin for i in positions if (margin := explored.pairs[i].margin) is not None]
    are_all_rated = len(margins) == len(positions)
    if OBJECTIVES[settings.objective].needs_margin and not are_all_rated:
        raise UsageError(
            f"The objective {settings.objective} needs a rating difference for each pair: a column margin."
        )
    try:
        return train_head(
            explored.outputs.take(positions),
            settings.objective,
            margin=margins if are_all_rated else None,
            learning_rate=settings.learning_rate,
            epochs=settings.epochs,
            batch_size=BATCH_SIZE,
            seed=settings.seed,
            **weights,
        )
    except NormBTError as error:
        raise NormBTError(f"Training with {weights['weighting']} weights: {error}") from error


def judged(run: HeadRun, explored: Explored, positions: Sequence[int]) -> list[ScoredPair]:
    """The records of these pairs as if this head had scored them; the weights are still those of the explored rule.

    Args:
        run: A trained head.
        explored: The pairs.
        positions: Which of them.
    """
    outputs = run.outputs(explored.outputs.take(positions))
    rewards = zip(outputs.reward_chosen.tolist(), outputs.reward_rejected.tolist(), strict=True)
    return [_rewarded(explored.scored[i], *both) for i, both in zip(positions, rewards, strict=True)]


def _rewarded(pair: ScoredPair, chosen: float, rejected: float) -> ScoredPair:
    """The record with these rewards; what the model reads alike, no head tells apart, whatever rounding says."""
    return pair.with_rewards(chosen, rejected if pair.representation_distance else chosen)
