"""From the distance of a pair to its weight: NormBT with its running mean, and every ablation of it.

A weight multiplies the pair's loss and carries no gradient. Each weighting measures one quantity per pair and sets it
against the quantity's running mean. Derived in ``notebooks/01_bradley_terry.ipynb``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbt_lab.errors import NotFiniteError
from normbt_lab.representations import PairOutputs, at_least_float32, in_float64, representation_distance


def normbt_weight(
    distance: Tensor,
    running_mean: float = 1.0,
    norm_alpha: float = 1.0,
    norm_eps: float = 1e-8,
    max_weight: float | None = None,
) -> Tensor:
    """Weight of each pair: large where the two representations are close (paper eq. 11).

    It takes the distance out of the Bradley-Terry gradient and leaves the prediction error:

        w = (μ / (‖h_w − h_l‖ + ε))^α

    Its mean over a batch is at least one, not one: E[μ/d] ≥ 1 by Jensen's inequality. What stays is E[w · d] = μ.

    Args:
        distance: Representation distances, shape (pairs,).
        running_mean: μ, same unit. 1 gives the raw inverse distance (paper eq. 10; "No EMA" of Table 2).
        norm_alpha: α, strength: 0 is plain Bradley-Terry, 1 is the paper.
        norm_eps: ε, guards against distance 0, where the weight is μ/ε.
        max_weight: Upper bound; None leaves the weight as it is.

    Returns:
        Weights, shape (pairs,), detached, float32 (float64 for float64 distances).

    Example:
        >>> normbt_weight(torch.tensor([1.0, 2.0, 4.0]), running_mean=2.0)
        tensor([2.0000, 1.0000, 0.5000])
    """
    # float64 in between: μ/d may leave float32 where its power does not, and in float16 the ε of 1e-8 is 0.
    ratio = running_mean / (in_float64(distance.detach()) + norm_eps)
    return _bounded(ratio**norm_alpha, max_weight).to(at_least_float32(distance).dtype)


def cosine_distance(outputs: PairOutputs) -> Tensor:
    """1 − cos(h_w, h_l), 0 to 2, shape (pairs,): "Cos. sim." of Table 2 in our reading (decisions, point 17).

    Computed as half the squared distance of the two directions. The difference from 1 would be rounding noise for close
    pairs, and below 0 for some, whose weight would then pull the wrong way.
    """
    difference = _direction(outputs.h_chosen) - _direction(outputs.h_rejected)
    return (difference.square().sum(dim=-1) / 2).to(at_least_float32(outputs.h_chosen).dtype)


def average_pool_distance(outputs: PairOutputs) -> Tensor:
    """Distance between the representations averaged over all tokens, shape (pairs,): "Avg. pool" of Table 2."""
    if outputs.average_chosen is None or outputs.average_rejected is None:
        raise ValueError("the forward pass kept no averages: call pair_outputs(..., average_pool=True)")
    return representation_distance(outputs.average_chosen, outputs.average_rejected)


def d_opt_score(outputs: PairOutputs) -> Tensor:
    """σ(d)(1 − σ(d)) ‖h_w − h_l‖², shape (pairs,): the D-optimal design score, our reading of Table 2's "D-opt".

    Active learning prefers pairs where it is large: uncertain and far apart.
    """
    d = in_float64(outputs.reward_difference)
    distance = outputs.representation_distance
    # σ(−d) for 1 − σ(d), which is 0 from d = 17 on in float32.
    return (torch.sigmoid(d) * torch.sigmoid(-d) * in_float64(distance) ** 2).to(distance.dtype)


def gradient_distance(outputs: PairOutputs) -> Tensor:
    """‖∇_θ(r_w − r_l)‖, shape (pairs,): what the ideal weight divides by (paper eq. 8), the distance in its place."""
    if outputs.gradient_distance is None:
        raise ValueError("the gradients were not measured: see normbt_lab.gradients.exact")
    return outputs.gradient_distance


@dataclass(frozen=True)
class Weighting:
    """What a weighting measures, and whether pairs with much of it are weighted down (NormBT) or up (D-opt)."""

    quantity: Callable[[PairOutputs], Tensor]
    weighs_down: bool = True
    needs_average_pool: bool = False
    needs_gradients: bool = False


WEIGHTINGS: dict[str, Weighting] = {
    "normbt": Weighting(lambda outputs: outputs.representation_distance),
    "exact": Weighting(gradient_distance, needs_gradients=True),
    "cosine": Weighting(cosine_distance),
    "average_pool": Weighting(average_pool_distance, needs_average_pool=True),
    "d_opt": Weighting(d_opt_score, weighs_down=False),
}
"""Every weighting but ``uniform``, which measures nothing and weighs each pair 1."""


def pair_weights(
    quantity: Tensor,
    weighting: str,
    running_mean: float = 1.0,
    norm_alpha: float = 1.0,
    norm_eps: float = 1e-8,
    max_weight: float | None = None,
) -> Tensor:
    """Weight of each pair under a named weighting, shape (pairs,), detached.

    Args:
        quantity: What the weighting measures, ``WEIGHTINGS[weighting].quantity(outputs)``, shape (pairs,).
        weighting: A key of `WEIGHTINGS`.
        running_mean: Running mean of the quantity; 1 for none.
        norm_alpha: See `normbt_weight`.
        norm_eps: See `normbt_weight`.
        max_weight: See `normbt_weight`.

    Example:
        >>> pair_weights(torch.tensor([1.0, 3.0]), "d_opt", running_mean=2.0)
        tensor([0.5000, 1.5000])
    """
    if WEIGHTINGS[weighting].weighs_down:
        return normbt_weight(quantity, running_mean, norm_alpha, norm_eps, max_weight)
    ratio = in_float64(quantity.detach()) / (running_mean + norm_eps)
    return _bounded(ratio**norm_alpha, max_weight).to(at_least_float32(quantity).dtype)


@dataclass
class RunningMean:
    """Exponential moving average of a batch statistic (paper eq. 12), as plain numbers that survive JSON to the bit.

        μ ← β μ + (1 − β) μ̂

    Attributes:
        beta: β, weight of the past, 0 to 1.
        value: μ; None before the first batch, which then sets it (decisions, point 6).

    Example:
        >>> mean = RunningMean(beta=0.9)
        >>> mean.update(2.0); mean.update(4.0); round(mean.value, 6)
        2.2
    """

    beta: float = 0.9
    value: float | None = None

    @classmethod
    def starting(cls, ema_beta: float | None) -> RunningMean:
        """The mean before the first step; without a β it is 1 and stays 1 ("No EMA" of Table 2)."""
        return cls(beta=1.0, value=1.0) if ema_beta is None else cls(beta=ema_beta)

    def update(self, batch_mean: float) -> None:
        """Take in the mean of one global batch; the first sets the running mean.

        Raises:
            NotFiniteError: The batch mean is not a finite number.
        """
        require_finite_mean(batch_mean)
        self.value = batch_mean if self.value is None else self.beta * self.value + (1 - self.beta) * batch_mean


def require_finite_mean(batch_mean: float) -> None:
    """Raise NotFiniteError unless the mean distance of a batch is a finite number."""
    if not math.isfinite(batch_mean):
        raise NotFiniteError(
            f"the mean distance of a batch is {batch_mean}, not a finite number: the forward pass overflowed or "
            "the weights are damaged. Lower the learning rate, or train in bfloat16 or float32 instead of float16."
        )


def _direction(h: Tensor) -> Tensor:
    """Each representation at length 1; one of zeros stays."""
    wide = in_float64(h)
    return nn.functional.normalize(wide, dim=-1, eps=torch.finfo(wide.dtype).tiny)


def _bounded(weight: Tensor, max_weight: float | None) -> Tensor:
    return weight if max_weight is None else weight.clamp(max=max_weight)
