"""How the distances and the weights of runs go over their steps, one colour per run."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from normbt_lab.figures import Log, colored, faded, listed, plain_log_ticks, records_with, require, safe, titled_figure
from normbt_lab.scoring.scored_pair import field_label

BANDS = (("p10", "p90", 0.16), ("p25", "p75", 0.3))
"""Percentiles between which a band is drawn, the wider first, with its opacity."""


def distance_percentiles_figure(history: Mapping[str, Log]) -> go.Figure:
    """Distances of each step's pairs: their mean, the middle half and the middle 80 %, one panel per run.

    Args:
        history: Name of each run -> what its trainer logged; runs without distances are left out.

    Raises:
        NormBTError: No run logged distances.
    """
    logged = {name: records_with(records, "distance_p10") for name, records in history.items()}
    logged = {name: records for name, records in logged.items() if records}
    require(logged, "logs with distances (train with NormBTTrainer)")
    figure = make_subplots(
        rows=len(logged), cols=1, shared_xaxes=True, shared_yaxes="all", vertical_spacing=0.16 / len(logged)
    )
    figure.update_layout(titled_figure(_spread_finding(logged)).layout)
    for row, (name, color) in enumerate(colored(logged), start=1):
        records = logged[name]
        steps = [record["step"] for record in records]
        for low, high, opacity in BANDS:
            figure.add_scatter(
                x=steps + steps[::-1],
                y=[r[f"distance_{high}"] for r in records] + [r[f"distance_{low}"] for r in reversed(records)],
                fill="toself",
                fillcolor=faded(color, opacity),
                line={"width": 0},
                mode="lines",
                showlegend=False,
                hoverinfo="skip",
                row=row,
                col=1,
            )
        figure.add_scatter(
            x=steps,
            y=[record["distance_mean"] for record in records],
            mode="lines" if len(steps) > 1 else "markers",
            line={"color": color, "width": 2},
            name=f"{safe(name)}: mean",
            hovertemplate="step %{x}: %{y:.3g}",
            row=row,
            col=1,
        )
        figure.update_yaxes(title="distance", rangemode="tozero", row=row)
    figure.update_xaxes(title="optimizer step", row=len(logged))
    figure.update_layout(height=190 + 170 * len(logged))
    return figure


def weights_figure(history: Mapping[str, Log]) -> go.Figure:
    """Mean and largest weight of each step's pairs, on a logarithmic axis.

    Args:
        history: Name of each run -> what its trainer logged; runs without weights are left out.

    Raises:
        NormBTError: No run logged weights.
    """
    logged = {name: records_with(records, "weight_max") for name, records in history.items()}
    logged = {name: records for name, records in logged.items() if records}
    require(logged, "logs with weights (train with NormBTTrainer)")
    largest = [
        f"{max(record['weight_max'] for record in records):.3g} under {name}" for name, records in logged.items()
    ]
    figure = titled_figure(f"The largest weight of a pair is {listed(largest)}")
    for name, color in colored(logged):
        steps = [record["step"] for record in logged[name]]
        for metric, label, line in (
            ("weight_mean", "mean", {"color": color, "width": 2.5}),
            ("weight_max", "largest", {"color": color, "width": 1.5, "dash": "dot"}),
        ):
            figure.add_scatter(
                x=steps,
                y=[record[metric] for record in logged[name]],
                mode="lines" if len(steps) > 1 else "markers",
                line=line,
                name=f"{safe(name)}: {label}",
                hovertemplate="step %{x}: %{y:.3g}",
            )
    figure.update_xaxes(title="optimizer step")
    figure.update_yaxes(title=field_label("weight"), type="log", **plain_log_ticks(True))
    return figure


def _spread_finding(logged: Mapping[str, Log]) -> str:
    parts = []
    for name, records in logged.items():
        last = records[-1]
        parts.append(f"{last['distance_p10']:.3g} to {last['distance_p90']:.3g} under {name}")
    return f"At the last step the middle 80 % of distances reach from {listed(parts)}"
