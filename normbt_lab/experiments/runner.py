"""Running a suite: for every row a grid of learning rates, then the seeds at the rate that validation chose.

Runs lie side by side in ``runs/``, named by their settings, so that suites in one folder share what they have in
common. ``NAME-SCALE.json`` says which run is which line of the table; the report reads nothing else.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.experiments.settings import TrialSettings
from normbt_lab.experiments.suite import Condition, Row, Suite
from normbt_lab.experiments.trial import TrialResult, run_trial
from normbt_lab.experiments.trial_data import VALIDATION, TrialData, load_trial_data
from normbt_lab.whole_files import write_whole

logger = logging.getLogger(__name__)


@dataclass
class RowRuns:
    """The runs of one row in one condition.

    Attributes:
        condition: Its name.
        row: Its name.
        grid: Learning rate -> folder, with the first seed.
        chosen_rate: What validation chose; None for a rate-matched row, whose rates differ by seed.
        seeds: Seed -> folder, at the chosen or matched rate.
        refused: Why the row has no numbers; None for none.
    """

    condition: str
    row: str
    grid: dict[str, str] = field(default_factory=dict)
    chosen_rate: float | None = None
    seeds: dict[str, str] = field(default_factory=dict)
    refused: str | None = None


@dataclass
class Ledger:
    """Which run of a folder is which line of a suite's table."""

    suite: str
    scale: str
    lines: list[RowRuns] = field(default_factory=list)

    def line(self, condition: str, row: str) -> RowRuns:
        """The line of a row in a condition, begun if it is not there."""
        for line in self.lines:
            if (line.condition, line.row) == (condition, row):
                return line
        self.lines.append(RowRuns(condition, row))
        return self.lines[-1]

    def write(self, output_dir: Path) -> None:
        """Write ``NAME-SCALE.json``, whole or not at all."""
        path = output_dir / f"{Path(self.suite).stem}-{self.scale}.json"
        write_whole(path, json.dumps(asdict(self), indent=1) + "\n", "the list of runs")

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger in a file.

        Raises:
            NormBTError: It is damaged.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(content["suite"], content["scale"], [RowRuns(**line) for line in content["lines"]])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise NormBTError(f"{path} is no ledger of a suite ({error}): run the suite again") from error


def run_suite(suite: Suite, output_dir: Path, source: str | None = None) -> Ledger:
    """Run what is not done yet of a suite; which runs make up its table.

    Args:
        suite: From `load_suite`.
        output_dir: Holds the runs, the ledger and the report.
        source: Name or path that `load_suite` reads the suite from again; its name by default.

    Raises:
        NormBTError: A backbone or data that cannot be had.
    """
    (output_dir / "runs").mkdir(parents=True, exist_ok=True)
    progress = _Progress(suite, output_dir, Ledger(source or suite.name, suite.scale))
    for condition in suite.conditions:
        rows = [suite.row(name) for name in condition.rows]
        for row in sorted(rows, key=lambda row: row.rate_matched_to is not None):  # these need the others' weights
            progress.run_row(condition, row)
    progress.ledger.write(output_dir)
    return progress.ledger


@dataclass
class _Progress:
    suite: Suite
    output_dir: Path
    ledger: Ledger
    data: dict[str, TrialData] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def run_row(self, condition: Condition, row: Row) -> None:
        """All runs of a row; a row that this data or model cannot have is refused with its reason."""
        line = self.ledger.line(condition.name, row.name)
        try:
            if row.rate_matched_to:
                self._run_matched(condition, row, line)
            else:
                self._run_grid_and_seeds(condition, row, line)
        except UsageError as error:
            line.refused = str(error)
            logger.warning("%s, %s: not run: %s", condition.name, row.name, error)
        self.ledger.write(self.output_dir)

    def _run_grid_and_seeds(self, condition: Condition, row: Row, line: RowRuns) -> None:
        first = self.suite.seeds[0]
        results = {}
        for rate in self.suite.learning_rates:
            folder, results[rate] = self._run(condition, row, rate, first)
            line.grid[repr(rate)] = folder
            self.ledger.write(self.output_dir)
        line.chosen_rate = choose_rate(results)
        for seed in self.suite.seeds:
            line.seeds[str(seed)], _ = self._run(condition, row, line.chosen_rate, seed)
            self.ledger.write(self.output_dir)

    def _run_matched(self, condition: Condition, row: Row, line: RowRuns) -> None:
        assert row.rate_matched_to is not None
        model = self.ledger.line(condition.name, row.rate_matched_to)
        if not model.seeds or model.refused:
            raise UsageError(f"{row.rate_matched_to}, whose rate it matches, has no runs in this condition")
        for seed, folder in model.seeds.items():
            result = TrialResult.read(self.output_dir / folder)
            assert result is not None
            line.seeds[seed], _ = self._run(condition, row, matched_rate(result), int(seed))
            self.ledger.write(self.output_dir)

    def _run(self, condition: Condition, row: Row, rate: float, seed: int) -> tuple[str, TrialResult]:
        settings = self.suite.trial(condition, row, rate, seed)
        data = self._data(settings)
        name = f"{_slug(row.name)}-lr{rate:.3g}-seed{seed}-{settings.fingerprint(data.digest)}"
        folder = self.output_dir / "runs" / name
        was_done = TrialResult.read(folder) is not None
        result = run_trial(settings, data, folder)
        self._report(name, condition, row, result, was_done)
        return str(folder.relative_to(self.output_dir)), result

    def _data(self, settings: TrialSettings) -> TrialData:
        """Pairs, read once for all runs that share them."""
        of_data = {name: value for name, value in asdict(settings).items() if name in _DATA_SETTINGS}
        key = json.dumps(of_data, sort_keys=True)
        if key not in self.data:
            self.data = {key: load_trial_data(settings)}  # one at a time: 80,000 pairs are large
        return self.data[key]

    def _report(self, name: str, condition: Condition, row: Row, result: TrialResult, was_done: bool) -> None:
        if name in self.seen:
            return
        self.seen.add(name)
        place = f"[{len(self.seen)} of about {self.suite.runs()}] {condition.name}, {row.name}"
        rate, seed = result.settings.learning_rate, result.settings.seed
        how = "done before" if was_done else f"{sum(result.minutes.values()):.1f} min"
        outcome = result.failure or f"validation accuracy {100 * result.splits[VALIDATION].accuracy():.1f} %"
        print(f"{place}, rate {rate:.3g}, seed {seed}: {outcome} ({how})", flush=True)


_DATA_SETTINGS = (
    "train_data train_stride train_pairs held_out_pairs validation_data validation_pairs test_data test_pairs "
    "label_noise near_duplicates data_seed"
).split()


def choose_rate(results: dict[float, TrialResult]) -> float:
    """The learning rate with the highest validation accuracy; of equal ones the lower validation loss, then the lower.

    Raises:
        UsageError: Every run of the grid failed.
    """
    finished = {rate: result.splits[VALIDATION] for rate, result in results.items() if result.failure is None}
    if not finished:
        reasons = "; ".join(f"{rate:g}: {result.failure}" for rate, result in results.items())
        raise UsageError(f"no learning rate of the grid gave a finite loss ({reasons})")
    return min(finished, key=lambda rate: (-finished[rate].accuracy(), finished[rate].loss(), rate))


def matched_rate(result: TrialResult) -> float:
    """Learning rate at which plain Bradley-Terry takes steps as large, on average, as this weighted run did.

    The weight multiplies the loss, so a run whose weights average w takes steps of a rate w times as high.
    """
    weight = result.logged_mean("weight_mean")
    if weight is None:
        raise UsageError(f"the run to match ended before its first step ({result.failure})")
    return result.settings.learning_rate * weight


def ledgers(output_dir: Path) -> Sequence[Path]:
    """The ledgers of a folder, by name.

    Raises:
        UsageError: There is none.
    """
    found = [path for path in sorted(output_dir.glob("*.json")) if _is_ledger(path)]
    if not found:
        raise UsageError(f"{output_dir} holds no results of a suite: normbt experiment run SUITE --output-dir DIR")
    return found


def _is_ledger(path: Path) -> bool:
    return path.stem.rpartition("-")[2] in ("smoke", "cpu", "gpu")


def _slug(name: str) -> str:
    """A row's name as part of a folder's name.

    Example:
        >>> _slug("BT (clip 3.0)")
        'bt-clip-3.0'
    """
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def plan(suite: Suite) -> list[str]:
    """What a suite will run, in words, before it does."""
    first: dict[str, Any] = asdict(suite.trial(suite.conditions[0], suite.rows[0], suite.learning_rates[0], 0))
    return [
        f"{suite.title} ({suite.name}, scale {suite.scale})",
        suite.scale_note,
        f"{len(suite.rows)} rows in {len(suite.conditions)} condition(s), rates {list(suite.learning_rates)}, "
        f"seeds {list(suite.seeds)}: at most {suite.runs()} runs of {first['train_pairs']:,} pairs on {first['model']}",
    ]
