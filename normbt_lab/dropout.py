"""Dropout that is on in training: it shows the two responses of a pair two different networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def active_dropout(model: nn.Module) -> dict[str, float]:
    """Name -> rate of every dropout that is above zero.

    Args:
        model: Any model; what counts is what its modules would do in training mode.

    Example:
        >>> active_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1), nn.Dropout(0.0)))
        {'1': 0.1}
    """
    rates = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    return {name: rate for name, rate in rates.items() if rate > 0} | attention_dropout(model)


def attention_dropout(model: nn.Module) -> dict[str, float]:
    """Name -> rate of the dropout inside attention layers, which ``disable_dropout`` does not reach."""
    found = {}
    for name, module in model.named_modules():
        rate = vars(module).get("attention_dropout")
        if isinstance(rate, float) and rate > 0:
            found[f"{name}.attention_dropout"] = rate
    return found


@contextmanager
def seeded_dropout(seed: int, device: torch.device) -> Iterator[None]:
    """Passes inside draw their dropout from this seed alone, and leave the random numbers after them as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
