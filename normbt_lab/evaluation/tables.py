"""Evaluations as tables: aligned text for a terminal, rows for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normbt_lab.evaluation.accuracy import DistanceBin, Evaluation, GroupResult
from normbt_lab.evaluation.groups import bin_names, in_usual_order

HEADER = ["", "pairs", "accuracy", "95 % interval", "ties", "longer wins"]
FOOTNOTE = """A tie counts as wrong{half}.
Longer wins: accuracy of preferring the response with more tokens.
Distance: between the two representations, in units of h."""


def evaluation_table(evaluation: Evaluation) -> str:
    """One evaluation for a terminal."""
    rows = [HEADER, _row("all pairs", evaluation.overall)]
    rows += [_row(name, result) for name, result in evaluation.categories.items()]
    rows += [_row(f"distance {_range(found)}", found.result) for found in evaluation.distance_bins]
    overall = evaluation.overall
    half = f" (as half right: {percent(overall.half)} over all pairs)" if overall.tie_rate else ""
    return aligned(rows) + "\n" + FOOTNOTE.format(half=half)


def compare(evaluations: Mapping[str, Evaluation]) -> str:
    """Evaluations of several models on the same pairs, side by side, for a terminal.

    Args:
        evaluations: Name of each model -> its evaluation.
    """
    return aligned(comparison_rows(evaluations)) + (
        "\nAccuracy, a tie counted as wrong, with its 95 % interval."
        "\nLonger wins: accuracy of preferring the response with more tokens."
        "\nDistance bins are quantiles of each model's own representation distances."
    )


def comparison_rows(evaluations: Mapping[str, Evaluation]) -> list[list[str]]:
    """The cells of `compare`, header first: a column per model, a row per category and distance bin."""
    first = next(iter(evaluations.values()))
    rows = [["", "pairs", "longer wins", *evaluations]]

    def add(name: str, results: Sequence[GroupResult | None], of_same_pairs: bool = True) -> None:
        known = next(result for result in results if result is not None)
        accuracies = [_with_interval(result) if result else "-" for result in results]
        rows.append([name, f"{known.pairs:,}", percent(known.length_baseline) if of_same_pairs else "", *accuracies])

    add("all pairs", [evaluation.overall for evaluation in evaluations.values()])
    for name in in_usual_order(name for evaluation in evaluations.values() for name in evaluation.categories):
        add(name, [evaluation.categories.get(name) for evaluation in evaluations.values()])
    means = [evaluation.category_mean for evaluation in evaluations.values()]
    if len(first.categories) > 1:
        rows.append(["mean of categories", "", "", *("-" if mean is None else percent(mean) for mean in means)])
    if len({len(evaluation.distance_bins) for evaluation in evaluations.values()}) == 1:
        for i, name in enumerate(bin_names(len(first.distance_bins))):
            results = [evaluation.distance_bins[i].result for evaluation in evaluations.values()]
            add(f"distance {name}", results, of_same_pairs=False)
    return rows


def percent(share: float) -> str:
    """A share as a percentage with one decimal.

    Example:
        >>> percent(0.873)
        '87.3 %'
    """
    return f"{100 * share:.1f} %"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Cells as text: the first column to the left, numbers to the right, a line under the header.

    Example:
        >>> print(aligned([["", "pairs"], ["chat", "12"]]))
              pairs
        -----------
        chat     12
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(name: str, result: GroupResult) -> list[str]:
    low, high = result.interval
    interval = f"{100 * low:.1f} to {100 * high:.1f}"
    shares = [percent(result.strict), interval, percent(result.tie_rate), percent(result.length_baseline)]
    return [name, f"{result.pairs:,}", *shares]


def _with_interval(result: GroupResult) -> str:
    low, high = result.interval
    return f"{percent(result.strict)} [{100 * low:.0f}, {100 * high:.0f}]"


def _range(found: DistanceBin) -> str:
    return f"{found.low:.3g} to {found.high:.3g}"
