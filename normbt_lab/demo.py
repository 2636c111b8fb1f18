"""The main job in one command: a pretrained language model becomes two reward models, and the difference is measured.

`make demo` runs it. The order is the one a reader would follow by hand: pairs, Bradley-Terry, NormBT, both scored on
pairs that neither has seen, one table, one page of figures. Both runs share seed, data, order and schedule; the weight
per pair is all that differs. What is already there is used again.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import UsageError
from normbt_lab.state import STATE_FILE
from normbt_lab.whole_files import write_whole

if TYPE_CHECKING:
    from normbt_lab.scoring import ScoredPair

logger = logging.getLogger(__name__)

WEIGHTINGS = {"bt": "uniform", "normbt": "normbt"}
"""Folder of each run -> its weighting: the one setting in which they differ."""

NAMES = {"bt": "BT", "normbt": "NormBT"}
"""Folder of each run -> what tables and figures call it."""

SETTINGS_FILE = "demo.json"
"""In the folder of each run, once it is finished: the settings it was made with."""

TEST_SPLITS = {"test": "new problems", "test_unseen_templates": "new problems of kinds never trained on"}
"""Split of the bundled pairs -> what is new in it."""


@dataclass(frozen=True)
class DemoSettings:
    """Everything that decides a demo's numbers.

    Attributes:
        backbone: Name, folder or hub id.
        num_layers: First layers only; None for all.
        pairs: Training pairs, in equal parts from each kind; None for all.
        test_pairs: Pairs of each test split, likewise; None for all.
        seed: Seed of the head, the low-rank matrices and the order.
        learning_rate: AdamW's.
        batch_size: Pairs per optimizer step.
        micro_batch_size: Pairs per forward pass: less padding and memory, the same step.
    """

    backbone: str = "smollm2-135m"
    num_layers: int | None = None
    pairs: int | None = 480
    test_pairs: int | None = 200
    seed: int = 0
    learning_rate: float = 1e-3
    batch_size: int = 16
    micro_batch_size: int = 4


PROFILES = {
    "smoke": DemoSettings(backbone="tiny-random", pairs=32, test_pairs=32),
    "cpu": DemoSettings(),
    "gpu": DemoSettings(pairs=None, test_pairs=None, micro_batch_size=16),
}
"""Sizes: seconds on a random model (for tests), minutes on two cores, all bundled pairs on a graphics card."""


def run_demo(
    output_dir: Path,
    *,
    profile: str | None = None,
    backbone: str | None = None,
    num_layers: int | None = None,
    pairs: int | None = None,
    seed: int | None = None,
) -> int:
    """Train both reward models, compare them, write ``report.html``, and print the table.

    Args:
        output_dir: Where everything goes.
        profile: ``smoke``, ``cpu`` or ``gpu``; by the machine when None.
        backbone: Replaces the profile's.
        num_layers: Replaces the profile's.
        pairs: Replaces the profile's.
        seed: Replaces the profile's.

    Returns:
        Exit code 0.

    Raises:
        UsageError: Unknown profile.
        NormBTError: The backbone cannot be had, or a run fails.
    """
    started = time.perf_counter()
    settings = _settings(profile, backbone=backbone, num_layers=num_layers, pairs=pairs, seed=seed)
    train = load_bundled_pairs("train", limit=settings.pairs)
    test = {split: load_bundled_pairs(split, limit=settings.test_pairs) for split in TEST_SPLITS}
    counts = ", ".join(f"{len(test[split])} {what}" for split, what in TEST_SPLITS.items())
    print(f"Two reward models from {settings.backbone}: {len(train)} training pairs; tested on {counts}.")
    histories = {name: train_or_reuse(output_dir / name, train, settings) for name in WEIGHTINGS}
    scored = {name: score_or_reuse(output_dir / name, test, settings) for name in WEIGHTINGS}
    text = write_results(output_dir / "report.html", histories, scored, settings)
    print(f"\n{text}\n")
    print(f"Done in {(time.perf_counter() - started) / 60:.1f} minutes. Open {output_dir / 'report.html'}. Next:")
    print("\n".join(f"  {command}" for command in _next_commands(output_dir)))
    return 0


def _next_commands(output_dir: Path) -> list[str]:
    """What to type now, with the path of the command that is running, which need not be on the user's PATH."""
    normbt = sys.argv[0] if Path(sys.argv[0]).name == "normbt" else "normbt"
    return [
        f"{normbt} score --model {output_dir / 'normbt'} --input bundled:test --output scores.jsonl",
        f"{normbt} train --config cpu-lora --train-data YOUR_PAIRS.jsonl --output-dir runs/mine",
        f"{normbt} app --model {output_dir / 'bt'} --model {output_dir / 'normbt'}   (in a clone: make app)",
    ]


def _settings(profile: str | None, **replaced: Any) -> DemoSettings:
    if profile is None:
        import torch

        profile = "gpu" if torch.cuda.is_available() else "cpu"
    if profile not in PROFILES:
        raise UsageError(f"profile is one of {', '.join(PROFILES)}; got {profile!r}")
    return replace(PROFILES[profile], **{name: value for name, value in replaced.items() if value is not None})


def train_or_reuse(folder: Path, train: Sequence[PreferencePair], settings: DemoSettings) -> list[dict[str, Any]]:
    """Train one of the two reward models unless its folder holds it already; its log records."""
    if _is_up_to_date(folder, settings):
        print(f"{folder} is there already, trained with these settings: used again.")
    else:
        from normbt_lab.training import TrainingRequest, make_config, train_reward_model

        request = TrainingRequest(
            train_data=train, model=settings.backbone, num_layers=settings.num_layers, adapter="lora"
        )
        config = make_config(
            output_dir=str(folder),
            weighting=WEIGHTINGS[folder.name],
            objective="bradley_terry",
            learning_rate=settings.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            per_device_train_batch_size=settings.micro_batch_size,
            gradient_accumulation_steps=settings.batch_size // settings.micro_batch_size,
            num_train_epochs=1,
            logging_steps=1,
            save_strategy="no",
            seed=settings.seed,
        )
        (folder / SETTINGS_FILE).unlink(missing_ok=True)  # of the model that this run replaces
        run = train_reward_model(request, config)
        write_whole(folder / SETTINGS_FILE, json.dumps(asdict(settings)), "the demo's settings")
        if run.certificate is not None:
            print(run.certificate.lines()[0])
        gc.collect()  # a trainer and its model refer to each other, and the next run needs the memory
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


def _is_up_to_date(folder: Path, settings: DemoSettings) -> bool:
    return (folder / STATE_FILE).is_file() and _stored(folder / SETTINGS_FILE) == asdict(settings)


def _stored(path: Path) -> Any:
    """What a JSON file of an earlier demo holds; None where there is none, or it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def score_or_reuse(
    folder: Path, test: dict[str, list[PreferencePair]], settings: DemoSettings
) -> dict[str, list[ScoredPair]]:
    """The scores of one reward model on each test split, from its folder where they are newer than the model."""
    from normbt_lab.scoring import ScoredPair

    path = folder / "scores.json"
    splits = _stored(path)
    if splits is not None and path.stat().st_mtime >= (folder / STATE_FILE).stat().st_mtime:
        return {split: [ScoredPair(**row) for row in rows] for split, rows in splits.items()}
    from normbt_lab.model import load_reward_model
    from normbt_lab.precision import choose_precision
    from normbt_lab.scoring import score_pairs

    model = load_reward_model(str(folder), dtype=str(choose_precision().dtype).removeprefix("torch."))
    pairs = [pair for split in test.values() for pair in split]
    every = iter(list(score_pairs(model, pairs, progress=True)))
    scored = {split: [next(every) for _ in members] for split, members in test.items()}
    content = {split: [asdict(pair) for pair in rows] for split, rows in scored.items()}
    write_whole(path, json.dumps(content), "the scores")
    return scored


def write_results(
    report: Path,
    histories: dict[str, list[dict[str, Any]]],
    scored: dict[str, dict[str, list[ScoredPair]]],
    settings: DemoSettings,
) -> str:
    """Write the page of figures; the tables as text for the terminal.

    Args:
        report: Path of the page.
        histories: Run -> its log records.
        scored: Run -> split -> scored pairs.
        settings: Named on the page.
    """
    from normbt_lab.evaluation import compare, comparison_rows, evaluate_pairs, paired_difference
    from normbt_lab.report import Section, write_report

    texts, sections = [], [_introduction(histories, settings)]
    for split, what in TEST_SPLITS.items():
        by_model = {NAMES[name]: splits[split] for name, splits in scored.items()}
        evaluations = {name: evaluate_pairs(pairs) for name, pairs in by_model.items()}
        gain = paired_difference(by_model["NormBT"], by_model["BT"])
        verdict = (
            f"NormBT minus BT over the same pairs: {100 * gain.mean:+.1f} points "
            f"(95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f})."
        )
        texts.append(f"Accuracy on {what}\n\n{compare(evaluations)}\n{verdict}")
        sections.append(Section(f"Accuracy on {what}", verdict, table=comparison_rows(evaluations)))
    write_report(report, "What the weight of a pair changes", [*sections, *_figures(histories, scored)])
    return "\n\n".join(texts)


def _introduction(histories: dict[str, list[dict[str, Any]]], settings: DemoSettings) -> Any:
    from normbt_lab.report import Section

    weights = [record["weight_mean"] for record in histories["normbt"] if "weight_mean" in record]
    return Section(
        "Two reward models, one difference",
        "The Bradley-Terry gradient of a preference pair is its prediction error times its representation distance: "
        "exactly at the score head, approximately beyond it. NormBT weighs each pair by running mean / distance and "
        "takes the second factor out.\n\n"
        f"Both models start from {settings.backbone} and share seed ({settings.seed}), pairs, order, learning rate "
        f"({settings.learning_rate:g}, AdamW, LoRA) and batch size ({settings.batch_size}). NormBT's mean weight over "
        f"the run was {sum(weights) / len(weights):.2f}: part of what differs is the size of the step.\n\n"
        "One seed, synthetic pairs, a small model: a look at the effect, not a result about it.",
    )


def _figures(histories: dict[str, list[dict[str, Any]]], scored: dict[str, dict[str, list[ScoredPair]]]) -> list[Any]:
    from normbt_lab import figures
    from normbt_lab.evaluation import evaluate_pairs
    from normbt_lab.report import Section

    every = {NAMES[name]: [pair for rows in splits.values() for pair in rows] for name, splits in scored.items()}
    logged = {NAMES[name]: records for name, records in histories.items()}
    evaluations = {name: evaluate_pairs(pairs) for name, pairs in every.items()}
    return [
        Section("Representation distance by category", figure=figures.distance_by_category_figure(every["BT"])),
        Section("Weight against distance", figure=figures.weight_against_distance_figure(every["NormBT"])),
        Section("Reward differences", figure=figures.reward_difference_figure(every)),
        Section("Accuracy by distance", figure=figures.accuracy_by_distance_figure(evaluations)),
        Section("The running mean over training", figure=figures.running_mean_figure(logged)),
        Section("Loss and accuracy over training", figure=figures.loss_and_accuracy_figure(logged)),
    ]
