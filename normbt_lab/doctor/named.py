"""The same for names: a model, pairs and a recipe, as they stand on the command line."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from normbt_lab.backbones import Backbone, load_tokenizer, resolve_backbone
from normbt_lab.backbones.backbone import explained_open_errors, open_config
from normbt_lab.data.checks import PreparedPairs, prepare_pairs
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.doctor.checkpoint_checks import check_stored_head, is_reward_model, weights_size
from normbt_lab.doctor.diagnosis import Diagnosis
from normbt_lab.doctor.finding import Finding, Severity
from normbt_lab.doctor.memory_need import needed_memory
from normbt_lab.doctor.model_checks import check_labels
from normbt_lab.doctor.run import MOST_PAIRS, examine
from normbt_lab.doctor.tokenizer_checks import check_pad_token
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.model import LoraSettings, build_reward_model, load_reward_model
from normbt_lab.shipped.registry import is_shipped_name, shipped_folder
from normbt_lab.trainer import NormBTConfig
from normbt_lab.training_request import TrainingRequest, request_and_config

# Larger weights take more than seconds to read; their files and headers are looked at instead.
LARGEST_WEIGHTS = 2 * 2**30


def examine_named(model: str, pairs: str | None = None, settings: dict[str, Any] | None = None) -> Diagnosis:
    """What is wrong with a model, pairs and settings that are given by name.

    Args:
        model: A backbone that is to be trained, or a reward model (folder or hub id); which of the two, its files say.
        pairs: What `read_pairs` reads; the first 500 are looked at. None for no data.
        settings: Names and values of a recipe. For a backbone none means the defaults of ``normbt train``; for a reward
            model it means that no run is planned.

    Raises:
        UsageError: An unknown backbone, setting or value.
    """
    folder = _folder(model)
    if folder is not None and is_reward_model(folder):
        found = _reward_model(model, folder, pairs, settings)
    else:
        found = _backbone(model, pairs, settings or {})
    return found


@dataclasses.dataclass
class _Opened:
    """What could be opened, and a finding for each thing that could not."""

    model: Any = None
    tokenizer: Any = None
    data: PreparedPairs | None = None
    config: NormBTConfig | None = None
    needed_memory: int | None = None
    findings: list[Finding] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)

    def examine(self, is_training: bool) -> Diagnosis:
        """The diagnosis of what was opened, with what was found on the way."""
        of_objects = examine(
            self.model,
            self.tokenizer,
            self.data,
            self.config,
            is_training=is_training,
            needed_memory=self.needed_memory,
        )
        named = {finding.name for finding in self.findings}
        findings = self.findings + [finding for finding in of_objects.findings if finding.name not in named]
        return Diagnosis(findings, of_objects.examined, self.skipped + of_objects.skipped)


def _backbone(name: str, pairs: str | None, settings: dict[str, Any]) -> Diagnosis:
    request, config = request_and_config({**settings, "model": name, "train_data": pairs or ""})
    opened = _Opened(config=config)
    try:
        backbone = resolve_backbone(name, request.num_layers, accept_gemma_terms=request.accept_gemma_terms)
        opened.tokenizer = load_tokenizer(backbone)
        opened.findings += check_pad_token(_stored_tokenizer(backbone.path), is_replaced=True)
        _read(opened, pairs, config.max_length, request.overlong)
        _plan_memory(opened, backbone, request, config)
        _build(opened, backbone, request)
    except UsageError:
        raise
    except NormBTError as error:
        opened.findings.append(_does_not_open("model", error))
    return opened.examine(is_training=True)


def _plan_memory(opened: _Opened, backbone: Backbone, request: TrainingRequest, config: NormBTConfig) -> None:
    if opened.data is None:
        return
    opened.needed_memory = needed_memory(
        open_config(backbone.path),
        config,
        max(opened.data.report.lengths),
        adapter=request.adapter,
        lora_r=request.lora_r,
        on_gpu=torch.cuda.is_available() and not config.use_cpu,
    )
    if opened.needed_memory is None:
        opened.skipped.append("memory: no estimate for this optimizer, precision or architecture")


def _build(opened: _Opened, backbone: Backbone, request: TrainingRequest) -> None:
    if not _is_small(backbone.path):
        opened.skipped.append("the model in memory: its weights are too large to read in seconds")
        return
    lora = LoraSettings(request.lora_r, request.lora_alpha, request.lora_dropout, request.lora_target_modules)
    opened.model = build_reward_model(backbone, request.adapter, lora=lora)


def _reward_model(name: str, folder: Path, pairs: str | None, settings: dict[str, Any] | None) -> Diagnosis:
    opened = _Opened()
    max_length, overlong = None, "drop"
    if settings is not None:
        request, opened.config = request_and_config({**settings, "model": name, "train_data": pairs or ""})
        max_length, overlong = opened.config.max_length, request.overlong
    try:
        with explained_open_errors(name):
            opened.findings += check_stored_head(folder)
        if not (folder / "adapter_config.json").is_file():
            opened.findings += check_labels(open_config(str(folder)))
        if (folder / "tokenizer_config.json").is_file():
            opened.tokenizer = _stored_tokenizer(str(folder))
            opened.findings += check_pad_token(opened.tokenizer)
        else:  # an adapter that leaves it to its backbone, as the shipped ones do
            opened.tokenizer = load_reward_model(name).tokenizer
        _read(opened, pairs, max_length, overlong)
        if not _is_small(str(folder)):
            opened.skipped.append("the model in memory: its weights are too large to read in seconds")
        elif not any(finding.severity is Severity.ERROR for finding in opened.findings):
            opened.model = load_reward_model(name).model
    except UsageError:
        raise
    except NormBTError as error:
        opened.findings.append(_does_not_open("model", error))
    return opened.examine(is_training=False)


def _read(opened: _Opened, source: str | None, max_length: int | None, overlong: str) -> None:
    if source is None:
        opened.skipped.append("data: none was given")
        return
    rejects = RejectLog()
    try:
        pairs = islice(read_pairs(source, rejects=rejects), MOST_PAIRS)
        opened.data = prepare_pairs(
            pairs, opened.tokenizer, max_length=max_length, overlong=overlong, rejects=rejects, progress=False
        )
    except UsageError:
        raise
    except NormBTError as error:
        opened.findings.append(_does_not_open("data", error))


def _does_not_open(what: str, error: NormBTError) -> Finding:
    return Finding(
        f"{what}_does_not_open",
        Severity.ERROR,
        str(error).rstrip("."),
        "it cannot be read as it is, and what depends on it could not be examined",
        "do what the message says",
    )


def _stored_tokenizer(path: str) -> Any:
    """The tokenizer as its files have it, without the pad token that `load_tokenizer` gives it."""
    from transformers import AutoTokenizer

    with explained_open_errors(path):
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)


def _folder(name: str) -> Path | None:
    """The folder of a local model, or of the copy of a hub model in the hub's cache; None where there is neither."""
    from huggingface_hub import try_to_load_from_cache

    if is_shipped_name(name):
        return shipped_folder(name)
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    if name.count("/") != 1 or name.startswith((".", "/")):
        return None
    for file in ("adapter_config.json", "config.json"):
        cached = try_to_load_from_cache(name, file)
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def _is_small(path: str) -> bool:
    folder = _folder(path)
    return folder is not None and 0 < weights_size(folder) <= LARGEST_WEIGHTS
