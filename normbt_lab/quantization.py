"""The 4-bit setting of QLoRA: which numbers are quantised, and which must not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from normbt_lab.errors import UsageError
from normbt_lab.project import how_to_install

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig


def four_bit(compute_dtype: torch.dtype) -> BitsAndBytesConfig:
    """nf4 weights with double quantisation for the backbone (arXiv 2305.14314); the score head is left alone.

    Args:
        compute_dtype: Type in which the matrices are multiplied.

    Raises:
        UsageError: bitsandbytes is not installed.
    """
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise UsageError(f"4-bit models need bitsandbytes, which is not installed. {how_to_install('quant')}") from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=["score"],
    )


def keep_four_bit_weights(model: nn.Module) -> None:
    """Stop bitsandbytes from re-packing 4-bit weights for inference on a CPU.

    On CPUs with bfloat16 instructions, bitsandbytes 0.50 re-packs a layer's weights at its first forward pass without
    gradients and rounds their scales on the way, so that one evaluation changes the model that training goes on with.
    """
    for layer in _four_bit_layers(model):
        layer.support_avx512bf16_for_cpu = False


def compute_in_float32(model: nn.Module) -> None:
    """Turn a model's arithmetic to float32 in place; 4-bit parameters stay and are multiplied in float32.

    Widening bfloat16 loses nothing, so the rewards become those of the stored numbers.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.float()
    for layer in _four_bit_layers(model):
        layer.compute_dtype, layer.compute_type_is_set = torch.float32, True
    keep_four_bit_weights(model)


def _four_bit_layers(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if hasattr(module, "compute_type_is_set")]
