"""Train one of the shipped reward models: ``python -m normbt_lab.shipped.make``.

One call trains one objective; two calls that differ in ``--weighting`` alone share pairs, order, head and schedule. A
call that was stopped goes on where its last checkpoint stands, and one that is done only evaluates what is new.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normbt_lab.checkpoints import last_complete_checkpoint
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.shipped.mix import LONGEST, Mix, make_mix
from normbt_lab.state import STATE_FILE
from normbt_lab.whole_files import write_whole

RECIPE_FILE = "made.json"
"""File of a run's folder that says how it was made; packing reads it."""

EVALUATION_FILE = "evaluation.json"
"""File of a run's folder with the accuracy on each source of pairs that was asked for."""

TRAINING_FILE = "train.jsonl"
"""The mix, in the run's folder; it holds other people's text and is not packed."""

TESTED_ON = ("bundled:test", "bundled:test_unseen_templates")
"""What every run is evaluated on, before the files of ``--evaluate``."""


@dataclass(frozen=True)
class MakeSettings:
    """What decides a shipped model's weights, besides the pairs.

    Attributes:
        weighting: ``uniform`` (Bradley-Terry) or ``normbt``.
        backbone: Name, folder or hub id.
        bundled: Bundled training pairs.
        real: Real training pairs.
        steps: Optimizer steps; None for one epoch.
        learning_rate: AdamW's, at its highest.
        seed: Seed of the sample, the head, the low-rank matrices and the order.
        batch_size: Pairs per optimizer step.
        micro_batch_size: Pairs per forward pass, the same step whatever it is. A whole step fills the rows of the
            shared-prefix layout best.
    """

    weighting: str
    backbone: str = "smollm2-135m"
    bundled: int = 1000
    real: int = 700
    steps: int | None = None
    learning_rate: float = 1e-3
    seed: int = 0
    batch_size: int = 16
    micro_batch_size: int = 16


def make_shipped(output: Path, settings: MakeSettings, mix: Mix) -> None:
    """Train one reward model on a mix, or go on with it, and leave it in `output` with a record of how.

    Args:
        output: The run's folder.
        settings: Everything but the pairs.
        mix: The pairs.

    Raises:
        UsageError: The folder holds a run with other settings or pairs.
        NormBTError: The run fails.
    """
    _record_or_compare(output / RECIPE_FILE, settings, mix)
    if (output / STATE_FILE).is_file():
        print(f"{output} holds this run, finished: it is not trained again.")
        return
    from normbt_lab.training import TrainingRequest, make_config, train_reward_model

    mix.write(output / TRAINING_FILE)
    request = TrainingRequest(train_data=str(output / TRAINING_FILE), model=settings.backbone, adapter="lora")
    config = make_config(
        output_dir=str(output),
        weighting=settings.weighting,
        objective="bradley_terry",
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.03,
        per_device_train_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=settings.batch_size // settings.micro_batch_size,
        num_train_epochs=1,
        max_steps=settings.steps or -1,
        max_length=LONGEST,
        logging_steps=1,
        save_strategy="steps",
        save_steps=10,
        save_total_limit=2,
        seed=settings.seed,
    )
    run = train_reward_model(request, config, _checkpoint(output))
    print(f"{run.pairs:,} pairs in {run.minutes:.1f} minutes; the run is in {output}.")


def evaluate_run(output: Path, sources: list[str]) -> dict[str, Any]:
    """Accuracy of a finished run on each source of pairs, computed once and kept in its folder.

    Args:
        output: The run's folder.
        sources: What `read_pairs` reads.
    """
    from normbt_lab.evaluation import evaluate_file

    stored = output / EVALUATION_FILE
    done = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else {}
    for source in sources:
        name = Path(source).name
        if name not in done:
            evaluation = evaluate_file(str(output), source)
            print(f"\n{name}\n\n{evaluation.table()}")
            done[name] = evaluation.to_json()
            write_whole(stored, json.dumps(done, indent=1) + "\n", "the evaluation")
    return done


def _record_or_compare(path: Path, settings: MakeSettings, mix: Mix) -> None:
    record: dict[str, Any] = {"settings": asdict(settings), "sources": mix.sources, "sha256": mix.sha256}
    if not path.is_file():
        write_whole(path, json.dumps(record, indent=1) + "\n", "the run")
    elif (found := json.loads(path.read_text(encoding="utf-8"))) != record:
        different = [name for name, value in found["settings"].items() if value != record["settings"].get(name)]
        raise UsageError(
            f"{path.parent} holds a run with other {', '.join(different) or 'pairs'}: name another folder by --output, "
            "or delete this one"
        )


def _checkpoint(output: Path) -> str | None:
    """The checkpoint to go on from; None for a new run."""
    try:
        checkpoint = last_complete_checkpoint(output)
    except UsageError:
        return None
    print(f"Going on from {checkpoint}.")
    return str(checkpoint)


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m normbt_lab.shipped.make``; its exit code."""
    options = _parser().parse_args(arguments)
    names = MakeSettings.__dataclass_fields__
    settings = MakeSettings(**{name: value for name, value in vars(options).items() if name in names})
    try:
        mix = _mix(options.real_pairs, settings)
        print(mix.plan())
        if not options.plan:
            make_shipped(options.output, settings, mix)
            evaluate_run(options.output, [*TESTED_ON, *options.evaluate])
    except NormBTError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _mix(files: list[str], settings: MakeSettings) -> Mix:
    from normbt_lab.backbones import load_tokenizer, resolve_backbone

    tokenizer = load_tokenizer(resolve_backbone(settings.backbone))
    return make_mix(files, settings.bundled, settings.real, tokenizer, settings.seed)


def _parser() -> argparse.ArgumentParser:
    default = MakeSettings("normbt")
    parser = argparse.ArgumentParser(prog="python -m normbt_lab.shipped.make", description=__doc__, allow_abbrev=False)
    parser.add_argument("--weighting", required=True, choices=["uniform", "normbt"], help="uniform is Bradley-Terry")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the run")
    parser.add_argument(
        "--real-pairs", nargs="+", default=[], metavar="FILE", help="pairs with a column 'source'; see mix.py"
    )
    parser.add_argument(
        "--evaluate", nargs="+", default=[], metavar="FILE", help="evaluate on these too, after the bundled test pairs"
    )
    parser.add_argument("--plan", action="store_true", help="print pairs and tokens, and stop")
    parser.add_argument("--backbone", default=default.backbone, metavar="NAME", help=f"default: {default.backbone}")
    for name, kind, what in (
        ("bundled", int, "bundled training pairs"),
        ("real", int, "real training pairs, balanced over their sources"),
        ("steps", int, "optimizer steps (default: one epoch)"),
        ("learning-rate", float, "AdamW's"),
        ("micro-batch-size", int, "pairs per forward pass"),
        ("seed", int, "of sample, head, low-rank matrices and order"),
    ):
        value = getattr(default, name.replace("-", "_"))
        parser.add_argument(
            f"--{name}", type=kind, default=value, help=what if value is None else f"{what} (default: {value:g})"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
