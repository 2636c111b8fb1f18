"""How much memory a training step needs, before it runs: parameters, precision and tokens -> expected peak.

The step is run dry: the package's own forward and backward pass on tensors that have a shape and a type and no numbers,
while every allocation and release is counted. So the estimate knows what autograd keeps, what checkpointing recomputes
and what autocast copies, for any architecture, without a table of formulas. What it cannot know, a GPU's context and
the allocator's gaps, is a margin in `MemoryEstimate.fits`.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from normbt_lab.data.batches import PairBatch
from normbt_lab.errors import UsageError
from normbt_lab.model import ADAPTERS
from normbt_lab.objectives import bradley_terry
from normbt_lab.quiet import quiet_loading
from normbt_lab.representations import pair_outputs

if TYPE_CHECKING:
    from transformers import PretrainedConfig

GIB = 2**30

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
OPTIMIZER_COPIES = {"adamw": 2, "sgd_momentum": 1, "sgd": 0}
"""float32 numbers that an optimizer keeps per trained parameter. AdamW is the fused one, which needs nothing more."""

FOUR_BIT_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes per parameter in nf4 with double quantisation: 8 bits per block of 64, 32 bits per 256 blocks."""

CONTEXT_BYTES = 0.75 * GIB
"""What a CUDA context and its libraries take, about. An assumption, not measured here."""

GAPS = 1.1
"""The allocator's rounding and gaps. An assumption, not measured here."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Expected peak of one training step, bytes by part, at the moment when their sum is largest.

    Attributes:
        weights: All parameters, trained and frozen.
        optimizer: What the optimizer keeps.
        gradients: Gradients of parameters that exist at the peak: few when it is at the start of the backward pass,
            all when it is at its end, or when gradients of earlier micro-batches wait.
        activations: What autograd keeps or recomputes, what is in flight, and the copies of trained matrices that
            autocast makes.
        head: The score head's float32 copy of its input and its scores.
        trained_parameters: Number of parameters that train.
    """

    weights: int
    optimizer: int
    gradients: int
    activations: int
    head: int
    trained_parameters: int

    @property
    def peak(self) -> int:
        """Sum of the parts, bytes."""
        return self.weights + self.optimizer + self.gradients + self.activations + self.head

    def fits(self, card_gib: float) -> bool:
        """Whether the peak fits a card, with a tenth for gaps and 0.75 GiB for the context."""
        return self.peak * GAPS + CONTEXT_BYTES <= card_gib * GIB

    def lines(self) -> list[str]:
        """One line a part, in GiB, then the sum."""
        parts = ("weights", "optimizer", "gradients", "activations", "head")
        return [f"{name}: {getattr(self, name) / GIB:.2f} GiB" for name in (*parts, "peak")]


def estimate_memory(
    config: PretrainedConfig,
    *,
    adapter: str = "lora",
    precision: str = "bfloat16",
    pairs: int = 1,
    length: int = 1024,
    lora_r: int = 8,
    optimizer: str = "adamw",
    activation_checkpointing: bool = True,
    gradient_accumulation_steps: int = 1,
) -> MemoryEstimate:
    """Expected peak memory of a training step on one device, by parts.

    Args:
        config: The backbone's config; nothing is downloaded or allocated.
        adapter: ``none`` (all parameters train), ``head``, ``lora``, ``qlora``.
        precision: Arithmetic: ``float32``, ``bfloat16``, ``float16``. Trained parameters are float32 as in
            `build_reward_model`; frozen ones have this type, or 4 bits under ``qlora``.
        pairs: Pairs per micro-batch; each is two rows.
        length: Tokens per row after padding.
        lora_r: Rank of the low-rank updates.
        optimizer: ``adamw``, ``sgd_momentum`` or ``sgd``.
        activation_checkpointing: Recompute each layer in the backward pass.
        gradient_accumulation_steps: Above 1, gradients of earlier micro-batches wait while the next one runs.

    Raises:
        UsageError: Unknown adapter, precision or optimizer, or a number below 1.

    Example:
        >>> from transformers import LlamaConfig
        >>> config = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        ...                      vocab_size=100, pad_token_id=0)
        >>> estimate = estimate_memory(config, adapter="none", precision="float32", length=16)
        >>> estimate.optimizer == 2 * estimate.weights  # AdamW keeps two numbers beside each
        True
    """
    for name, value, allowed in (
        ("adapter", adapter, ADAPTERS),
        ("precision", precision, PRECISIONS),
        ("optimizer", optimizer, OPTIMIZER_COPIES),
    ):
        if value not in allowed:
            raise UsageError(f"{name} is one of {', '.join(allowed)}; got {value!r}")
    for name, number in (("pairs", pairs), ("length", length), ("accumulation", gradient_accumulation_steps)):
        if number < 1:
            raise UsageError(f"{name} must be 1 or more; got {number}")
    dtype = PRECISIONS[precision]
    model = _shape_of_model(config, adapter, dtype, lora_r)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    trained_bytes = sum(parameter.nbytes for parameter in trained)
    working, gradients = _dry_run(
        model, dtype, 2 * pairs, length, activation_checkpointing, min(2, gradient_accumulation_steps)
    )
    rows_tokens = 2 * pairs * length
    head = 4 * rows_tokens * (_hidden_size(config) + 1) if dtype != torch.float32 else 4 * rows_tokens
    return MemoryEstimate(
        weights=_weight_bytes(model, adapter),
        optimizer=OPTIMIZER_COPIES[optimizer] * trained_bytes,
        gradients=gradients,
        activations=max(0, working - gradients - head) + _dequantised_bytes(model, adapter, dtype),
        head=head,
        trained_parameters=sum(parameter.numel() for parameter in trained),
    )


# ---- the model without numbers


def _shape_of_model(config: PretrainedConfig, adapter: str, dtype: torch.dtype, lora_r: int) -> nn.Module:
    """The reward model as `build_reward_model` makes it, its parameters being shapes alone."""
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(config)
    config.num_labels = 1
    text = config.get_text_config()
    text.pad_token_id = 0 if text.pad_token_id is None else text.pad_token_id
    with torch.device("meta"), quiet_loading():
        model: Any = AutoModelForSequenceClassification.from_config(
            config, dtype=torch.float32 if adapter == "none" else dtype
        )
        if adapter in ("lora", "qlora"):
            from peft import LoraConfig, get_peft_model

            lora = LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], target_modules="all-linear", r=lora_r)
            model = get_peft_model(model, lora)
    if adapter == "head":
        model.requires_grad_(False)
        model.score.requires_grad_(True)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _hidden_size(config: PretrainedConfig) -> int:
    return config.get_text_config().hidden_size


def _weight_bytes(model: nn.Module, adapter: str) -> int:
    if adapter != "qlora":
        return sum(parameter.nbytes for parameter in model.parameters())
    quantised = {id(matrix) for matrix in _frozen_matrices(model)}
    return round(
        sum(
            parameter.numel() * FOUR_BIT_BYTES if id(parameter) in quantised else parameter.nbytes
            for parameter in model.parameters()
        )
    )


def _dequantised_bytes(model: nn.Module, adapter: str, dtype: torch.dtype) -> int:
    """A 4-bit matrix is widened for each product and released: the largest one counts."""
    if adapter != "qlora":
        return 0
    return max(matrix.numel() for matrix in _frozen_matrices(model)) * dtype.itemsize


def _frozen_matrices(model: nn.Module) -> list[Tensor]:
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return [module.weight for module in linear if not module.weight.requires_grad and module.out_features > 1]


# ---- the dry run


def _dry_run(
    model: nn.Module, dtype: torch.dtype, rows: int, length: int, checkpointing: bool, micro_batches: int
) -> tuple[int, int]:
    """Most bytes that a step holds beside weights and optimizer, and how many of these are gradients then."""
    with FakeTensorMode(allow_non_fake_inputs=True), quiet_loading():
        _give_numbers_no_one_reads(model)
        model.train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
            if hasattr(model, "peft_config"):
                model.enable_input_require_grads()  # type: ignore[operator]  # as TRL does under PEFT
        ids = torch.ones(rows, length, dtype=torch.long)
        batch = PairBatch.from_padded({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, pad_token_id=0)
        with _counted(model) as counter:
            for _ in range(micro_batches):
                with torch.autocast("cpu", dtype) if dtype != torch.float32 else nullcontext():
                    loss = bradley_terry(pair_outputs(model, batch).reward_difference).mean()
                loss.backward()
                del loss
    return counter.peak, counter.gradients_at_peak


def _give_numbers_no_one_reads(model: nn.Module) -> None:
    """Turn meta tensors into fake ones on the CPU: autocast acts on these only."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                module._parameters[name] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


@contextmanager
def _counted(model: nn.Module) -> Iterator[_Allocations]:
    """Count what is allocated inside, beside what the model holds already."""
    counter = _Allocations(list(model.parameters()), [*model.parameters(), *model.buffers()])
    with counter:
        yield counter


class _Allocations(TorchDispatchMode):
    """Bytes of all storages alive, and their peak."""

    def __init__(self, parameters: list[nn.Parameter], held: list[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = self.gradients_at_peak = 0
        self._trained = [parameter for parameter in parameters if parameter.requires_grad]
        self._known: weakref.WeakSet[Any] = weakref.WeakSet(tensor.untyped_storage() for tensor in held)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = function(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor):
                self._see(result.untyped_storage())
        return results

    def _see(self, storage: Any) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        weakref.finalize(storage, self._release, size)
        self.now += size
        if self.now > self.peak:
            self.peak = self.now
            self.gradients_at_peak = sum(p.grad.nbytes for p in self._trained if p.grad is not None)

    def _release(self, size: int) -> None:
        self.now -= size
