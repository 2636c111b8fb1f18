"""One run of a suite: train, measure, write ``result.json`` last; a run that has one is not run again.

The model itself is not kept: a suite is about numbers, and `normbt train` makes models.
"""

from __future__ import annotations

import gc
import json
import logging
import platform
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbt_lab.errors import NormBTError, NotFiniteError
from normbt_lab.experiments.settings import TrialSettings
from normbt_lab.experiments.split_scores import SplitScores
from normbt_lab.experiments.trial_data import TrialData
from normbt_lab.whole_files import write_whole

if TYPE_CHECKING:
    from normbt_lab.trainer import NormBTConfig, NormBTTrainer

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class TrialResult:
    """A finished run.

    Attributes:
        settings: What it ran with.
        fingerprint: Of settings and data.
        splits: Split -> what the model says of its pairs; empty for a failed run.
        history: The trainer's log, one record per optimizer step.
        minutes: Wall-clock time of training and of measuring.
        trained_pairs: Pairs left after the checks.
        versions: Of this package, torch, transformers and TRL, and the precision and device.
        failure: Why there are no numbers, such as a loss that is not finite; None for none.
    """

    settings: TrialSettings
    fingerprint: str
    splits: dict[str, SplitScores]
    history: list[dict[str, Any]]
    minutes: dict[str, float]
    trained_pairs: int
    versions: dict[str, str]
    failure: str | None = None

    def logged_mean(self, name: str) -> float | None:
        """Mean over the steps of a logged number such as ``weight_mean``; None where it was not logged."""
        values = [record[name] for record in self.history if name in record]
        return sum(values) / len(values) if values else None

    def write(self, folder: Path) -> None:
        """Write ``result.json``, whole or not at all."""
        write_whole(folder / RESULT_FILE, json.dumps(asdict(self)), "the result")

    @classmethod
    def read(cls, folder: Path) -> TrialResult | None:
        """The result in a folder; None for a run that was not finished."""
        try:
            record = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        record["settings"] = TrialSettings(**record["settings"])
        record["splits"] = {name: SplitScores(**columns) for name, columns in record["splits"].items()}
        return cls(**record)


def run_trial(settings: TrialSettings, data: TrialData, folder: Path) -> TrialResult:
    """The result of a run: the one in its folder if settings and data are those of now, else a new one.

    A run that was killed goes on from its last checkpoint where ``save_steps`` asks for any, else from the start. A
    run whose loss stops being finite is a result too: its rate is too high.

    Args:
        settings: What to run.
        data: From `load_trial_data` of these settings.
        folder: Of this run alone.

    Raises:
        UsageError: Settings that this backbone or data cannot meet.
    """
    fingerprint = settings.fingerprint(data.digest)
    done = TrialResult.read(folder)
    if done is not None and done.fingerprint == fingerprint:
        return done
    _start_folder(folder, fingerprint)
    result = _run(settings, data, folder, fingerprint)
    result.write(folder)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    gc.collect()  # a trainer and its model refer to each other, and the next run needs the memory
    return result


def _start_folder(folder: Path, fingerprint: str) -> None:
    """An empty folder, or one with checkpoints of exactly this run."""
    mark = folder / "fingerprint.txt"
    if folder.is_dir() and not (mark.is_file() and mark.read_text() == fingerprint):
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        (folder / RESULT_FILE).unlink()
    mark.write_text(fingerprint)


def _run(settings: TrialSettings, data: TrialData, folder: Path, fingerprint: str) -> TrialResult:
    from normbt_lab.progress import readable_progress

    trainer, trained_pairs = _trainer(settings, data, folder)
    versions = _versions(trainer)
    started = time.perf_counter()
    try:
        with readable_progress(trainer):
            trainer.train(resume_from_checkpoint=_checkpoint(folder))
    except NotFiniteError as error:
        minutes = {"training": (time.perf_counter() - started) / 60}
        history = trainer.state.log_history
        return TrialResult(settings, fingerprint, {}, history, minutes, trained_pairs, versions, failure=str(error))
    trained = time.perf_counter()
    splits = _scores(trainer, settings, data)
    minutes = {"training": (trained - started) / 60, "measuring": (time.perf_counter() - trained) / 60}
    return TrialResult(settings, fingerprint, splits, trainer.state.log_history, minutes, trained_pairs, versions)


def _trainer(settings: TrialSettings, data: TrialData, folder: Path) -> tuple[NormBTTrainer, int]:
    """The same trainer that `normbt train` uses, and the number of pairs it trains on."""
    from normbt_lab.backbones import load_tokenizer, resolve_backbone
    from normbt_lab.data.checks import prepare_pairs
    from normbt_lab.model import LoraSettings, build_reward_model
    from normbt_lab.objectives import OBJECTIVES
    from normbt_lab.quiet import quiet_loading
    from normbt_lab.trainer import NormBTTrainer
    from normbt_lab.training_request import compute_dtype

    config = _config(settings, folder)
    backbone = resolve_backbone(settings.model, settings.num_layers)
    tokenizer = load_tokenizer(backbone)
    prepared = prepare_pairs(
        data.train, tokenizer, max_length=settings.max_length, overlong=settings.overlong, progress=False
    )
    model = build_reward_model(
        backbone,
        settings.adapter,
        seed=settings.seed,
        dtype=compute_dtype(config),
        lora=LoraSettings(settings.lora_r, settings.lora_alpha),
        head_layer_norm=settings.head_layer_norm,
    )
    needs_margin = OBJECTIVES[settings.objective].needs_margin
    dataset = prepared.to_dataset(with_margins=needs_margin, margin_scale=settings.margin_scale)
    with quiet_loading():
        trainer = NormBTTrainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer)
    return trainer, len(prepared)


def _config(settings: TrialSettings, folder: Path) -> NormBTConfig:
    from normbt_lab.precision import choose_precision
    from normbt_lab.training_request import make_config

    same_names = (
        "objective label_smoothing weighting norm_alpha ema_beta weight_norm center_rewards_coefficient max_grad_norm "
        "optim optim_args learning_rate lr_scheduler_type warmup_steps num_train_epochs max_length "
        "activation_checkpointing seed"
    ).split()
    arguments = {name: getattr(settings, name) for name in same_names}
    # Said once in the report, not at each of a hundred runs, as make_config would when left to choose.
    arguments.update({"pure_bf16": True} if settings.pure_bf16 else choose_precision().arguments)
    if settings.save_steps is not None:
        arguments.update(save_steps=settings.save_steps, save_total_limit=1)
    return make_config(
        output_dir=str(folder),
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=settings.batch_size // settings.micro_batch_size,
        logging_steps=1,
        save_strategy="no" if settings.save_steps is None else "steps",
        disable_tqdm=True,
        **arguments,
    )


def _checkpoint(folder: Path) -> str | None:
    from normbt_lab.checkpoints import last_complete_checkpoint

    try:
        return str(last_complete_checkpoint(folder))
    except NormBTError:  # none, or none that is whole: from the start
        return None


def _scores(trainer: NormBTTrainer, settings: TrialSettings, data: TrialData) -> dict[str, SplitScores]:
    import torch

    from normbt_lab.model import RewardModel
    from normbt_lab.scoring import score_pairs
    from normbt_lab.training_request import compute_dtype

    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    reward_model = RewardModel(model, trainer.processing_class, Path(trainer.args.output_dir).name)
    dtype = compute_dtype(trainer.args)
    is_mixed = dtype != torch.float32 and not settings.pure_bf16
    with torch.autocast(reward_model.device.type, dtype, enabled=is_mixed):
        return {
            name: SplitScores.of(score_pairs(reward_model, pairs, max_length=settings.max_length))
            for name, pairs in data.splits.items()
        }


def _versions(trainer: NormBTTrainer) -> dict[str, str]:
    import torch
    import transformers
    import trl

    from normbt_lab.project import version
    from normbt_lab.training_request import compute_dtype

    return {
        "normbt_lab": version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "trl": trl.__version__,
        "python": platform.python_version(),
        "precision": str(compute_dtype(trainer.args)).removeprefix("torch."),
        "device": str(trainer.args.device),
    }
