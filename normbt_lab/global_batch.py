"""The pairs of one optimizer step over all its micro-batches and processes: each numbered, each counted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from trl.trainer.reward_trainer import DataCollatorForPreference

from normbt_lab.representations import in_float64


@dataclass
class PairCollator(DataCollatorForPreference):
    """TRL's collator, keeping each pair's position in the data set so that a failing step can name its pairs."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch plus ``pair_index``, shape (pairs,), where the examples have it."""
        batch = super().torch_call(examples)
        if "pair_index" in examples[0]:
            batch["pair_index"] = torch.tensor([example["pair_index"] for example in examples])
        return batch


def has_repeats(accelerator: Accelerator) -> bool:
    """Whether accelerate has filled up the batch just read, so that every process has as many pairs."""
    is_last = accelerator.gradient_state.end_of_dataloader and accelerator.gradient_state.remainder > 0
    return accelerator.num_processes > 1 and accelerator.even_batches and is_last


def without_repeats(accelerator: Accelerator, inputs: dict[str, Any]) -> dict[str, Any]:
    """The batch just read without pairs that are there a second time; where none is left, one, ``only_repeats``."""
    if not has_repeats(accelerator):
        return inputs
    here = len(inputs["input_ids"]) // 2
    # The last pairs of the data go to the processes in their order, and the repeats come after them.
    real = accelerator.gradient_state.remainder - accelerator.process_index * here
    kept = min(max(real, 1), here)
    rows = [*range(kept), *range(here, here + kept)]
    shorter = {name: value[rows] if len(value) == 2 * here else value[:kept] for name, value in inputs.items()}
    return shorter | {"only_repeats": real <= 0}


def pairs_that_count(inputs: dict[str, Any]) -> int:
    """Number of pairs in a batch of `PairCollator`; none where all are there a second time."""
    return 0 if inputs.get("only_repeats") else len(inputs["input_ids"]) // 2


def sum_over_processes(accelerator: Accelerator, value: float) -> float:
    """Sum of one number per process, in float64."""
    if accelerator.num_processes == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=accelerator.device)
    return accelerator.reduce(tensor, reduction="sum").item()


def mean_over_pairs(accelerator: Accelerator, values: list[Tensor]) -> float:
    """Mean over every pair of the global batch; in float64, so that the split leaves no trace in float32.

    Args:
        accelerator: The trainer's.
        values: One tensor per micro-batch of this process, shape (pairs,) each.
    """
    total = sum(in_float64(value).sum().item() for value in values)
    count = sum(len(value) for value in values)
    return sum_over_processes(accelerator, total) / sum_over_processes(accelerator, float(count))


def gather_pairs(accelerator: Accelerator, values: list[Tensor]) -> Tensor:
    """One number per pair of the global batch, from every process, float32.

    Args:
        accelerator: The trainer's.
        values: One tensor per micro-batch of this process, shape (pairs,) each.
    """
    local = torch.cat(values).float()
    if accelerator.num_processes == 1:
        return local
    marked = torch.stack([local, torch.ones_like(local)], dim=1)  # (pairs here, 2): padding is marked 0
    gathered = accelerator.gather(accelerator.pad_across_processes(marked))
    return gathered[gathered[:, 1] == 1, 0]
