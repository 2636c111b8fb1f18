"""How much memory a planned run is expected to need, for the check of memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from normbt_lab.memory import CONTEXT_BYTES, GAPS, estimate_memory

if TYPE_CHECKING:
    from normbt_lab.trainer import NormBTConfig


def needed_memory(
    backbone_config: Any, config: NormBTConfig, longest: int, *, adapter: str, lora_r: int = 8, on_gpu: bool = False
) -> int | None:
    """Expected peak of a run in bytes, at its longest pair; None where there is no estimate for it.

    A step is run dry (`estimate_memory`) and nothing is allocated: seconds for a few hundred million parameters.

    Args:
        backbone_config: The backbone's own configuration.
        config: Settings of the run.
        longest: Tokens of the longest side.
        adapter: What is trained.
        lora_r: Rank of the low-rank updates.
        on_gpu: Add what a GPU's context and allocator take.
    """
    optimizer = _optimizer(config)
    if optimizer is None or config.pure_bf16:
        return None
    pairs = config.per_device_train_batch_size
    if config.max_tokens_per_batch is not None:
        pairs = max(1, min(pairs, config.max_tokens_per_batch // (2 * longest)))
    passes = math.ceil(config.per_device_train_batch_size / pairs)
    try:
        estimate = estimate_memory(
            backbone_config,
            adapter=adapter,
            precision="bfloat16" if config.bf16 else "float16" if config.fp16 else "float32",
            pairs=pairs,
            length=longest,
            lora_r=lora_r,
            optimizer=optimizer,
            activation_checkpointing=bool(config.activation_checkpointing),
            gradient_accumulation_steps=config.gradient_accumulation_steps * passes,
        )
    except (RuntimeError, NotImplementedError, TypeError, AttributeError):
        return None  # a step without numbers is more than some architectures take; all else can still be examined
    return round(estimate.peak * GAPS + CONTEXT_BYTES) if on_gpu else estimate.peak


def _optimizer(config: NormBTConfig) -> str | None:
    """The optimizer as the estimate calls it; None for one that it does not know."""
    name = str(getattr(config.optim, "value", config.optim))
    if name in ("adamw_torch", "adamw_torch_fused"):
        return "adamw"
    if name == "sgd":
        return "sgd_momentum" if "momentum" in str(config.optim_args) else "sgd"
    return None
