"""A run that has blown up must not harm what was good.

Gradients are looked at before the update, parameters before they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from normbt_lab.global_batch import sum_over_processes


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no tensor holds an infinity or NaN; True of no tensors.

    Example:
        >>> all_finite([torch.ones(2), torch.zeros(3)]), all_finite([torch.ones(2), torch.tensor([0.0, math.nan])])
        (True, False)
    """
    # The largest magnitude, which cannot overflow as a sum of squares would, and a NaN stays one.
    return math.isfinite(torch.nn.utils.get_total_norm(list(tensors), norm_type=math.inf))


def gradients_are_finite(model: nn.Module, accelerator: Accelerator) -> bool:
    """Whether the gradients of every process are; True in float16, whose scaler passes over such steps by itself."""
    if accelerator.scaler is not None:
        return True
    return _on_every_process(accelerator, (p.grad for p in model.parameters() if p.grad is not None))


def parameters_are_finite(model: nn.Module, accelerator: Accelerator) -> bool:
    """Whether the trained parameters of every process are."""
    return _on_every_process(accelerator, (p.detach() for p in model.parameters() if p.requires_grad))


def _on_every_process(accelerator: Accelerator, tensors: Iterable[Tensor]) -> bool:
    return sum_over_processes(accelerator, float(not all_finite(tensors))) == 0
