"""Rewards and distances of a few pairs, chosen so that the closest are among them, within seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from normbt_lab.data.batches import collate_pairs
from normbt_lab.data.tokenization import TokenizedPair
from normbt_lab.representations import evaluation_mode, pad_token_id, pair_outputs

# A forward pass takes about two operations per parameter and token. This many are seconds on two CPU cores.
OPERATIONS = {"cpu": 1e12, "cuda": 1e14}
FEWEST_PAIRS = 4
MOST_PAIRS = 64


@dataclass(frozen=True)
class Measured:
    """What the model says of a few pairs.

    Attributes:
        typical: Distances of pairs spread evenly over the data.
        closest: Distances of the pairs whose tokens differ least.
        closest_pairs: Their positions in the data.
        rewards: Chosen and rejected reward of each pair measured, log-odds.
    """

    typical: list[float]
    closest: list[float]
    closest_pairs: list[int]
    rewards: list[tuple[float, float]]

    @property
    def tie_rate(self) -> float:
        """Share of the pairs whose two rewards would be equal in bfloat16."""
        rounded = torch.tensor(self.rewards).bfloat16()
        return (rounded[:, 0] == rounded[:, 1]).float().mean().item()


def measure_pairs(model: nn.Module, tokenized: Sequence[TokenizedPair]) -> Measured | None:
    """Distances and rewards of as many pairs as seconds allow; None where that is fewer than a handful.

    Half are spread evenly over the data, half are those whose tokens differ least. The random state and the mode of
    each module stay as they are, so that a run after it is the run without it.
    """
    if getattr(model, "is_loaded_in_4bit", False):
        return None  # bitsandbytes may re-pack weights at the first forward pass without gradients
    affordable = _affordable_tokens(model)
    by_closeness = sorted(range(len(tokenized)), key=lambda i: _closeness(tokenized[i]))
    half = min(MOST_PAIRS // 2, len(tokenized))
    spread = [i * len(tokenized) // half for i in range(half)] if half else []
    typical = _within(spread, tokenized, affordable / 2)
    closest = _within(by_closeness[:half], tokenized, affordable / 2)
    if min(len(typical), len(closest)) < min(FEWEST_PAIRS, max(len(tokenized), 1)):
        return None
    measured = {i: _measure(model, tokenized[i]) for i in {*typical, *closest}}
    return Measured(
        typical=[measured[i][2] for i in typical],
        closest=[measured[i][2] for i in closest],
        closest_pairs=closest,
        rewards=[measured[i][:2] for i in measured],
    )


def differing_span(chosen: Sequence[Any], rejected: Sequence[Any]) -> int:
    """Length of what is left of the longer sequence without the beginning and the end that both share.

    Example:
        >>> differing_span([1, 2, 3, 9], [1, 5, 6, 7, 9])
        3
    """
    prefix = _shared(chosen, rejected)
    suffix = _shared(chosen[prefix:][::-1], rejected[prefix:][::-1])
    return max(len(chosen), len(rejected)) - prefix - suffix


def _shared(first: Sequence[Any], second: Sequence[Any]) -> int:
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(first, second, strict=False)))


def _closeness(pair: TokenizedPair) -> int:
    return differing_span(pair.chosen_ids, pair.rejected_ids)


def _affordable_tokens(model: nn.Module) -> float:
    device = next(model.parameters()).device.type
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return OPERATIONS.get(device, OPERATIONS["cpu"]) / (2 * parameters)


def _within(indices: Sequence[int], tokenized: Sequence[TokenizedPair], tokens: float) -> list[int]:
    """The first indices whose pairs have that many tokens together."""
    taken = []
    for i in indices:
        tokens -= len(tokenized[i].chosen_ids) + len(tokenized[i].rejected_ids)
        if tokens < 0:
            break
        taken.append(i)
    return taken


def _measure(model: nn.Module, pair: TokenizedPair) -> tuple[float, float, float]:
    """Chosen reward, rejected reward and distance of one pair."""
    parameter = next(model.parameters())
    batch = collate_pairs([(pair.chosen_ids, pair.rejected_ids)], pad_token_id(model)).to(parameter.device)
    autocast = torch.autocast(parameter.device.type, parameter.dtype, enabled=parameter.dtype != torch.float32)
    with evaluation_mode(model), torch.no_grad(), autocast:
        outputs = pair_outputs(model, batch)
    return outputs.reward_chosen.item(), outputs.reward_rejected.item(), outputs.representation_distance.item()
