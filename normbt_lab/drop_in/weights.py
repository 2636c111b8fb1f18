"""NormBT's weights as one pure function, for a loop that computes its own representations.

The function keeps nothing: what must outlive a batch, the running mean, goes in and comes out as a `WeightState`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from normbt_lab.errors import UsageError
from normbt_lab.representations import in_float64, representation_distance
from normbt_lab.weights import RunningMean, normbt_weight, require_finite_mean


@dataclass(frozen=True)
class WeightState:
    """The running mean and the settings of the weights: plain numbers, so that ``dataclasses.asdict`` gives JSON.

    Attributes:
        running_mean: μ of eq. 12; None before the first optimizer step.
        ema_beta: β of eq. 12, weight of the past.
        norm_alpha: Strength: 0 is plain Bradley-Terry, 1 is the paper.
        norm_eps: Guard against distance 0.
        max_weight: Upper bound of a weight; None for none.
        pending_sum: Sum of the distances seen since the last optimizer step.
        pending_pairs: Their number.
    """

    running_mean: float | None = None
    ema_beta: float = 0.9
    norm_alpha: float = 1.0
    norm_eps: float = 1e-8
    max_weight: float | None = None
    pending_sum: float = 0.0
    pending_pairs: float = 0

    def __post_init__(self) -> None:
        if not 0 <= self.ema_beta <= 1:
            raise UsageError(f"ema_beta must be 0 to 1; got {self.ema_beta}")


def normbt_weights(
    h_chosen: Tensor,
    h_rejected: Tensor,
    state: WeightState,
    *,
    ends_step: bool = True,
    sum_over_processes: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, WeightState]:
    """Weight of each pair of a micro-batch, and the state for the next one.

        w = (μ / (‖h_w − h_l‖ + ε))^α,   μ ← β μ + (1 − β) mean distance   (paper eq. 11, 12)

    μ is fixed inside an optimizer step and takes in all its pairs at the end, so that the weights do not depend on how
    the step is split into micro-batches. The first step has no μ yet and uses the mean of its pairs so far.

    Args:
        h_chosen: What enters the score head at the pooled token of each chosen response, shape (pairs, hidden).
        h_rejected: The same for the rejected responses.
        state: What the last call returned; `WeightState()` at the start.
        ends_step: Whether an optimizer step follows: false for all but the last micro-batch under accumulation.
        sum_over_processes: Adds up a tensor over all processes, such as
            ``partial(accelerator.reduce, reduction="sum")``; None on one process. Every process must make the call.

    Returns:
        Weights, shape (pairs,), without gradient, to multiply each pair's loss by; and the new state.

    Raises:
        NormBTError: A distance is not finite.
        UsageError: There is no pair, on any process.
        ValueError: The two shapes differ.

    Example:
        >>> h_chosen, h_rejected = torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)
        >>> weights, state = normbt_weights(h_chosen, h_rejected, WeightState())
        >>> weights, state.running_mean
        (tensor([2.0000, 0.6667]), 2.0)
    """
    distance = representation_distance(h_chosen, h_rejected).detach()  # (pairs,)
    # float64, so that the split into micro-batches leaves no trace in float32
    totals = torch.stack([in_float64(distance).sum(), in_float64(torch.full_like(distance.sum(), len(distance)))])
    if sum_over_processes is not None:
        totals = sum_over_processes(totals)
    total, pairs = totals.tolist()
    pending_sum, pending_pairs = state.pending_sum + total, state.pending_pairs + pairs
    if not pending_pairs:
        raise UsageError("there is no pair to weigh, here or on another process: is the batch empty?")
    step_mean = pending_sum / pending_pairs
    require_finite_mean(step_mean)
    mean = RunningMean(state.ema_beta, state.running_mean)
    used = step_mean if mean.value is None else mean.value
    weights = normbt_weight(distance, used, state.norm_alpha, state.norm_eps, state.max_weight)
    if not ends_step:
        return weights, replace(state, pending_sum=pending_sum, pending_pairs=pending_pairs)
    mean.update(step_mean)
    return weights, replace(state, running_mean=mean.value, pending_sum=0.0, pending_pairs=0)
