"""A comparison of two models as tables: aligned text for a terminal, rows for a page, pairs shown where they differ."""

from __future__ import annotations

import os
from collections.abc import Sequence

from normbt_lab.evaluation.comparison import Comparison, Disagreement, PairedResult
from normbt_lab.evaluation.groups import bin_names
from normbt_lab.evaluation.tables import aligned, percent

LISTED = 5
"""Pairs that a terminal shows of each kind."""


def paired_rows(comparison: Comparison) -> list[list[str]]:
    """The comparison's groups as cells, header first: all pairs, each category, each distance bin."""
    model, baseline = comparison.model, comparison.baseline
    rows = [["", "pairs", model, baseline, "gain, 95 % interval", f"only {model}", f"only {baseline}", "p"]]
    rows.append(_row("all pairs", comparison.overall))
    rows += [_row(name, result) for name, result in comparison.categories.items()]
    names = bin_names(len(comparison.distance_bins))
    rows += [_row(f"distance {n}", one.result) for n, one in zip(names, comparison.distance_bins, strict=True)]
    return rows


def disagreement_rows(found: Sequence[Disagreement], width: int = 60) -> list[list[str]]:
    """Disagreements as cells, header first: each pair's texts where they first differ (paper figure 7).

    Args:
        found: Such as `Comparison.closest` gives.
        width: Characters shown of each text.
    """
    rows = [["pair", "category", "distance", "prompt", "chosen", "rejected", "difference by model", "by baseline"]]
    for one in found:
        chosen, rejected = where_they_differ(one.model.chosen, one.model.rejected, width)
        texts = [start_of(one.model.prompt, width), chosen, rejected]
        differences = [f"{pair.reward_difference:+.3g}" for pair in (one.model, one.baseline)]
        rows.append([str(one.model.index), one.model.category or "", f"{one.distance:.3g}", *texts, *differences])
    return rows


def where_they_differ(chosen: str, rejected: str, width: int = 60) -> tuple[str, str]:
    """Both texts on one line each, cut to their first difference: of close pairs, the beginnings are the same.

    Args:
        chosen: A text.
        rejected: Another.
        width: Most characters shown, without the dots where something is left out.

    Example:
        >>> where_they_differ("Sum of one to ten, step by step: 55.", "Sum of one to ten, step by step: 54.", width=16)
        ('... tep by step: 55.', '... tep by step: 54.')
    """
    one, other = (" ".join(text.split()) for text in (chosen, rejected))
    shared = len(os.path.commonprefix([one, other]))
    start = max(0, min(shared - width // 2, max(len(one), len(other)) - width))  # room on both sides of the difference
    return _cut(one, start, width), _cut(other, start, width)


def start_of(text: str, width: int) -> str:
    """The beginning of a text, on one line.

    Example:
        >>> start_of("Which is the largest?", 8)
        'Which is ...'
    """
    return _cut(" ".join(text.split()), 0, width)


def verdict(comparison: Comparison) -> str:
    """The result in two sentences: the gain with its interval, and the test on the disagreements.

    The p-value is stated, not judged: one set of pairs, and no word about other training seeds.
    """
    overall = comparison.overall
    gain = overall.gain
    return (
        f"{comparison.model} minus {comparison.baseline} over the same {overall.pairs:,} pairs: "
        f"{100 * gain.mean:+.1f} points (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}). "
        f"They disagree on {overall.disagreements:,}: {comparison.model} alone is right on {overall.model_only:,}, "
        f"{comparison.baseline} alone on {overall.baseline_only:,} (McNemar's exact test, p = {overall.p_value:.2g})."
    )


def notes(comparison: Comparison) -> str:
    """What the columns mean, in a few lines."""
    edges = [comparison.distance_bins[0].low, *(one.high for one in comparison.distance_bins)]
    return (
        "Accuracy, a tie counted as wrong; only: pairs that this model alone ranks right; p: McNemar's exact test.\n"
        f"Distance: between representations of {comparison.distance_source}, bins of about equally many pairs, "
        f"edges {', '.join(f'{edge:.3g}' for edge in edges)}.\n"
        "Intervals and p are about these pairs, not about other seeds."
    )


def comparison_text(comparison: Comparison) -> str:
    """The comparison for a terminal."""
    parts = [aligned(paired_rows(comparison)) + "\n" + notes(comparison), verdict(comparison)]
    for name, model_is_right in ((comparison.model, True), (comparison.baseline, False)):
        closest = comparison.closest(LISTED, model_is_right=model_is_right)
        if closest:
            parts.append(f"Closest pairs that only {name} ranks right\n" + "\n".join(map(_listed, closest)))
    return "\n\n".join(parts)


def _row(name: str, result: PairedResult) -> list[str]:
    gain = result.gain
    return [
        name,
        f"{result.pairs:,}",
        percent(result.model_accuracy),
        percent(result.baseline_accuracy),
        f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]",
        f"{result.model_only:,}",
        f"{result.baseline_only:,}",
        f"{result.p_value:.2g}",
    ]


def _listed(found: Disagreement) -> str:
    chosen, rejected = where_they_differ(found.model.chosen, found.model.rejected, width=90)
    head = f"pair {found.model.index}, distance {found.distance:.3g}: {start_of(found.model.prompt, 80)}"
    return f"{head}\n    chosen:   {chosen}\n    rejected: {rejected}"


def _cut(text: str, start: int, width: int) -> str:
    shown = text[start : start + width].strip()
    return f"{'... ' if start else ''}{shown}{' ...' if len(text) > start + width else ''}"
