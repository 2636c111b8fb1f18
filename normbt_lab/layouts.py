"""Which models compute the shared-prefix layout as they compute the padded one: by what is known, then by a check.

`supports_shared_prefix` decides by architecture and attention implementation; each that it lists is compared with the
padded layout in the tests. `check_layout` computes one batch of the run both ways. What fails either falls back to the
padded layout, the reference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from normbt_lab.data.batches import PairBatch, collate_pairs
from normbt_lab.data.length_batches import padded_slots, split_by_tokens
from normbt_lab.data.shared_prefix import (
    ROW_TOKENS,
    Packing,
    collate_shared_prefix,
    share_prefixes,
    shared_slots,
)
from normbt_lab.data.tree_mask import MaskForm
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.representations import PairOutputs, evaluation_mode, pad_token_id, pair_outputs

logger = logging.getLogger(__name__)

LAYOUTS = ("auto", "shared_prefix", "padded")
"""Shared prefix where it is verified and the check passes; insist on it; the reference."""

CHECKED_PAIRS = 2
"""Pairs of a run that are computed both ways before it shares prefixes."""

VERIFIED = {
    "llama": ("sdpa", "eager"),
    "mistral": ("sdpa", "eager"),
    "qwen2": ("sdpa", "eager"),
    "qwen3": ("sdpa", "eager"),
    "gemma": ("sdpa", "eager"),
    "gemma2": ("eager",),  # transformers refuses sdpa for it: no soft-capping there
    "gemma3_text": ("sdpa", "eager"),
}
"""Architectures (``config.model_type``) and their attention implementations that the tests compare with the padded
layout."""

_MASK_BY_LAYER_TYPE = ("qwen2", "qwen3", "gemma2", "gemma3_text")

# What decides the rotation of a token by its own position alone; the others look at the longest row of the batch.
_ROPE_BY_POSITION = ("default", "linear", "llama3", "yarn")

# Largest relative distance between the representations of the two layouts that is still rounding. On 30 layers
# (SmolLM2-135M) rounding alone gave 1e-6, 0.003 and 0.015 in float32, float16 and bfloat16; wrong masks gave 0.38 and
# up on the tests' models. A trained model can round more: the padded bfloat16 layout of smollm2-135m-bt is up to 0.16
# from its own float32. Such a model falls back to the padded layout, which costs time and nothing else.
_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}


@dataclass(frozen=True)
class Support:
    """Whether a model may use the shared-prefix layout, and in a sentence why or why not."""

    ok: bool
    reason: str


@dataclass(frozen=True)
class LayoutCheck:
    """How far two layouts of the same pairs came apart.

    Attributes:
        agrees: Whether the distance is within what rounding explains.
        relative_difference: Largest ‖h_shared - h_padded‖ / ‖h_padded‖ over all responses.
        reward_difference: Largest difference of a reward, in nats.
        tolerance: Allowed `relative_difference`; it depends on the number format.
    """

    agrees: bool
    relative_difference: float
    reward_difference: float
    tolerance: float


@dataclass(frozen=True)
class Layout:
    """How token pairs become a batch.

    Attributes:
        mask_form: How the model wants its attention mask in shared-prefix rows; None for the padded layout. Batches
            that would cost more in shared-prefix rows are padded all the same.
        row_tokens: Most token slots that pairs share in a row.
    """

    mask_form: MaskForm | None = None
    row_tokens: int = ROW_TOKENS

    @property
    def name(self) -> str:
        """``shared_prefix`` or ``padded``."""
        return "padded" if self.mask_form is None else "shared_prefix"

    def slots(self, chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> int:
        """Token slots of a pair, with the padding to its own longer response."""
        return (padded_slots if self.mask_form is None else shared_slots)(chosen_ids, rejected_ids)

    def collate(
        self,
        token_pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
        pad_token_id: int,
        margin: Sequence[float] | None = None,
    ) -> PairBatch:
        """Pairs of token-id sequences as one batch of this layout.

        Args:
            token_pairs: ``(chosen_ids, rejected_ids)`` of each pair, neither empty nor ending in the pad token.
            pad_token_id: The model's pad id.
            margin: Rating differences, one per pair.
        """
        if self.mask_form is not None:
            packing = Packing.of(token_pairs, self.row_tokens)
            if packing.is_cheaper:
                return collate_shared_prefix(token_pairs, pad_token_id, self.mask_form, margin, packing=packing)
        return collate_pairs(token_pairs, pad_token_id, margin)

    def of_padded(self, batch: PairBatch, pad_token_id: int) -> PairBatch:
        """A batch of the padded layout in this one, pooled at the same tokens, for callers that have TRL's batches.

        Args:
            batch: Pairs in the padded layout.
            pad_token_id: The model's pad id.
        """
        if self.mask_form is not None:
            packing = Packing.of(batch.token_pairs(), self.row_tokens)
            if packing.is_cheaper:
                return share_prefixes(batch, pad_token_id, self.mask_form, packing=packing)
        return batch

    def micro_batches(self, batch: PairBatch, pad_token_id: int, max_tokens_per_batch: int | None) -> list[PairBatch]:
        """A batch of the padded layout in this one, split where it exceeds a budget of token slots.

        Args:
            batch: Pairs in the padded layout.
            pad_token_id: The model's pad id.
            max_tokens_per_batch: Token slots of a part: its pairs times the longest of them. A pair that alone has
                more is a part of its own, and a part that is cheaper padded than shared may take more. None for no
                split.

        Returns:
            Parts of like lengths, long pairs first.
        """
        if max_tokens_per_batch is None:
            return [self.of_padded(batch, pad_token_id)]
        lengths = [self.slots(chosen, rejected) for chosen, rejected in batch.token_pairs()]
        return [
            self.of_padded(batch.take(part), pad_token_id) for part in split_by_tokens(lengths, max_tokens_per_batch)
        ]


PADDED = Layout()


def require_layout_name(layout: str) -> None:
    """Refuse what is not one of `LAYOUTS`.

    Raises:
        UsageError: It is not; the message lists them.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"layout is one of {', '.join(LAYOUTS)}; got {layout!r}")


def choose_layout(
    model: nn.Module,
    sample: PairBatch,
    layout: str = "auto",
    row_tokens: int = ROW_TOKENS,
) -> Layout:
    """The layout of a run, checked on a few of its own pairs before it starts.

    Args:
        model: A sequence classifier with one label, plain or wrapped by PEFT, on its device.
        sample: A few pairs in the padded layout, on the model's device, to compute both ways.
        layout: One of `LAYOUTS`. ``auto`` falls back to the padded layout with one line in the log.
        row_tokens: Most token slots that pairs share in a row.

    Raises:
        UsageError: `layout` is not a layout, or ``shared_prefix`` was asked for and the model does not support it.
        NormBTError: ``shared_prefix`` was asked for and the two layouts disagree on these pairs.

    Example:
        >>> from normbt_lab.backbones import resolve_backbone
        >>> from normbt_lab.model import build_reward_model
        >>> sample = collate_pairs([([5, 6, 7], [5, 6, 8])], pad_token_id=0)
        >>> choose_layout(build_reward_model(resolve_backbone("tiny-random")), sample).name
        'shared_prefix'
    """
    require_layout_name(layout)
    if layout == "padded":
        return PADDED
    support = supports_shared_prefix(model)
    if not support.ok:
        if layout == "shared_prefix":
            raise UsageError(f"no shared-prefix layout for this model: {support.reason}. Use layout auto or padded.")
        logger.warning("Padded layout: %s.", support.reason)
        return PADDED
    chosen = Layout(mask_form(model), row_tokens)
    shared = share_prefixes(sample, pad_token_id(model), mask_form(model), row_tokens)
    check = check_layout(model, sample, shared)
    if check.agrees:
        return chosen
    apart = (
        f"in a first sample the two layouts differ by {check.relative_difference:.2g} of a representation's length, "
        f"more than the {check.tolerance:g} that rounding is allowed"
    )
    if layout == "shared_prefix":
        raise NormBTError(f"{apart}: this model may not honour the attention mask or positions. Use layout padded.")
    logger.warning("Padded layout: %s.", apart)
    return PADDED


_chosen: WeakKeyDictionary[nn.Module, dict[tuple[str, MaskForm | None], Layout]] = WeakKeyDictionary()


def choose_layout_once(model: nn.Module, sample: Callable[[], PairBatch], layout: str = "auto") -> Layout:
    """`choose_layout` for those who score again and again: one check and one line in the log per model.

    A model whose attention was exchanged in the meantime is checked again.

    Args:
        model: As in `choose_layout`.
        sample: Makes the few pairs to compute both ways, when they are needed.
        layout: As in `choose_layout`.
    """
    known = _chosen.setdefault(model, {})
    key = _layout_key(model, layout)
    if key not in known:
        known[key] = choose_layout(model, sample(), layout)
    return known[key]


def layout_used(model: nn.Module, layout: str = "auto") -> str | None:
    """Name of the layout that `choose_layout_once` found for a model; None before it was asked."""
    found = _chosen.get(model, {}).get(_layout_key(model, layout))
    return found.name if found else None


def _layout_key(model: nn.Module, layout: str) -> tuple[str, MaskForm | None]:
    return layout, mask_form(model) if supports_shared_prefix(model).ok else None


def supports_shared_prefix(model: Any) -> Support:
    """Whether a model's code honours a tree attention mask and restarted positions.

    A model that ignores either gives wrong rewards without a word, so what is not known to work is refused.

    Args:
        model: A sequence classifier, plain, wrapped by PEFT, or with 4-bit weights.

    Example:
        >>> from transformers import LlamaConfig, LlamaForSequenceClassification
        >>> config = LlamaConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        ...                      num_attention_heads=2, attn_implementation="sdpa")
        >>> supports_shared_prefix(LlamaForSequenceClassification(config))
        Support(ok=True, reason='llama with sdpa attention is verified')
    """
    if any(peft.is_prompt_learning for peft in getattr(model, "peft_config", {}).values()):
        return Support(False, "prompt-learning adapters put tokens of their own before each row")
    classifier = _classifier(model)
    config = classifier.config
    architecture, attention = config.model_type, config._attn_implementation
    if architecture not in VERIFIED:
        return Support(False, f"the architecture {architecture} is not verified (there are {', '.join(VERIFIED)})")
    if not type(classifier).__module__.startswith("transformers.models."):
        return Support(False, f"{type(classifier).__name__} is not transformers' own code for {architecture}")
    if attention not in VERIFIED[architecture]:
        verified = " or ".join(VERIFIED[architecture])
        return Support(False, f"{architecture} with {attention} attention is not verified (only with {verified})")
    obstacle = _obstacle(classifier)
    if obstacle:
        return Support(False, obstacle)
    return Support(True, f"{architecture} with {attention} attention is verified")


def mask_form(model: Any) -> MaskForm:
    """How a supported model wants its attention mask."""
    config = _classifier(model).config
    additive = config._attn_implementation == "eager"
    if config.model_type == "mistral":
        return MaskForm(additive, sliding_window=config.sliding_window)  # one mask, windowed in every layer
    if config.model_type in _MASK_BY_LAYER_TYPE:
        layer_types = tuple(sorted(set(config.layer_types)))
        # A single mask would serve the sliding layers too, without their window.
        return MaskForm(additive, config.sliding_window if "sliding_attention" in layer_types else None, layer_types)
    return MaskForm(additive)


def check_layout(model: nn.Module, padded: PairBatch, shared: PairBatch) -> LayoutCheck:
    """One batch computed in both layouts and compared, without gradients or dropout.

    Autocast is off, so that a difference under it is not taken for rounding.

    Args:
        model: A sequence classifier with one label, plain or wrapped by PEFT.
        padded: Pairs in the padded layout, on the model's device.
        shared: The same pairs in the shared-prefix layout.
    """
    reference, other = _measured(model, padded), _measured(model, shared)
    h_reference = torch.cat([reference.h_chosen, reference.h_rejected])
    h_other = torch.cat([other.h_chosen, other.h_rejected])
    relative = ((h_other - h_reference).norm(dim=-1) / h_reference.norm(dim=-1)).max().item()
    reward = (_rewards(other) - _rewards(reference)).abs().max().item()
    tolerance = _tolerance(model)
    # Written so that a NaN does not agree.
    return LayoutCheck(relative <= tolerance, relative, reward, tolerance)


def _measured(model: nn.Module, batch: PairBatch) -> PairOutputs:
    with evaluation_mode(model), torch.no_grad(), _without_autocast(model, batch.input_ids.device.type):
        return pair_outputs(model, batch)


@contextmanager
def _without_autocast(model: nn.Module, device: str) -> Iterator[None]:
    """Also where an earlier trainer's accelerate has wrapped autocast around the model's own forward pass."""
    own: dict[str, Any] = vars(model)
    wrapped = own.get("forward")
    if wrapped is not None and "_original_forward" in own:
        own["forward"] = own["_original_forward"]
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        if wrapped is not None:
            own["forward"] = wrapped


def _rewards(outputs: PairOutputs) -> Tensor:
    return torch.cat([outputs.reward_chosen, outputs.reward_rejected])


def _tolerance(model: nn.Module) -> float:
    """What the coarsest number format that the model computes in explains."""
    formats: set[Any] = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    formats |= {module.compute_dtype for module in model.modules() if hasattr(module, "compute_type_is_set")}
    if torch.get_float32_matmul_precision() != "highest":
        formats.add(torch.float16)  # TF32 has its 10 bits after the leading one
    return max(_TOLERANCE[dtype] for dtype in formats & _TOLERANCE.keys())


def _classifier(model: Any) -> Any:
    """The sequence classifier inside PEFT's wrapper."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def _obstacle(classifier: Any) -> str | None:
    """What in the configuration of a verified architecture makes a token depend on more than its own sequence."""
    config = classifier.config
    if getattr(config, "use_bidirectional_attention", False):
        return "its attention is bidirectional"
    unknown = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if unknown:
        return f"it has layers of kind {', '.join(sorted(unknown))}"
    scalings = _rope_types(getattr(config, "rope_parameters", None) or {})
    if not scalings <= set(_ROPE_BY_POSITION):
        return f"its rotary positions ({', '.join(sorted(scalings))}) depend on the longest row of the batch"
    quantization = getattr(config, "quantization_config", None)
    if quantization is not None and not getattr(classifier, "is_loaded_in_4bit", False):
        return "its quantisation may round a token by what else is in the batch (4-bit of bitsandbytes does not)"
    return None


def _rope_types(parameters: dict[str, Any]) -> set[str]:
    """The kinds of rotary scaling: one, or one by layer type."""
    nested = [value for value in parameters.values() if isinstance(value, dict)]
    if nested:
        return set().union(*map(_rope_types, nested))
    return {parameters.get("rope_type", "default")}
