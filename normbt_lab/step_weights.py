"""Weights of a run's pairs, one optimizer step after the other, and the running mean they are set against.

The running mean stands still inside a step, and its end lets all pairs of the global batch into it: a step does not
depend on how its pairs are split over micro-batches and processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from normbt_lab.errors import UsageError
from normbt_lab.representations import in_float64
from normbt_lab.state import NormBTState
from normbt_lab.trainer_config import NormBTConfig
from normbt_lab.weights import WEIGHTINGS, RunningMean, pair_weights

TRACKED = {**WEIGHTINGS, "uniform": WEIGHTINGS["normbt"]}
"""Weighting -> what its runs measure: under uniform weights still the distance, so that runs compare and scores have a
scale."""


class Weighed(NamedTuple):
    """The pairs of one pass, weighed.

    Attributes:
        weights: Factor on the loss of each pair, shape (pairs,).
        at_bound: Whether ``max_weight`` holds the pair, before ``weight_norm`` scales its weight, shape (pairs,).
    """

    weights: Tensor
    at_bound: Tensor

    def scaled(self, factor: float | Tensor) -> Weighed:
        """The same pairs with every weight times a factor."""
        return Weighed(self.weights * factor, self.at_bound)


class StepWeights:
    """What `NormBTTrainer` weighs its pairs with.

    Args:
        config: The settings of the run.
        global_mean: Mean over the pairs of every process, from one tensor of shape (pairs,) per pass of this process.

    Attributes:
        weighting: What is measured.
        running_mean: μ of eq. 12; with ``ema_beta=None`` it stays 1.
        scale: Factor on every weight of the step under way: 1, or what ``weight_norm="mean1"`` makes of it.
    """

    def __init__(self, config: NormBTConfig, global_mean: Callable[[list[Tensor]], float]) -> None:
        self.config = config
        self.global_mean = global_mean
        self.weighting = TRACKED[config.weighting]
        self.running_mean = RunningMean.starting(config.ema_beta)
        self.scale = 1.0

    def resume(self, state: NormBTState) -> None:
        """Go on with the running mean of a checkpoint.

        Raises:
            UsageError: It is the mean of something else than this run would set its pairs against.
        """
        here: dict[str, Any] = {name: getattr(self.config, name) for name in ("weighting", "ema_beta")}
        there = here | state.settings
        is_same = {
            "weighting": TRACKED.get(there["weighting"]) is self.weighting,
            "ema_beta": (there["ema_beta"] is None) == (here["ema_beta"] is None),
        }
        for name in here:
            if not is_same[name]:
                raise UsageError(
                    f"the checkpoint was trained with {name}={there[name]!r} and this run has {name}={here[name]!r}: "
                    f"the two track different running means. Resume with {name}={there[name]!r}, or start anew in "
                    "another output_dir."
                )
        if self.config.ema_beta is not None:
            self.running_mean.value = state.running_mean

    def weigh(self, quantity: Tensor) -> Weighed:
        """The pairs of a micro-batch, weighed.

        Args:
            quantity: What the weighting measures, detached, shape (pairs,).
        """
        if self.config.ema_scope == "micro":
            return self._weigh_and_update(quantity)
        return self._weigh(quantity).scaled(self.scale)

    @property
    def looks_ahead(self) -> bool:
        """Whether the step to come needs a statistic of its whole global batch before its first backward pass.

        The first step, which starts the running mean, does; so do ``update_then_use`` and ``mean1``.
        """
        if self.config.weighting == "uniform" or self.config.ema_scope == "micro":
            return False
        return self._updates_before_use or self.config.weight_norm == "mean1"

    def look_ahead(self, quantities: list[Tensor]) -> None:
        """Take what the step to come needs from all its pairs.

        Args:
            quantities: What the weighting measures, one tensor of shape (pairs,) per pass of this process.
        """
        if self._updates_before_use:
            self.running_mean.update(self.global_mean(quantities))
        if self.config.weight_norm == "mean1":
            weights = [self._weigh(quantity).weights for quantity in quantities]
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

    @property
    def _updates_before_use(self) -> bool:
        if self.config.ema_beta is None:
            return False
        return self.running_mean.value is None or self.config.ema_order == "update_then_use"

    def _weigh_and_update(self, quantity: Tensor) -> Weighed:
        """The weights of ``ema_scope="micro"``: each micro-batch moves the running mean, and `scale` stays 1."""
        batch_mean = in_float64(quantity).mean().item()
        if self._updates_before_use:
            self.running_mean.update(batch_mean)
        weighed = self._weigh(quantity)
        if self.config.ema_order == "use_then_update":
            self.running_mean.update(batch_mean)
        return weighed.scaled(1.0 / weighed.weights.mean()) if self.config.weight_norm == "mean1" else weighed

    def _weigh(self, quantity: Tensor) -> Weighed:
        config, mean = self.config, self.running_mean.value
        nowhere = torch.zeros_like(quantity, dtype=torch.bool)
        if config.weighting == "uniform":
            return Weighed(torch.ones_like(quantity), nowhere)
        weights = pair_weights(
            quantity,
            config.weighting,
            running_mean=1.0 if mean is None else mean,
            norm_alpha=config.norm_alpha,
            norm_eps=config.norm_eps,
            max_weight=config.max_weight,
        )
        return Weighed(weights, nowhere if config.max_weight is None else weights >= config.max_weight)
