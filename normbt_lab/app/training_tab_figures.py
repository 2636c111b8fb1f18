"""How the weights of runs go over their steps, one colour per run."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from normbt_lab.figures import Log, colored, listed, plain_log_ticks, records_with, require, safe, titled_figure
from normbt_lab.scoring.scored_pair import field_label


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
