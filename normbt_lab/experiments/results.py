"""From the runs of a row to its line in the table: means and standard errors over seeds, intervals over pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.intervals import Estimate, bootstrap_interval
from normbt_lab.experiments.runner import Ledger, RowRuns
from normbt_lab.experiments.split_scores import SplitScores
from normbt_lab.experiments.suite import Suite
from normbt_lab.experiments.trial import TrialResult


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds, as a share, with its standard error; None for fewer than two seeds.

    The error says what seeds change, with the pairs held fixed. What the choice of pairs changes is an interval's
    business (`paired_gain`).
    """

    mean: float
    error: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> SeedMean:
        """Mean and standard error, the standard deviation (n - 1) over the square root of n.

        Example:
            >>> SeedMean.of([0.5, 0.7])
            SeedMean(mean=0.6, error=0.1)
        """
        mean = sum(values) / len(values)
        if len(values) < 2:
            return cls(round(mean, 12), None)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        return cls(round(mean, 12), round(math.sqrt(variance / len(values)), 12))

    def percent(self) -> str:
        """As a table shows it, in points."""
        error = "" if self.error is None else f" ± {100 * self.error:.1f}"
        return f"{100 * self.mean:.1f}{error}"


@dataclass(frozen=True)
class RowResult:
    """One line of a table.

    Attributes:
        condition: Name of its condition.
        row: Its name.
        runs: What the ledger says.
        by_seed: Finished runs at the chosen rate, in the order of the seeds.
        grid: Learning rate -> its run with the first seed.
        failures: Seed -> why its run has no numbers.
    """

    condition: str
    row: str
    runs: RowRuns
    by_seed: Mapping[str, TrialResult]
    grid: Mapping[float, TrialResult]
    failures: Mapping[str, str]

    @property
    def is_measured(self) -> bool:
        """Whether there is at least one finished run."""
        return bool(self.by_seed)

    def rates(self) -> str:
        """The learning rate, or the rates of the seeds where they differ."""
        rates = sorted({run.settings.learning_rate for run in self.by_seed.values()})
        return f"{rates[0]:.3g}" if len(rates) == 1 else f"{rates[0]:.3g} to {rates[-1]:.3g}"

    def accuracy(self, split: str) -> SeedMean:
        """Accuracy over all pairs of a split."""
        return self._over_seeds(lambda run: run.splits[split].accuracy())

    def category_accuracies(self, split: str) -> dict[str, SeedMean]:
        """Accuracy by category."""
        runs = [run.splits[split].accuracy_by_category() for run in self.by_seed.values()]
        return {name: SeedMean.of([run[name] for run in runs]) for name in runs[0]}

    def category_average(self, split: str) -> SeedMean | None:
        """Mean of the categories: "Average" of the paper's tables (decisions, point 22)."""
        if not self.category_accuracies(split):
            return None
        return self._over_seeds(lambda run: _mean(run.splits[split].accuracy_by_category().values()))

    def tie_rate(self, split: str) -> float:
        """Share of pairs with exactly equal rewards, over all seeds."""
        return _mean([run.splits[split].tie_rate() for run in self.by_seed.values()])

    def logged(self, name: str) -> float | None:
        """Mean of a logged number over steps and seeds; None where it was not logged."""
        means = [run.logged_mean(name) for run in self.by_seed.values()]
        known = [mean for mean in means if mean is not None]
        return _mean(known) if known else None

    def _over_seeds(self, measure: Callable[[TrialResult], float]) -> SeedMean:
        return SeedMean.of([measure(run) for run in self.by_seed.values()])


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def collect(suite: Suite, ledger: Ledger, output_dir: Path) -> list[RowResult]:
    """Every row of every condition of a suite, in order; what has not run is there too, without numbers."""
    results = []
    for condition in suite.conditions:
        for name in condition.rows:
            runs = next(
                (line for line in ledger.lines if (line.condition, line.row) == (condition.name, name)),
                RowRuns(condition.name, name, refused="not run yet"),
            )
            results.append(_row_result(runs, output_dir))
    return results


def _row_result(runs: RowRuns, output_dir: Path) -> RowResult:
    seeds = {seed: TrialResult.read(output_dir / folder) for seed, folder in runs.seeds.items()}
    grid = {float(rate): TrialResult.read(output_dir / folder) for rate, folder in runs.grid.items()}
    known = {seed: run for seed, run in seeds.items() if run is not None}
    return RowResult(
        condition=runs.condition,
        row=runs.row,
        runs=runs,
        by_seed={seed: run for seed, run in known.items() if run.failure is None},
        grid={rate: run for rate, run in grid.items() if run is not None},
        failures={seed: run.failure for seed, run in known.items() if run.failure is not None},
    )


def all_runs(results: Sequence[RowResult]) -> list[TrialResult]:
    """The runs behind some rows, each once."""
    runs = [run for result in results for run in (*result.by_seed.values(), *result.grid.values())]
    return list({run.fingerprint: run for run in runs}.values())


def paired_gain(result: RowResult, reference: RowResult, split: str, category: str | None = None) -> Estimate:
    """Accuracy of a row minus that of the reference, with a 95 % interval over the pairs of the split.

    For each pair, the gain is its mean over the seeds that both rows have; pairs are resampled, so that what is hard
    for both rows cancels. The interval speaks about other pairs of this kind, with these seeds.

    Args:
        result: The row.
        reference: What it is compared with.
        split: Where both were measured.
        category: Pairs of this one only; None for all.

    Raises:
        NormBTError: No seed in common, or the two were not measured on the same pairs.
    """
    seeds = [seed for seed in result.by_seed if seed in reference.by_seed]
    if not seeds:
        raise NormBTError(f"{result.row} and {reference.row} have no seed in common in {result.condition}")
    gains = []
    for seed in seeds:
        ours, theirs = result.by_seed[seed].splits[split], reference.by_seed[seed].splits[split]
        _require_same_pairs(ours, theirs, split)
        gains.append(ours.correct() - theirs.correct())
    by_pair = np.mean(gains, axis=0).round(9)  # few distinct values, which the exact bootstrap needs
    if category is not None:
        by_pair = by_pair[np.array([name == category for name in ours.category])]
    return Estimate(float(by_pair.mean()), *bootstrap_interval(by_pair))


def _require_same_pairs(ours: SplitScores, theirs: SplitScores, split: str) -> None:
    if ours.category != theirs.category:
        raise NormBTError(
            f"two rows were measured on different pairs of {split!r}: do their backbones tokenise alike? "
            "Compare rows of one condition only."
        )
