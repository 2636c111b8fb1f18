"""What a run is asked for: the model and data as a `TrainingRequest`, everything else as a `NormBTConfig`.

Apart from `training.py`, because the doctor and the suites read requests too and train nothing with them.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from normbt_lab.data.margins import require_margin_scale
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import UsageError
from normbt_lab.precision import choose_precision
from normbt_lab.quiet import quiet_loading
from normbt_lab.recipes import require_known, require_types
from normbt_lab.trainer import NormBTConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRequest:
    """What to train on what; how is `NormBTConfig`'s business.

    Attributes:
        train_data: Pairs, or a source that `read_pairs` reads.
        model: Backbone: a known name, a folder or a hub id.
        eval_data: Pairs or a source; None for no evaluation.
        adapter: ``none``, ``head``, ``lora`` or ``qlora``.
        num_layers: Use the first layers of the backbone only.
        lora_r: Rank of the low-rank updates.
        lora_alpha: Their scale: updates are multiplied by lora_alpha / lora_r.
        lora_dropout: Dropout inside the updates; anything above 0 shows the two responses two different networks.
        lora_target_modules: Names of the layers that get an update; ``all-linear`` for all but the head.
        train_stride: Take every so-many-th pair, counted as `read_pairs` does.
        overlong: ``drop``, ``truncate_left`` or ``truncate_right`` pairs beyond ``max_length`` tokens.
        train_pairs: Use the first so many pairs that pass the checks; None for all.
        margin_scale: ``mean1`` divides the margins by their mean, because rating scales differ between sources.
        head_layer_norm: LayerNorm before the head (ablation; not saved).
        accept_gemma_terms: The user accepts the Gemma terms of use.
        doctor: Examine the set-up first, and stop at an error; ``normbt train`` does unless told otherwise.
    """

    train_data: str | Sequence[PreferencePair]
    model: str = "smollm2-135m"
    eval_data: str | Sequence[PreferencePair] | None = None
    adapter: str = "lora"
    num_layers: int | None = None
    lora_r: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    lora_target_modules: str | list[str] = "all-linear"
    train_stride: int = 1
    overlong: str = "drop"
    train_pairs: int | None = None
    margin_scale: str | None = None
    head_layer_norm: bool = False
    accept_gemma_terms: bool = False
    doctor: bool = False

    def __post_init__(self) -> None:
        require_margin_scale(self.margin_scale)


def request_and_config(arguments: dict[str, Any]) -> tuple[TrainingRequest, NormBTConfig]:
    """Names and values as the two objects that a run takes.

    Raises:
        UsageError: An unknown name (with the closest known one), or a value that transformers or TRL refuses.
    """
    of_request = {field.name for field in dataclasses.fields(TrainingRequest)}
    of_config = {field.name for field in dataclasses.fields(NormBTConfig) if field.init}
    require_known(arguments, of_request | of_config)
    arguments = require_types(arguments, TrainingRequest, NormBTConfig)
    request = TrainingRequest(**{name: value for name, value in arguments.items() if name in of_request})
    if request.eval_data is None:  # also where a recipe says when to evaluate and the command line takes its data away
        arguments["eval_strategy"] = "no"
    return request, make_config(**{name: value for name, value in arguments.items() if name not in of_request})


def make_config(**arguments: Any) -> NormBTConfig:
    """A `NormBTConfig` whose precision and checkpointing fit this machine where the arguments do not say.

    Raises:
        UsageError: A value that transformers or TRL refuses, in its words.
    """
    arguments.setdefault("report_to", "none")
    arguments.setdefault("disable_tqdm", False)
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    arguments.setdefault("use_cpu", not has_gpu)
    arguments.setdefault("dataloader_pin_memory", torch.cuda.is_available())
    if "gradient_checkpointing" not in arguments:  # the older name of the same thing
        arguments.setdefault("activation_checkpointing", has_gpu)  # a CPU has memory to spare and no time
    if not any(arguments.get(name) is not None for name in ("bf16", "fp16", "pure_bf16")):
        precision = choose_precision()
        logger.info("computing in %s: %s", str(precision.dtype).removeprefix("torch."), precision.reason)
        arguments.update(precision.arguments)
    try:
        with quiet_loading():
            return NormBTConfig(**arguments)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error).splitlines()[0]) from error


def compute_dtype(config: NormBTConfig) -> torch.dtype:
    """The type in which a run of this configuration multiplies."""
    if config.bf16 or config.pure_bf16:
        return torch.bfloat16
    return torch.float16 if config.fp16 else torch.float32
