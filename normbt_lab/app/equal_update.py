"""Lines of equal Bradley-Terry update on a plane of error against distance: error = update / distance (paper eq. 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go


def round_updates(low: float, high: float, steps: Sequence[int] = (1, 3)) -> list[float]:
    """The updates between two ends that get a line.

    Args:
        low: All are above it.
        high: All are below it.
        steps: Multiples of each power of ten.

    Example:
        >>> round_updates(0.5, 20.0), round_updates(0.5, 20.0, steps=[1])
        ([1.0, 3.0, 10.0], [1.0, 10.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [update for power in powers for step in steps if low < (update := step * 10.0**power) < high]


def add_line_of_equal_update(
    figure: go.Figure, update: float, low: float, high: float, line: dict[str, object]
) -> None:
    """One line, from error 1 or the left edge to the right edge; none where it does not cross the plane.

    Args:
        figure: Where it is drawn.
        update: Error times distance along the line.
        low: Left end of the distance axis.
        high: Right end of it.
        line: Its look, as plotly takes it.
    """
    if not 0 < update < high:
        return
    distances = np.geomspace(max(low, update), high, 60)
    figure.add_scatter(
        x=distances.tolist(),
        y=(update / distances).tolist(),
        mode="lines",
        line=line,
        hoverinfo="skip",
        showlegend=False,
    )
