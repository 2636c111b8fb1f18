"""From rewards to loss: pure functions of the reward difference, each with its closed-form derivative.

They compute in float32 at least: float16 ends at 65,504, which a margin times a loss or a square soon exceeds.

A per-pair weight multiplies any of them (paper eq. 13 and the combinations of Table 2).
Derived in ``notebooks/01_bradley_terry.ipynb``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from normbt_lab.representations import at_least_float32

Objective = Callable[[Tensor, Tensor | None, float], Tensor]
"""(reward_difference, margin, label_smoothing) -> one number per pair, all of shape (pairs,)."""


def bradley_terry(reward_difference: Tensor) -> Tensor:
    """Negative log-likelihood of the preference, shape (pairs,) (paper eq. 1).

        L = −log σ(d),   ∂L/∂d = σ(d) − 1

    Example:
        >>> bradley_terry(torch.tensor([0.0]))
        tensor([0.6931])
    """
    return -_log_sigmoid(reward_difference)


def bradley_terry_derivative(reward_difference: Tensor) -> Tensor:
    """∂L/∂d of `bradley_terry`: minus the prediction error, −1 to 0, shape (pairs,) (paper eq. 2)."""
    return -_sigmoid(-reward_difference)


def margin_inside(reward_difference: Tensor, margin: Tensor) -> Tensor:
    """Bradley-Terry that asks for a reward difference beyond the margin, shape (pairs,) (paper eq. 14).

        L = −log σ(d − m),   ∂L/∂d = σ(d − m) − 1

    Example:
        >>> margin_inside(torch.tensor([2.0]), torch.tensor([2.0]))
        tensor([0.6931])
    """
    return -_log_sigmoid(reward_difference - margin)


def margin_inside_derivative(reward_difference: Tensor, margin: Tensor) -> Tensor:
    """∂L/∂d of `margin_inside`, −1 to 0, shape (pairs,)."""
    return -_sigmoid(margin - reward_difference)


def margin_outside(reward_difference: Tensor, margin: Tensor) -> Tensor:
    """Bradley-Terry times the margin, shape (pairs,) (paper eq. 15).

        L = −m log σ(d),   ∂L/∂d = m (σ(d) − 1)

    Example:
        >>> margin_outside(torch.tensor([0.0]), torch.tensor([2.0]))
        tensor([1.3863])
    """
    return -margin * _log_sigmoid(reward_difference)


def margin_outside_derivative(reward_difference: Tensor, margin: Tensor) -> Tensor:
    """∂L/∂d of `margin_outside`, −m to 0, shape (pairs,)."""
    return -margin * _sigmoid(-reward_difference)


def smoothed_bradley_terry(reward_difference: Tensor, label_smoothing: float = 0.1) -> Tensor:
    """Cross-entropy against the soft label 1 − α, shape (pairs,).

        L = −(1 − α) log σ(d) − α log σ(−d),   ∂L/∂d = σ(d) − (1 − α)

    The derivative is the paper's eq. 17. Its eq. 16 as printed has lost a log-sigmoid and has another derivative
    (decisions, point 13). Beyond σ(d) = 1 − α the pull reverses.

    Example:
        >>> smoothed_bradley_terry(torch.tensor([0.0]), label_smoothing=0.1)
        tensor([0.6931])
    """
    kept, given_away = 1 - label_smoothing, label_smoothing
    return -kept * _log_sigmoid(reward_difference) - given_away * _log_sigmoid(-reward_difference)


def smoothed_bradley_terry_derivative(reward_difference: Tensor, label_smoothing: float = 0.1) -> Tensor:
    """∂L/∂d of `smoothed_bradley_terry`, −(1 − α) to α, shape (pairs,) (paper eq. 17)."""
    return label_smoothing - _sigmoid(-reward_difference)


@dataclass(frozen=True)
class PairObjective:
    """A per-pair loss with its derivative, under one signature, so that every weight composes with every loss.

    Attributes:
        loss: (reward_difference, margin, label_smoothing) -> loss per pair.
        derivative: The same arguments -> ∂loss/∂reward_difference per pair.
        needs_margin: The data must have a margin for each pair.
    """

    loss: Objective
    derivative: Objective
    needs_margin: bool = False


def _of_margin(function: Callable[[Tensor, Tensor], Tensor]) -> Objective:
    def apply(reward_difference: Tensor, margin: Tensor | None, label_smoothing: float) -> Tensor:
        if margin is None:
            raise ValueError(f"{function.__name__} needs a margin for each pair and the batch has none")
        return function(reward_difference, margin)

    return apply


OBJECTIVES: dict[str, PairObjective] = {
    "bradley_terry": PairObjective(
        lambda d, margin, label_smoothing: bradley_terry(d),
        lambda d, margin, label_smoothing: bradley_terry_derivative(d),
    ),
    "margin": PairObjective(_of_margin(margin_inside), _of_margin(margin_inside_derivative), needs_margin=True),
    "margin_outside": PairObjective(
        _of_margin(margin_outside), _of_margin(margin_outside_derivative), needs_margin=True
    ),
    "label_smoothing": PairObjective(
        lambda d, margin, label_smoothing: smoothed_bradley_terry(d, label_smoothing),
        lambda d, margin, label_smoothing: smoothed_bradley_terry_derivative(d, label_smoothing),
    ),
}


def reward_centering(reward_chosen: Tensor, reward_rejected: Tensor) -> Tensor:
    """Squared sum of the two rewards, shape (pairs,): the pull towards mean zero that TRL adds to the loss.

    The Bradley-Terry loss leaves the level of the rewards free; this term fixes it (arXiv 2312.09244, eq. 2).

    Example:
        >>> reward_centering(torch.tensor([3.0]), torch.tensor([-1.0]))
        tensor([4.])
    """
    return (at_least_float32(reward_chosen) + at_least_float32(reward_rejected)) ** 2


def _sigmoid(x: Tensor) -> Tensor:
    """σ(x). σ(d) − 1 is written −σ(−d) everywhere: the difference rounds to 0 long before the error is nothing."""
    return torch.sigmoid(at_least_float32(x))


def _log_sigmoid(x: Tensor) -> Tensor:
    return logsigmoid(at_least_float32(x))
