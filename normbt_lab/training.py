"""From data and a backbone to a saved reward model: the run that `normbt train`, the demo and the notebooks share.

`NormBTTrainer` is the training loop; this module is what stands around it: data checks, precision, the certificate, the
card, the record of the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

from normbt_lab.backbones import Backbone, load_tokenizer, resolve_backbone
from normbt_lab.backbones.backbone import open_config
from normbt_lab.card import write_card
from normbt_lab.certificate import Certificate
from normbt_lab.data.checks import PreparedPairs, prepare_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.doctor import examine_before_training
from normbt_lab.doctor.memory_need import needed_memory
from normbt_lab.errors import NormBTError, NotFiniteError
from normbt_lab.model import LoraSettings, build_reward_model, save_reward_model
from normbt_lab.progress import readable_progress
from normbt_lab.quiet import quiet_loading
from normbt_lab.state import NormBTState
from normbt_lab.trainer import NormBTConfig, NormBTTrainer
from normbt_lab.training_request import TrainingRequest, compute_dtype, make_config, request_and_config

__all__ = ["TrainingRequest", "TrainingRun", "make_config", "train_from_arguments", "train_reward_model"]

logger = logging.getLogger(__name__)

CERTIFICATE_PAIRS = 8

NAMED_PAIRS = 16
"""Pairs of a failed step that are named by file and line: one batch on a small machine."""


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Attributes:
        folder: Where the reward model lies.
        history: One record per log, as the trainer wrote them.
        metrics: Final evaluation metrics, empty without evaluation data.
        certificate: The round trip; None for an ablation that cannot be saved.
        minutes: Wall-clock time of training alone.
        pairs: Pairs trained on.
    """

    folder: Path
    history: list[dict[str, Any]]
    metrics: dict[str, float]
    certificate: Certificate | None
    minutes: float
    pairs: int


def train_from_arguments(arguments: dict[str, Any]) -> Path:
    """Run a training described by names and values, as they come from a recipe or the command line.

    Names are TRL's and transformers' where those have one; the new ones are `NormBTConfig`'s and `TrainingRequest`'s.

    Args:
        arguments: Name -> value, in Python's types.

    Returns:
        The folder of the reward model.

    Raises:
        UsageError: An unknown name (with the closest known one), or a value that transformers or TRL refuses.
    """
    arguments = {"doctor": True, **arguments}
    resume = arguments.pop("resume_from_checkpoint", None)
    request, config = request_and_config(arguments)
    return train_reward_model(request, config, resume).folder


def train_reward_model(request: TrainingRequest, config: NormBTConfig, resume: str | bool | None = None) -> TrainingRun:
    """Train, evaluate, save and certify one reward model.

    Args:
        request: Model and data.
        config: Everything about the training itself; ``output_dir`` is where the model goes.
        resume: A checkpoint folder, or True for the newest complete one of ``output_dir``.

    Raises:
        NormBTError: Data without a good pair, a loss that is not finite, files that cannot be written.
        UsageError: Arguments that contradict each other.
    """
    folder = _make_output_dir(Path(config.output_dir))
    backbone = resolve_backbone(request.model, request.num_layers, accept_gemma_terms=request.accept_gemma_terms)
    tokenizer = load_tokenizer(backbone)
    train_data, eval_data = _prepare(request, config, tokenizer, folder)
    model = build_reward_model(
        backbone,
        request.adapter,
        seed=config.seed,
        dtype=compute_dtype(config),
        lora=LoraSettings(request.lora_r, request.lora_alpha, request.lora_dropout, request.lora_target_modules),
        head_layer_norm=request.head_layer_norm,
    )
    if request.doctor:
        needed = _needed_gpu_memory(backbone, request, config, train_data)
        examine_before_training(model, tokenizer, train_data, config, needed)
    with quiet_loading():
        trainer = NormBTTrainer(
            model=model,
            args=config,
            train_dataset=train_data.to_dataset(margin_scale=request.margin_scale),
            eval_dataset=eval_data.to_dataset(margin_scale=request.margin_scale) if eval_data else None,
            processing_class=tokenizer,
        )
    started = time.perf_counter()
    try:
        with readable_progress(trainer):
            trainer.train(resume_from_checkpoint=resume)
    except NotFiniteError as error:
        raise NotFiniteError(f"{error}{_origins(train_data, error.pairs)}", error.pairs) from error
    minutes = (time.perf_counter() - started) / 60
    metrics = trainer.evaluate() if eval_data else {}
    trainer.save_state()
    certificate = None
    if not request.head_layer_norm and trainer.is_world_process_zero():
        certificate = _save(trainer, backbone, request, train_data, folder)
        write_card(folder, request, config, backbone, train_data, metrics, certificate, minutes)
    return TrainingRun(folder, trainer.state.log_history, metrics, certificate, minutes, len(train_data.pairs))


def _origins(data: PreparedPairs, pairs: Sequence[int]) -> str:
    """A sentence to add on where the first of these pairs came from; nothing where none is known."""
    places = [origin for pair in pairs if (origin := data.pairs[pair].origin)]
    more = f" and {len(places) - NAMED_PAIRS} more places" if len(places) > NAMED_PAIRS else ""
    return f" They come from {', '.join(places[:NAMED_PAIRS])}{more}." if places else ""


def _make_output_dir(folder: Path) -> Path:
    """The folder, after a file was written to it: a run of hours must not find out at its end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"a model goes here")
    except OSError as error:
        raise NormBTError(
            f"cannot write to the output folder {folder} ({error.strerror}): choose another --output-dir"
        ) from error
    return folder


def _prepare(
    request: TrainingRequest, config: NormBTConfig, tokenizer: Any, folder: Path
) -> tuple[PreparedPairs, PreparedPairs | None]:
    """Training and evaluation pairs as token ids, with the counts of what was left out printed to the log."""
    path = folder / "rejects.jsonl"
    with RejectLog(path) as rejects:
        prepared = _prepare_into(rejects, request, config, tokenizer)
    if not rejects.total:
        path.unlink(missing_ok=True)  # of an earlier run; not sooner, since a reader refuses it as its own input
    return prepared


def _prepare_into(
    rejects: RejectLog, request: TrainingRequest, config: NormBTConfig, tokenizer: Any
) -> tuple[PreparedPairs, PreparedPairs | None]:
    # Both sources first: neither may be the file that the other's rejects would replace.
    training = _pairs(request.train_data, rejects, request.train_stride)
    evaluation = None if request.eval_data is None else _pairs(request.eval_data, rejects)
    train_data = prepare_pairs(
        training,
        tokenizer,
        max_length=config.max_length,
        overlong=request.overlong,
        rejects=rejects,
        limit=request.train_pairs,
    )
    _log_report("train", train_data)
    if evaluation is None:
        return train_data, None
    eval_data = prepare_pairs(
        evaluation,
        tokenizer,
        max_length=config.max_length,
        overlong=request.overlong,
        rejects=rejects,
    )
    _log_report("eval", eval_data)
    return train_data, eval_data


def _log_report(name: str, data: PreparedPairs) -> None:
    for line in data.report.lines():
        logger.info("%s data: %s", name, line)


def _pairs(source: str | Sequence[PreferencePair], rejects: RejectLog, stride: int = 1) -> Iterable[PreferencePair]:
    if isinstance(source, str | Path):
        return read_pairs(source, stride=stride, rejects=rejects)
    return islice(source, 0, None, stride)


def _needed_gpu_memory(
    backbone: Backbone, request: TrainingRequest, config: NormBTConfig, data: PreparedPairs
) -> int | None:
    """Expected peak in bytes; None without a GPU, whose memory is what runs out."""
    if config.use_cpu or not torch.cuda.is_available():
        return None
    return needed_memory(
        open_config(backbone.path),
        config,
        max(data.report.lengths),
        adapter=request.adapter,
        lora_r=request.lora_r,
        on_gpu=True,
    )


def _save(
    trainer: NormBTTrainer, backbone: Backbone, request: TrainingRequest, train_data: PreparedPairs, folder: Path
) -> Certificate:
    state = trainer.state_of_run()
    about = {
        "name": request.model,
        "num_layers": request.num_layers,
        "label": backbone.label,
        "sha256": backbone.sha256,
        "quantized": request.adapter == "qlora",
    }
    state = NormBTState(state.running_mean, state.global_step, state.num_tokens, state.settings, about)
    sample = [(pair.chosen_ids, pair.rejected_ids) for pair in train_data.tokenized[:CERTIFICATE_PAIRS]]
    # Without the autocast that accelerate wraps around the forward pass: rewards are compared in float32.
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return save_reward_model(model, trainer.processing_class, folder, state, sample)
