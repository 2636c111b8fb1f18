"""What one optimizer step or one evaluation leaves in the log."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from normbt_lab.representations import PairOutputs

Rewards = tuple[Tensor, Tensor]
"""Rewards of the chosen and of the rejected responses of one pass, detached, shape (pairs,) each."""

_QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "p75": 0.75, "p90": 0.9, "max": 1.0}


@dataclass
class StepRecord:
    """What one optimizer step has seen so far, over all its micro-batches on this process; one tensor per pass."""

    rewards: list[Rewards] = field(default_factory=list)
    quantities: list[Tensor] = field(default_factory=list)
    distances: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    at_bound: list[Tensor] = field(default_factory=list)
    pair_indices: list[Tensor] = field(default_factory=list)
    loss: float = 0.0

    def add(self, rewards: Rewards, quantity: Tensor, distance: Tensor, weights: Tensor, at_bound: Tensor) -> None:
        """Take in one pass, each argument without gradients."""
        self.rewards.append(rewards)
        self.quantities.append(quantity)
        self.distances.append(distance)
        self.weights.append(weights)
        self.at_bound.append(at_bound)

    def add_no_pairs(self, like: Tensor) -> None:
        """Take in a pass whose pairs do not count.

        Args:
            like: Any tensor of that pass, for its device and number format.
        """
        nothing = like.detach()[:0]
        self.add((nothing, nothing), nothing, nothing, nothing, nothing.bool())


def detached_rewards(pairs: PairOutputs) -> Rewards:
    """The two rewards of each pair, without gradients."""
    return pairs.reward_chosen.detach(), pairs.reward_rejected.detach()


def as_logits(rewards: list[Rewards]) -> dict[str, Tensor]:
    """What TRL returns as the outputs of a batch: ``logits``, shape (2 * pairs, 1), chosen first."""
    chosen, rejected = (torch.cat(side) for side in zip(*rewards, strict=True))
    return {"logits": torch.cat([chosen, rejected]).unsqueeze(-1)}


def reward_metrics(chosen: Tensor, rejected: Tensor) -> dict[str, float]:
    """TRL's metrics over the pairs of all processes, and the tie rate.

    Args:
        chosen: Rewards of the chosen responses, shape (pairs,).
        rejected: Rewards of the rejected responses, same shape.
    """
    reward_difference = chosen - rejected
    rewards = torch.cat([chosen, rejected])
    return {
        "min_reward": rewards.min().item(),
        "mean_reward": rewards.mean().item(),
        "max_reward": rewards.max().item(),
        "accuracy": (reward_difference > 0).float().mean().item(),
        "margin": reward_difference.mean().item(),
        "tie_rate": (reward_difference == 0).float().mean().item(),
    }


def weight_metrics(distances: Tensor, weights: Tensor, at_bound: Tensor | None) -> dict[str, float]:
    """Distances and weights of a global batch; the share of pairs at the bound where there is one.

    Args:
        distances: Representation distances, shape (pairs,).
        weights: Same shape.
        at_bound: 1 for pairs that ``max_weight`` holds, 0 for the others, same shape; None without a bound.
    """
    metrics = {f"distance_{name}": distances.quantile(quantile).item() for name, quantile in _QUANTILES.items()}
    metrics["distance_mean"] = distances.mean().item()
    metrics["weight_mean"] = weights.mean().item()
    metrics["weight_max"] = weights.max().item()
    if at_bound is not None:
        metrics["clipped_share"] = at_bound.mean().item()
    return metrics
