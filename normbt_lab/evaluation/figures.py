"""From results of benchmarks to plotly figures, in the style of `normbt_lab.figures`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from normbt_lab.errors import NormBTError
from normbt_lab.figures import SYMBOLS, colored, safe, titled_figure

if TYPE_CHECKING:
    from normbt_lab.evaluation.calibration import Calibration


def reliability_figure(calibrations: Mapping[str, Calibration]) -> go.Figure:
    """How often a model is right at each confidence, one series per model: on the diagonal it can be taken at its word.

    Below the diagonal a model is more confident than it is right. The larger a marker, the more pairs it stands for.

    Args:
        calibrations: Name of each model -> its calibration.

    Raises:
        NormBTError: No model.
    """
    if not calibrations:
        raise NormBTError("a reliability figure needs the calibration of at least one model, and there is none")
    errors = [f"{name} {100 * found.expected_calibration_error:.1f}" for name, found in calibrations.items()]
    figure = titled_figure(f"Confidence and accuracy differ by (points): {', '.join(errors)}")
    figure.add_scatter(
        x=[50, 100],
        y=[50, 100],
        mode="lines",
        line={"dash": "dash", "width": 1, "color": "#888888"},
        name="perfectly calibrated",
        hoverinfo="skip",
    )
    for number, (name, color) in enumerate(colored(calibrations)):
        _add_model(figure, name, calibrations[name], color, SYMBOLS[number % len(SYMBOLS)])
    figure.update_xaxes(title="confidence: preference probability of the favoured response (%)", range=[48, 102])
    figure.update_yaxes(title="favoured response is the chosen one (%, bars: 95 % interval)")
    return figure


def _add_model(figure: go.Figure, name: str, found: Calibration, color: str, symbol: str) -> None:
    most = max(one.pairs for one in found.bins)
    figure.add_scatter(
        x=[100 * one.confidence for one in found.bins],
        y=[100 * one.accuracy for one in found.bins],
        error_y={
            "type": "data",
            "array": [100 * (one.interval[1] - one.accuracy) for one in found.bins],
            "arrayminus": [100 * (one.accuracy - one.interval[0]) for one in found.bins],
            "color": color,
        },
        mode="lines+markers",
        line={"color": color, "width": 1.5},
        # Area, not diameter, in proportion to the number of pairs.
        marker={"symbol": symbol, "size": [6 + 14 * (one.pairs / most) ** 0.5 for one in found.bins]},
        name=f"{safe(name)} (Brier {found.brier:.3f})",
        customdata=[f"{one.pairs:,} pairs" for one in found.bins],
        hovertemplate="says %{x:.1f} %, right in %{y:.1f} %<br>%{customdata}",
    )
