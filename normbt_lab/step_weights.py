"""Weights of a run's pairs, one optimizer step after the other, and the running mean they are set against.

The running mean stands still inside a step, and its end lets all pairs of the global batch into it: a step does not
depend on how its pairs are split over micro-batches and processes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from normbt_lab.trainer_config import NormBTConfig
from normbt_lab.weights import WEIGHTINGS, RunningMean, pair_weights


class StepWeights:
    """What `NormBTTrainer` weighs its pairs with.

    Args:
        config: The settings of the run.
        global_mean: Mean over the pairs of every process, from one tensor of shape (pairs,) per pass of this process.

    Attributes:
        weighting: What is measured; under uniform weights still the distance, so that runs compare and scores have a
            scale.
        running_mean: μ of eq. 12.
        scale: Factor on every weight of the step under way: 1, or what ``weight_norm="mean1"`` makes of it.
    """

    def __init__(self, config: NormBTConfig, global_mean: Callable[[list[Tensor]], float]) -> None:
        self.config = config
        self.global_mean = global_mean
        self.weighting = WEIGHTINGS.get(config.weighting, WEIGHTINGS["normbt"])
        self.running_mean = RunningMean(beta=1.0 if config.ema_beta is None else config.ema_beta)
        self.scale = 1.0

    def weigh(self, quantity: Tensor) -> Tensor:
        """Weight of each pair of a micro-batch, shape (pairs,).

        Args:
            quantity: What the weighting measures, detached, shape (pairs,).
        """
        if self.config.ema_scope == "micro":
            return self._weigh_and_update(quantity)
        return self._weights(quantity) * self.scale

    @property
    def bound(self) -> float | None:
        """Largest weight of the step under way; None where ``max_weight`` sets none."""
        return None if self.config.max_weight is None else self.config.max_weight * self.scale

    @property
    def looks_ahead(self) -> bool:
        """Whether the step to come needs a statistic of its whole global batch before its first backward pass.

        The first step, which starts the running mean, does; so do ``update_then_use`` and ``mean1``.
        """
        config = self.config
        if config.weighting == "uniform" or config.ema_scope == "micro":
            return False
        return self.running_mean.value is None or config.ema_order == "update_then_use" or config.weight_norm == "mean1"

    def look_ahead(self, quantities: list[Tensor]) -> None:
        """Take what the step to come needs from all its pairs.

        Args:
            quantities: What the weighting measures, one tensor of shape (pairs,) per pass of this process.
        """
        if self.running_mean.value is None or self.config.ema_order == "update_then_use":
            self.running_mean.update(self.global_mean(quantities))
        if self.config.weight_norm == "mean1":
            weights = [self._weights(quantity) for quantity in quantities]
            self.scale = 1.0 / self.global_mean(weights)

    def finish_step(self, quantities: list[Tensor]) -> float | None:
        """The running mean that the step's weights used; from here on its pairs are in it.

        Args:
            quantities: What the weighting measured in the step, as for `look_ahead`.
        """
        used = self.running_mean.value
        is_updated = self.config.ema_order == "update_then_use" and self.config.weighting != "uniform"
        if self.config.ema_scope == "step" and not is_updated:
            self.running_mean.update(self.global_mean(quantities))
        self.scale = 1.0
        return self.running_mean.value if used is None else used

    def _weigh_and_update(self, quantity: Tensor) -> Tensor:
        """The weights of ``ema_scope="micro"``: each micro-batch moves the running mean, and `scale` stays 1."""
        batch_mean = quantity.double().mean().item()
        if self.running_mean.value is None or self.config.ema_order == "update_then_use":
            self.running_mean.update(batch_mean)
        weights = self._weights(quantity)
        if self.config.ema_order == "use_then_update":
            self.running_mean.update(batch_mean)
        return weights / weights.mean() if self.config.weight_norm == "mean1" else weights

    def _weights(self, quantity: Tensor) -> Tensor:
        config = self.config
        if config.weighting == "uniform":
            return torch.ones_like(quantity)
        mean = self.running_mean.value if config.ema_beta is not None else None
        return pair_weights(
            quantity,
            config.weighting,
            running_mean=1.0 if mean is None else mean,
            norm_alpha=config.norm_alpha,
            norm_eps=config.norm_eps,
            max_weight=config.max_weight,
        )
