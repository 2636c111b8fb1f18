"""Backbone plus score head: build, load and save a reward model that stock transformers and PEFT open.

Nothing here is a class of ours: a reward model is transformers' sequence classifier with one label, plain or under
PEFT. Every save is reloaded from the written files and compared (the round-trip certificate), so that a head that was
never saved, a sigmoid instead of a reward, or a lost pad id cannot go unnoticed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from normbt_lab.backbones import Backbone, load_tokenizer, resolve_backbone
from normbt_lab.certificate import Certificate, certify, rewards_of
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.quantization import compute_in_float32, four_bit, keep_four_bit_weights
from normbt_lab.quiet import quiet_loading
from normbt_lab.representations import score_head
from normbt_lab.shipped.registry import local_folder, no_reward_model
from normbt_lab.state import STATE_FILE, NormBTState
from normbt_lab.whole_files import whole_folder

logger = logging.getLogger(__name__)

ADAPTERS = ("none", "head", "lora", "qlora")
"""What is trained: all parameters, the score head alone, low-rank updates and the head, the same in 4 bits."""

HEAD_CONFIG: dict[str, Any] = {
    "num_labels": 1,
    "id2label": {0: "reward"},
    "label2id": {"reward": 0},
    "problem_type": "regression",  # otherwise pipeline() returns a sigmoid of the reward
}


class UntrainedHeadError(NormBTError):
    """What was to be opened as a reward model is a language model: a backbone, whose rewards would be random."""


@dataclass(frozen=True)
class RewardModel:
    """A trained reward model, ready to score.

    Attributes:
        model: The sequence classifier, in evaluation mode.
        tokenizer: Its tokenizer.
        name: What the user called it.
        state: Running mean and settings of its training; None for a model that this package did not train.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    name: str
    state: NormBTState | None = None

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device


@dataclass(frozen=True)
class LoraSettings:
    """Shape of the low-rank updates: rank, scale (alpha / r), dropout, and the layers that get one."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"


def build_reward_model(
    backbone: Backbone,
    adapter: str = "none",
    *,
    seed: int = 42,
    dtype: torch.dtype = torch.float32,
    lora: LoraSettings = LoraSettings(),  # noqa: B008 (frozen)
    head_layer_norm: bool = False,
) -> nn.Module:
    """A reward model with a fresh score head on a pretrained backbone, on the CPU, ready for `NormBTTrainer`.

    The head is drawn right after seeding, so one seed gives one head whatever ran before. Trained parameters are
    float32; `dtype` is for the frozen ones.

    Args:
        backbone: What `resolve_backbone` returned.
        adapter: ``none`` (all parameters), ``head``, ``lora``, ``qlora`` (4-bit nf4 backbone).
        seed: Seed of the head and of the low-rank matrices.
        dtype: Type of frozen parameters: the backbone's under ``head`` and ``lora``, the arithmetic's under ``qlora``.
        lora: Shape of the low-rank updates.
        head_layer_norm: Put a LayerNorm before the head (ablation of Table 2; such a model cannot be saved).

    Raises:
        UsageError: Unknown adapter, or ``qlora`` without bitsandbytes.
    """
    if adapter not in ADAPTERS:
        raise UsageError(f"adapter is one of {', '.join(ADAPTERS)}; got {adapter!r}")
    set_seed(seed)
    model = load_classifier(
        backbone.path,
        dtype=torch.float32 if adapter == "none" else dtype,
        quantization=four_bit(dtype) if adapter == "qlora" else None,
    )
    _give_pad_token(model, load_tokenizer(backbone), adapter)
    if head_layer_norm:
        model.score = nn.Sequential(nn.LayerNorm(model.score.in_features), model.score)
    model = _with_adapter(model, adapter, lora)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _give_pad_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, adapter: str) -> None:
    """Tell the model its pad id, and make room for it where the tokenizer had to add one (as for GPT-2)."""
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        if adapter in ("lora", "qlora"):
            raise UsageError(
                "this backbone has no token to pad with, and the embedding of a new one would not be part of the "
                "adapter: use adapter none or head"
            )
        with quiet_loading():
            model.resize_token_embeddings(len(tokenizer))
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def _with_adapter(model: PreTrainedModel, adapter: str, lora: LoraSettings) -> nn.Module:
    if adapter == "none":
        return model
    if adapter == "head":
        model.requires_grad_(False)
        model.score.requires_grad_(True)
        return model
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type="SEQ_CLS",
        modules_to_save=["score"],
        target_modules=lora.target_modules,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
    )
    with quiet_loading():
        return get_peft_model(model, config)


def load_classifier(
    path: str, *, dtype: torch.dtype, quantization: BitsAndBytesConfig | None = None, with_head: bool = False
) -> PreTrainedModel:
    """The sequence classifier of transformers with one label from a folder or hub id.

    Args:
        path: Folder or hub id.
        dtype: Type of the parameters.
        quantization: 4-bit setting for the backbone.
        with_head: The checkpoint must hold a score head; otherwise one is drawn.

    Raises:
        NormBTError: It cannot be read, or lacks the head that `with_head` asks for.
    """
    try:
        with quiet_loading():
            model, info = AutoModelForSequenceClassification.from_pretrained(
                path,
                dtype=dtype,
                quantization_config=quantization,
                output_loading_info=True,
                use_safetensors=True,  # no pickled weights: SECURITY.md
                trust_remote_code=False,  # otherwise transformers asks on the terminal
                **HEAD_CONFIG,
            )
    except (OSError, ValueError, RuntimeError) as error:
        known = "the name of a reward model" if with_head else "the name of a backbone"
        raise NormBTError(
            f"{path} does not open as a sequence classifier ({_first_line(error)}). Give {known} that comes with the "
            "package, a folder with config.json and safetensors, or a hub id that you have access to and a network."
        ) from error
    keep_four_bit_weights(model)
    if with_head and any("score" in key for key in info["missing_keys"]):
        raise UntrainedHeadError(
            f"{path} is a language model without a trained score head: its rewards would be random. "
            "Train one with `normbt train`, or name a folder that `normbt train` wrote."
        )
    return model


def load_reward_model(name: str, dtype: str = "float32", device: str | None = None) -> RewardModel:
    """A trained reward model by name, from a folder (full or adapter) or a hub id, in evaluation mode.

    An adapter that this package trained finds its backbone by name, so a folder from another machine opens too.

    Args:
        name: ``smollm2-135m-bt`` or ``smollm2-135m-normbt``, which come with the package; a folder or hub id.
        dtype: ``float32``, ``bfloat16`` or ``float16``. The score head always runs in float32.
        device: Torch device; the GPU where there is one by default.

    Raises:
        NormBTError: Nothing there, no trained head (`UntrainedHeadError`), or an adapter for another backbone.
        UsageError: Unknown dtype.
    """
    if dtype not in ("float32", "bfloat16", "float16"):
        raise UsageError(f"dtype is float32, bfloat16 or float16; got {dtype!r}")
    torch_dtype = getattr(torch, dtype)
    folder = local_folder(name)
    state = NormBTState.read(folder) if (folder / STATE_FILE).is_file() else None
    model: Any
    if (folder / "adapter_config.json").is_file():
        model = _load_adapter(folder, torch_dtype, state)
    elif folder.is_dir() or "/" in name and not folder.is_absolute() and not name.startswith("."):
        model = load_classifier(name, dtype=torch_dtype, with_head=True)
    else:
        raise no_reward_model(name)
    tokenizer = _load_tokenizer(name, folder, state)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not getattr(model, "is_loaded_in_4bit", False):
        model = model.to(device)
    return RewardModel(model.eval(), tokenizer, name, state)


def _load_tokenizer(name: str, folder: Path, state: NormBTState | None) -> PreTrainedTokenizerBase:
    """The stored tokenizer, or the backbone's for an adapter that is stored without one."""
    if state is not None and state.backbone and not (folder / "tokenizer_config.json").is_file():
        return load_tokenizer(resolve_backbone(state.backbone["name"], state.backbone.get("num_layers")))
    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise NormBTError(
            f"the tokenizer of {name} does not open ({_first_line(error)}). Is the folder complete? A tokenizer that "
            "brings code of its own is not run."
        ) from error


def _load_adapter(folder: Path, dtype: torch.dtype, state: NormBTState | None) -> Any:
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict

    about = state.backbone if state else {}
    if about:
        backbone = resolve_backbone(about["name"], about.get("num_layers"))
        path = backbone.path
        if about.get("sha256") and backbone.sha256 != about["sha256"]:
            raise NormBTError(
                f"the adapter in {folder} was trained on {about.get('label', about['name'])} with SHA-256 "
                f"{about['sha256']}, and the backbone of that name here has {backbone.sha256}. Install the version of "
                "normbt-lab that trained it, or train again."
            )
    else:
        path = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    base = load_classifier(path, dtype=dtype, quantization=four_bit(dtype) if about.get("quantized") else None)
    misfit = (
        f"the adapter in {folder} does not fit the backbone {path} ({{why}}): it was trained on another one. "
        "Name its own backbone in adapter_config.json, base_model_name_or_path."
    )
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():  # PEFT would go on to adapter_model.bin, a pickle
        raise NormBTError(f"{folder} has no {weights.name}: is it complete? Pickled weights (.bin) are not opened.")
    try:
        with quiet_loading():
            model = PeftModel.from_pretrained(base, str(folder))
    except (RuntimeError, ValueError) as error:
        raise NormBTError(misfit.format(why=_first_line(error))) from error
    # PEFT loads what fits and leaves the rest out without a word.
    with safe_open(weights, framework="pt") as stored:
        different = set(stored.keys()) ^ set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if different:
        raise NormBTError(misfit.format(why=f"{len(different)} tensors differ, such as {min(different)}"))
    return model


def ask_for_gradients(model: nn.Module) -> None:
    """Let just those parameters ask for gradients that training moved.

    Of an adapter these are the low-rank matrices and the saved head, which PEFT freezes when it loads them; of any
    other model all parameters that are no quantised numbers.
    """
    is_adapter = hasattr(model, "peft_config")
    for name, parameter in model.named_parameters():
        is_trained = not is_adapter or "lora_" in name or "modules_to_save" in name
        parameter.requires_grad_(is_trained and parameter.is_floating_point())


def save_reward_model(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    state: NormBTState,
    sample: Sequence[tuple[Sequence[int], Sequence[int]]],
) -> Certificate:
    """Write a reward model in stock form, and prove it by reading it back.

    Written to a temporary folder, reloaded with plain transformers and PEFT, compared on sample pairs, and moved into
    place only then. Parameters are stored in one type (float32, or bfloat16 for a model trained in it), because a stock
    load of mixed types fails.

    Args:
        model: As `NormBTTrainer` trained it. It computes in float32 from here on.
        tokenizer: Its tokenizer.
        folder: Where it goes; other files there stay.
        state: Running mean and settings.
        sample: Token ids (chosen, rejected) of a few pairs.

    Returns:
        The certificate; the model card records it.

    Raises:
        NormBTError: The reloaded rewards differ by more than the certificate allows, or the folder cannot be written.
        UsageError: The model has a LayerNorm before its head.
    """
    if any(name.split(".")[-2:] == ["score", "0"] for name, _ in model.named_modules()):
        raise UsageError(
            "a LayerNorm before the score head is an ablation and cannot be saved: stock transformers builds a plain "
            "linear head and would drop it silently"
        )
    if score_head(model).weight.dtype != torch.bfloat16:
        compute_in_float32(model)
    model.eval()
    with whole_folder(folder, "the model") as unfinished:
        with quiet_loading():
            model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        certificate = certify(rewards_of(model, sample), unfinished, sample, state)
        state.write(unfinished)
    return certificate


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
