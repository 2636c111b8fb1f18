"""One report per suite, as a page and as Markdown: every row, its spread, the paper's number, the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.intervals import Estimate
from normbt_lab.experiments.figures import (
    category_accuracy_figure,
    gains_figure,
    shares_figure,
)
from normbt_lab.experiments.printed import printed_row
from normbt_lab.experiments.results import RowResult, all_runs, collect, paired_gain
from normbt_lab.experiments.runner import Ledger, ledgers
from normbt_lab.experiments.suite import Condition, Suite, load_suite
from normbt_lab.experiments.summary import suite_summary, summary_text
from normbt_lab.experiments.trial_data import HELD_OUT, VALIDATION
from normbt_lab.gradients.figures import distance_percentiles_figure
from normbt_lab.report import Section, write_report
from normbt_lab.whole_files import write_whole

READING = (
    "Accuracies are strict, in percent: a tie counts as wrong; at half credit, half of the column ties comes on top. "
    "± is the standard error over seeds. The average is the mean of the categories, as in the paper. Minus {reference} "
    "is the difference in accuracy in points, with a 95 % interval over the pairs, seeds averaged pair "
    "by pair. Each learning rate was chosen on validation pairs with the first seed; test and held-out pairs "
    "played no part. With many intervals on one page, expect one in twenty to miss by chance."
)

PRINTED_COLUMNS = ("average", "chat", "chat hard", "safety", "reasoning")
"""Columns of the paper's tables, in the order of `PrintedRow.numbers`."""


def write_reports(output_dir: Path) -> list[Path]:
    """Pages of all suites in a folder, each beside its Markdown, from what has been run so far.

    Raises:
        UsageError: The folder holds no suite.
    """
    return [write_suite_report(Ledger.read(path), output_dir) for path in ledgers(output_dir)]


def write_suite_report(ledger: Ledger, output_dir: Path) -> Path:
    """Path of the page of one suite, written beside its Markdown and its ``-summary.json``."""
    suite = load_suite(ledger.suite, ledger.scale)
    results = collect(suite, ledger, output_dir)
    sections = suite_sections(suite, results)
    page = write_report(output_dir / f"{suite.name}-{suite.scale}.html", suite.title, sections)
    write_whole(page.with_suffix(".md"), as_markdown(suite.title, sections), "the report")
    summary = summary_text(suite_summary(suite, results))
    write_whole(output_dir / f"{suite.name}-{suite.scale}-summary.json", summary, "the summary")
    return page


def suite_sections(suite: Suite, results: Sequence[RowResult]) -> list[Section]:
    """The parts of a suite's report, in order."""
    sections = [_introduction(suite, results)]
    for condition in suite.conditions:
        of_condition = [result for result in results if result.condition == condition.name]
        sections += _condition_sections(suite, condition, of_condition)
    if "shares" in suite.figures:
        sections += _shares_section(suite, results)
    return [*sections, _grid_section(suite, results), _settings_section(suite, results)]


def _introduction(suite: Suite, results: Sequence[RowResult]) -> Section:
    reading = READING.format(reference=suite.reference)
    return Section("Question", "\n\n".join([suite.question, suite.scale_note, reading, _minutes(results)]))


def _minutes(results: Sequence[RowResult]) -> str:
    """What the suite cost, from its own runs, each counted once."""
    runs = all_runs(results)
    if not runs:
        return "No run is finished yet."
    minutes = sum(sum(run.minutes.values()) for run in runs)
    versions = runs[0].versions
    software = ", ".join(f"{name} {value}" for name, value in versions.items())
    return f"{len(runs)} runs took {minutes:.1f} minutes of training and measuring, loading left out. {software}."


def _condition_sections(suite: Suite, condition: Condition, results: Sequence[RowResult]) -> list[Section]:
    measured = [result for result in results if result.is_measured]
    why = _why_not(results)
    sections = [
        Section(f"{condition.name}: {split}", "" if number else why, table=_accuracy_table(suite, results, split))
        for number, split in enumerate(_reported_splits(measured))
    ] or [Section(condition.name, why, table=_empty_table(results))]
    if any(printed_row(condition, result.row) for result in results):
        sections.append(_printed_section(suite, condition, results))
    if "gains" in suite.figures:
        sections += [
            found for split in _reported_splits(measured) for found in _gains(suite, condition, results, split)
        ]
    if "categories" in suite.figures:
        figures = [category_accuracy_figure(measured, split) for split in _reported_splits(measured)]
        sections += [Section(f"{condition.name}: by category", figure=figure) for figure in figures]
    if "dynamics" in suite.figures:
        sections += [_dynamics_section(condition, result) for result in measured]
    return sections


def _gains(suite: Suite, condition: Condition, results: Sequence[RowResult], split: str) -> list[Section]:
    """A figure of the differences, where there is a row to compare with the reference."""
    reference = _measured(results, suite.reference)
    others = [result for result in results if result.is_measured and result.row != suite.reference]
    if reference is None or not others:
        return []
    gains = {result.row: paired_gain(result, reference, split) for result in others}
    heading = f"{condition.name}: {split}, minus {suite.reference}"
    return [Section(heading, figure=gains_figure(gains, suite.reference, split))]


def _measured(results: Sequence[RowResult], row: str) -> RowResult | None:
    return next((result for result in results if result.row == row and result.is_measured), None)


def _dynamics_section(condition: Condition, result: RowResult) -> Section:
    run = next(iter(result.by_seed.values()))
    text = f"Seed {run.settings.seed}, learning rate {run.settings.learning_rate:.3g}."
    heading = f"{condition.name}: distances under {result.row}"
    return Section(heading, text, figure=distance_percentiles_figure({result.row: run.history}))


def _reported_splits(measured: Sequence[RowResult]) -> list[str]:
    """Tests first, then the held-out pairs of the training source (Figure 6b)."""
    if not measured:
        return []
    splits = next(iter(measured[0].by_seed.values())).splits
    return [name for name in splits if name not in (VALIDATION, HELD_OUT)] + [HELD_OUT]


def _why_not(results: Sequence[RowResult]) -> str:
    reasons = [f"{result.row} was not run: {result.runs.refused}" for result in results if result.runs.refused]
    reasons += [
        f"{result.row}, seed {seed}, has no numbers: {why}"
        for result in results
        for seed, why in result.failures.items()
    ]
    return "\n\n".join(reasons + _left_out(results))


def _left_out(results: Sequence[RowResult]) -> list[str]:
    """That pairs were dropped before training: over-long, or identical once tokenised."""
    runs = [run for result in results for run in result.by_seed.values()]
    fewest = min(runs, key=lambda run: run.trained_pairs, default=None)
    if fewest is None or fewest.trained_pairs == fewest.settings.train_pairs:
        return []
    return [
        f"Trained on {fewest.trained_pairs:,} of {fewest.settings.train_pairs:,} pairs: the others are over-long, or "
        "identical once tokenised."
    ]


def _accuracy_table(suite: Suite, results: Sequence[RowResult], split: str) -> list[list[str]]:
    categories = list(next(result for result in results if result.is_measured).category_accuracies(split))
    averages = ["average"] if categories else []
    header = ["", "accuracy", f"minus {suite.reference}", *averages, *categories]
    header += ["ties", "rate", "seeds", "weight", "clipped"]
    reference = _measured(results, suite.reference)
    rows = [header]
    for result in results:
        if not result.is_measured:
            rows.append([result.row, *["-"] * (len(header) - 1)])
            continue
        average = result.category_average(split)
        rows.append(
            [
                result.row,
                result.accuracy(split).percent(),
                _gain(result, reference, split),
                *([average.percent()] if average else []),
                *(mean.percent() for mean in result.category_accuracies(split).values()),
                f"{100 * result.tie_rate(split):.1f}",
                result.rates(),
                str(len(result.by_seed)),
                _number(result.logged("weight_mean")),
                _share(result.logged("clip_rate")),
            ]
        )
    return rows


def _empty_table(results: Sequence[RowResult]) -> list[list[str]]:
    return [["", "accuracy"], *([result.row, "-"] for result in results)]


def _gain(result: RowResult, reference: RowResult | None, split: str) -> str:
    if reference is None or result.row == reference.row:
        return ""
    return signed_points(paired_gain(result, reference, split))


def signed_points(gain: Estimate) -> str:
    """A difference of accuracies in points, with its interval.

    Example:
        >>> signed_points(Estimate(0.012, -0.005, 0.03))
        '+1.2 [-0.5, +3.0]'
    """
    return f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} % of steps"


def _printed_section(suite: Suite, condition: Condition, results: Sequence[RowResult]) -> Section:
    """The paper's numbers beside ours; the columns mean the same, the pairs and the models do not."""
    ours = {result.row: _our_numbers(result) for result in results}
    theirs = {result.row: _their_numbers(condition, result.row) for result in results}
    differences = [f"{name} minus {suite.reference}" for name in ("average", "reasoning")]
    names = [*differences, *PRINTED_COLUMNS]
    rows = [["", *(f"{name}: {whose}" for name in names for whose in ("ours", "paper"))]]
    for row in ours:
        cells = [row]
        for name in ("average", "reasoning"):
            cells += [_difference(numbers, row, suite.reference, name) for numbers in (ours, theirs)]
        for name in PRINTED_COLUMNS:
            cells += [_points(numbers[row].get(name)) for numbers in (ours, theirs)]
        rows.append(cells)
    table = (condition.printed or {})["table"]
    text = (
        f"Table {table} of the paper was measured on RewardBench, with other backbones and data, without intervals. "
        "Below the gpu scale compare signs and orders of rows, not levels."
    )
    return Section(f"{condition.name}: beside the paper's printed numbers", text, table=rows)


def _our_numbers(result: RowResult) -> dict[str, float]:
    """Percent, on the first test."""
    if not result.is_measured:
        return {}
    split = _reported_splits([result])[0]
    means = dict(result.category_accuracies(split))
    average = result.category_average(split)
    if average is not None:
        means["average"] = average
    return {name: 100 * mean.mean for name, mean in means.items()}


def _their_numbers(condition: Condition, row: str) -> dict[str, float]:
    printed = printed_row(condition, row)
    return {} if printed is None else dict(zip(PRINTED_COLUMNS, map(float, printed.numbers), strict=True))


def _difference(numbers: Mapping[str, Mapping[str, float]], row: str, reference: str, name: str) -> str:
    ours, theirs = numbers[row].get(name), numbers.get(reference, {}).get(name)
    return "-" if ours is None or theirs is None or row == reference else f"{ours - theirs:+.1f}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _shares_section(suite: Suite, results: Sequence[RowResult]) -> list[Section]:
    """The gain of each other row over the reference against each share of bad pairs."""
    sections = []
    for row in (row.name for row in suite.rows if row.name != suite.reference):
        gains: dict[str, dict[float, Estimate]] = {"exchanged labels": {}, "near-duplicates": {}}
        for condition in suite.conditions:
            ours, theirs = _of(results, condition.name, row), _of(results, condition.name, suite.reference)
            if not (ours.is_measured and theirs.is_measured):
                continue
            noise = condition.settings.get("label_noise", 0.0)
            copies = condition.settings.get("near_duplicates", 0.0)
            gain = paired_gain(ours, theirs, _reported_splits([ours])[0])
            if not copies:
                gains["exchanged labels"][noise] = gain
            if not noise:
                gains["near-duplicates"][copies] = gain
        if all(gains.values()):
            heading = f"{row} minus {suite.reference} as bad pairs grow"
            sections.append(Section(heading, figure=shares_figure(gains, row, suite.reference)))
    return sections


def _of(results: Sequence[RowResult], condition: str, row: str) -> RowResult:
    return next(result for result in results if (result.condition, result.row) == (condition, row))


def _grid_section(suite: Suite, results: Sequence[RowResult]) -> Section:
    """Validation accuracy at every rate of the grid: a rate at the grid's edge says that the grid is too narrow."""
    rates = sorted(suite.learning_rates)
    rows = [["", *(f"{rate:g}" for rate in rates), "chosen"]]
    at_edge = []
    for result in results:
        name = result.row if len(suite.conditions) == 1 else f"{result.condition}: {result.row}"
        chosen = result.runs.chosen_rate
        rows.append([name, *(_validation(result, rate) for rate in rates), "-" if chosen is None else f"{chosen:g}"])
        if chosen in (rates[0], rates[-1]):
            at_edge.append(name)
    text = "Validation accuracy, percent, with the plain Bradley-Terry loss, at each learning rate with the first seed."
    if at_edge:
        text += f" At an end of the grid, so that a wider one might do better: {'; '.join(at_edge)}."
    return Section("Learning rates", text, table=rows)


def _validation(result: RowResult, rate: float) -> str:
    run = result.grid.get(rate)
    if run is None:
        return "-"
    if run.failure is not None:
        return "failed"
    scores = run.splits[VALIDATION]
    return f"{100 * scores.accuracy():.1f} ({scores.loss():.3f})"


def _settings_section(suite: Suite, results: Sequence[RowResult]) -> Section:
    """What all runs share, and what each row and condition changes."""
    first = suite.trial(suite.conditions[0], suite.row(suite.conditions[0].rows[0]), suite.learning_rates[0], 0)
    own = {name for row in suite.rows for name in row.settings} | {"learning_rate", "seed"}
    own |= {name for condition in suite.conditions for name in condition.settings}
    shared = [[name, _shown(value)] for name, value in asdict(first).items() if name not in own]
    changes = [[f"row {row.name}", _changes(row.settings, row.rate_matched_to)] for row in suite.rows]
    changes += [[f"condition {found.name}", _changes(found.settings)] for found in suite.conditions]
    seeds = ", ".join(map(str, suite.seeds))
    return Section("Settings", f"Seeds: {seeds}.", table=[["", "value"], *shared, *changes])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({source})" for name, source in value.items())
    return "none" if value is None else str(value)


def _changes(settings: Mapping[str, Any], rate_matched_to: str | None = None) -> str:
    changes = [f"{name} {_shown(value)}" for name, value in settings.items()]
    changes += [f"learning_rate matched to {rate_matched_to}"] if rate_matched_to else []
    return ", ".join(changes) or "nothing"


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """The report as Markdown; figures are on the page only, their finding stands here.

    Example:
        >>> print(as_markdown("T", [Section("One", table=[["", "x"], ["a", "1"]])]))
        # T
        <BLANKLINE>
        ## One
        <BLANKLINE>
        |  | x |
        | --- | ---: |
        | a | 1 |
        <BLANKLINE>
    """
    parts = [f"# {title}"]
    for section in sections:
        parts.append(f"## {section.heading}")
        if section.text:
            parts.append(section.text)
        if section.figure is not None:
            parts.append(f"Figure, on the page: {section.figure.layout.title.text}.")
        if section.table is not None:
            parts.append(_markdown_table(section.table))
    return "\n\n".join(parts) + "\n"


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    header, *body = [["".join(cell.replace("|", "\\|").splitlines()) for cell in row] for row in rows]
    if any(len(row) != len(header) for row in body):
        raise NormBTError("a table of the report has rows of unequal length")
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *body])
