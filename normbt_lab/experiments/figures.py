"""Figures of a suite's report: accuracy by category (Figure 6), gains over the reference, bad pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from normbt_lab.evaluation.groups import ALL
from normbt_lab.evaluation.intervals import Estimate
from normbt_lab.experiments.results import RowResult
from normbt_lab.figures import SPARE_COLORS, colored, titled_figure


def category_accuracy_figure(results: Sequence[RowResult], split: str) -> go.Figure:
    """Accuracy by category, one bar per row, with standard errors over seeds (Figure 6)."""
    measured = [result for result in results if result.is_measured]
    figure = titled_figure(_category_finding(measured, split))
    colors = dict(colored(result.row for result in measured))
    for result in measured:
        means = {ALL: result.accuracy(split), **result.category_accuracies(split)}
        figure.add_bar(
            x=list(means),
            y=[100 * mean.mean for mean in means.values()],
            error_y={"type": "data", "array": [100 * (mean.error or 0.0) for mean in means.values()]},
            name=result.row,
            marker={"color": colors[result.row]},
            hovertemplate="%{x}: %{y:.1f} %",
        )
    figure.update_layout(barmode="group")
    figure.update_yaxes(title="accuracy (%)", range=[0, 100])
    return figure


def _category_finding(measured: Sequence[RowResult], split: str) -> str:
    means = {result.row: result.accuracy(split).mean for result in measured}
    best = [row for row, mean in means.items() if mean == max(means.values())]
    verb = "ranks" if len(best) == 1 else "rank"
    return f"On {split}, {' and '.join(best)} {verb} most pairs right: {100 * max(means.values()):.1f} %"


def gains_figure(gains: Mapping[str, Estimate], reference: str, split: str) -> go.Figure:
    """What each row gains over the reference, one line per row, with 95 % intervals over pairs."""
    estimates = list(gains.values())
    figure = titled_figure(f"On {split}, {_signs(estimates)}")
    figure.add_scatter(
        x=[100 * estimate.mean for estimate in estimates],
        y=list(gains),
        error_x={
            "type": "data",
            "array": [100 * (estimate.high - estimate.mean) for estimate in estimates],
            "arrayminus": [100 * (estimate.mean - estimate.low) for estimate in estimates],
        },
        mode="markers",
        # Each by itself: a row has its own colour or the first spare one, since its name stands beside it.
        marker={"size": 9, "color": [color for row in gains for _, color in colored([row])]},
        hovertemplate="%{y}: %{x:+.1f} points",
        showlegend=False,
    )
    figure.add_vline(x=0, line={"dash": "dash", "width": 1, "color": "#888888"})
    figure.update_layout(height=160 + 28 * len(gains), margin={"b": 50}, hovermode="closest")
    figure.update_xaxes(title=f"accuracy minus that of {reference} (points)")
    figure.update_yaxes(autorange="reversed")  # in the order of the table
    return figure


def shares_figure(gains: Mapping[str, Mapping[float, Estimate]], row: str, reference: str) -> go.Figure:
    """What a row gains over the reference as the share of bad pairs grows, with 95 % intervals over pairs.

    Args:
        gains: Kind of bad pair -> share -> gain.
        row: The row.
        reference: What it is compared with.
    """
    figure = titled_figure(_shares_finding(gains, row, reference))
    for number, (kind, by_share) in enumerate(gains.items()):
        estimates = list(by_share.values())
        figure.add_scatter(
            x=[100 * share for share in by_share],
            y=[100 * estimate.mean for estimate in estimates],
            error_y={
                "type": "data",
                "array": [100 * (estimate.high - estimate.mean) for estimate in estimates],
                "arrayminus": [100 * (estimate.mean - estimate.low) for estimate in estimates],
            },
            mode="lines+markers",
            name=kind,
            line={"color": SPARE_COLORS[number]},
            hovertemplate="%{x:.0f} % bad: %{y:+.1f} points",
        )
    figure.add_hline(y=0, line={"dash": "dash", "width": 1, "color": "#888888"})
    figure.update_xaxes(title="share of training pairs (%)")
    figure.update_yaxes(title=f"accuracy of {row} minus {reference} (points)")
    return figure


def _shares_finding(gains: Mapping[str, Mapping[float, Estimate]], row: str, reference: str) -> str:
    return f"{row} minus {reference}: {_signs([found for by_share in gains.values() for found in by_share.values()])}"


def _signs(estimates: Sequence[Estimate]) -> str:
    above = sum(estimate.low > 0 for estimate in estimates)
    below = sum(estimate.high < 0 for estimate in estimates)
    return f"of {len(estimates)} intervals {above} lie above 0 and {below} below"
