"""The explored pairs weighed anew: what each quantity measures, what a pair then weighs, whose update it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from normbt_lab.evaluation.groups import group_names, in_usual_order
from normbt_lab.scoring.scored_pair import field_label

if TYPE_CHECKING:
    from normbt_lab.app.explore_scores import Explored

QUANTITIES = {
    "normbt": field_label("representation_distance"),
    "cosine": "cosine distance (0 to 2)",
    "average_pool": "distance of average-pooled representations (units of h)",
    "d_opt": "D-optimal score (squared units of h)",
}
"""What the weightings of one forward pass measure: weighting -> label of its axis."""


@dataclass(frozen=True)
class WeightSettings:
    """How pairs are weighed here; names and meaning are `NormBTConfig`'s.

    Attributes:
        weighting: A key of `QUANTITIES`.
        running_mean: What the quantity is set against, in its own unit.
        norm_alpha: Strength: 0 is plain Bradley-Terry, 1 is the paper.
        norm_eps: Guard against distance 0.
        max_weight: Upper bound; None for none.
    """

    weighting: str = "normbt"
    running_mean: float = 1.0
    norm_alpha: float = 1.0
    norm_eps: float = 1e-8
    max_weight: float | None = None

    def weights(self, quantities: np.ndarray) -> np.ndarray:
        """Weight of each pair by the quantity that was measured of it, shape (pairs,)."""
        import torch

        from normbt_lab.weights import pair_weights

        weights = pair_weights(
            torch.as_tensor(quantities, dtype=torch.float64),
            self.weighting,
            self.running_mean,
            self.norm_alpha,
            self.norm_eps,
            self.max_weight,
        )
        return weights.numpy()


@dataclass(frozen=True)
class UpdateShares:
    """A category's part in the pairs and in the update, each 0 to 1.

    Attributes:
        pairs: Of the pairs.
        bradley_terry: Of the update under plain Bradley-Terry.
        weighted: Of the update under the weights.
    """

    pairs: float
    bradley_terry: float
    weighted: float


def quantities_of(explored: Explored, weighting: str) -> np.ndarray:
    """What a weighting measures of each explored pair, shape (pairs,), float64."""
    from normbt_lab.weights import WEIGHTINGS

    if weighting == "normbt":  # the records know which pairs reached the model as the same tokens
        return np.array([pair.representation_distance for pair in explored.scored], dtype=float)
    return WEIGHTINGS[weighting].quantity(explored.outputs).double().numpy()


def updates_of(explored: Explored) -> np.ndarray:
    """Norm of each pair's Bradley-Terry gradient at the score head, shape (pairs,)."""
    return np.array([pair.head_update_size for pair in explored.scored])


def update_shares(explored: Explored, weights: np.ndarray) -> dict[str, UpdateShares]:
    """Whose update it is: each category's share, without the weights and with them.

    Sizes of single gradients are added, so pulls in opposite directions count fully.

    Args:
        explored: The pairs.
        weights: Weight of each, shape (pairs,).
    """
    before = updates_of(explored)
    after = weights * before
    names = group_names(pair.category for pair in explored.scored)
    categories = np.array(names, dtype=object)  # as text, a name would lose NULs at its end
    return {
        name: UpdateShares(
            pairs=float((categories == name).mean()),
            bradley_terry=_share(before, categories == name),
            weighted=_share(after, categories == name),
        )
        for name in in_usual_order(names)
    }


def _share(updates: np.ndarray, members: np.ndarray) -> float:
    total = updates.sum()
    return float(updates[members].sum() / total) if total else 0.0


def effective_pairs(updates: np.ndarray) -> float:
    """How many pairs of equal pull would spread the update as evenly: (Σu)² / Σu², 1 to the number of pairs.

    Example:
        >>> round(effective_pairs(np.array([1.0, 1.0, 0.0, 0.0])), 6)
        2.0
    """
    squares = float((updates**2).sum())
    return float(updates.sum() ** 2 / squares) if squares else 0.0


def weight_facts(explored: Explored, weights: np.ndarray) -> dict[str, str]:
    """Numbers that say what the weights do to the update as a whole: name -> value."""
    before = updates_of(explored)
    after = weights * before
    total = float(after.sum() / before.sum()) if before.sum() else 0.0
    return {
        "mean weight": f"{weights.mean():.3g}",
        "largest weight": f"{weights.max():.3g}",
        "pairs that weigh more than 1": f"{100 * float((weights > 1).mean()):.1f} %",
        "total pull, of Bradley-Terry's": f"{100 * total:.3g} %",
        "pairs that share the pull, effectively": f"{effective_pairs(before):.0f} → {effective_pairs(after):.0f}"
        f" of {len(weights):,}",
    }


def mean_of(quantities: Sequence[float] | np.ndarray) -> float:
    """The mean that a slider for the running mean starts from; 1 where everything measured is 0."""
    return float(np.mean(quantities)) or 1.0
