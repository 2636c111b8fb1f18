"""The error-against-distance plane: where a pair lies on it decides how hard each loss pulls."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from normbt_lab.app.equal_update import add_line_of_equal_update, round_updates
from normbt_lab.app.reading import Reading
from normbt_lab.app.reference import ReferencePoint
from normbt_lab.app.style import page_figure
from normbt_lab.figures import COLORS, faded, safe, theme
from normbt_lab.scoring import field_label

GREY = "#888888"

LEAST_SHARE = 30
"""The axis reaches down to this part of the smallest distance, so that a pair that pulls little does not shrink it."""

QUADRANTS = {
    ("left", "top"): ("starved", "wrong, close"),
    ("right", "top"): ("pulled hard", "wrong, far"),
    ("left", "bottom"): ("let be", "right, close"),
    ("right", "bottom"): ("overfed", "right, far"),
}
"""Side and height of each quadrant -> what Bradley-Terry does to the pairs there, and which they are."""

ERRORS = (-0.15, 1.2)
"""Ends of the error axis. Above 1 and below 0 there is neither a pair nor a line, so the names of the quadrants stand
there; the sizes of the lines of equal update stand between 1 and these names."""


class Point(NamedTuple):
    """Where one score of the trail lay."""

    distance: float
    error: float

    @property
    def update(self) -> float:
        """Size of the Bradley-Terry update there."""
        return self.distance * self.error


def plane_figure(
    reading: Reading,
    color: str,
    reference: Sequence[ReferencePoint] = (),
    trail: Sequence[Point] = (),
) -> go.Figure | None:
    """One pair as a point among the reference pairs, on lines of equal Bradley-Terry update; None without a distance.

    The update is error times distance (paper eq. 6), so a line of equal update falls with the distance: a close pair
    must be far more wrong to pull as hard. Under NormBT the distance is gone, and only the height counts. The quadrants
    part where the model is as often wrong as right, and at its usual distance.

    Args:
        reading: What the model makes of the pair.
        color: The model's colour.
        reference: Where the reference pairs lie under the same model.
        trail: Where the pair lay before it was edited, oldest first.
    """
    scored = reading.scored
    if scored.representation_distance <= 0:
        return None
    here = Point(scored.representation_distance, scored.prediction_error)
    usual = _usual_distance(reading, reference)
    low, high = _span([here, *trail], [point.distance for point in reference], usual)
    figure = go.Figure()
    title = "<br>".join(textwrap.wrap(safe(_finding(reading, reference)), width=50))
    figure.update_layout(template=theme(), title={"text": title, "font": {"size": 15}})
    _add_labelled_lines(figure, low, high)
    if usual:
        _add_quadrants(figure, usual)
    _add_reference(figure, reference)
    _add_trail(figure, [*trail, here], color)
    add_line_of_equal_update(figure, reading.update_bradley_terry, low, high, {"color": color, "width": 1.5})
    _add_reading(figure, reading, color)
    notes = "dotted: equal Bradley-Terry update, its size on top<br>under NormBT only the height counts"
    figure.update_xaxes(
        title={"text": f"{field_label('representation_distance')}<br><span style='font-size:11px'>{notes}</span>"},
        type="log",
        range=[np.log10(low), np.log10(high)],
        dtick="D2" if high / low < 100 else 1,
        tickformat="~g",
        exponentformat="none",
        fixedrange=True,
    )
    figure.update_xaxes(title={"standoff": 8})
    figure.update_yaxes(
        title=field_label("prediction_error"),
        range=ERRORS,
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        zeroline=False,
        fixedrange=True,
    )
    top = 34 + 20 * (title.count("<br>") + 1)
    figure.update_layout(margin={"l": 56, "r": 16, "t": top, "b": 135}, height=560)
    return page_figure(figure)


def _finding(reading: Reading, reference: Sequence[ReferencePoint]) -> str:
    update = reading.update_bradley_terry
    if not reference:
        return f"{reading.model}: Bradley-Terry would pull at this pair with {update:.3g}"
    harder = sum(update > point.update for point in reference)
    ranks = f"{reading.model}: under Bradley-Terry this pair pulls harder than {harder} of {len(reference)} others"
    if reading.scored.weight is None:
        return ranks
    wronger = sum(reading.scored.prediction_error > point.error for point in reference)
    return f"{ranks}, under NormBT than {wronger}"


def _usual_distance(reading: Reading, reference: Sequence[ReferencePoint]) -> float | None:
    """The mean distance of the model's training, or else the median over the reference pairs."""
    if reading.running_mean is not None:
        return reading.running_mean
    return float(np.median([point.distance for point in reference])) if reference else None


def _span(points: Sequence[Point], others: Sequence[float], usual: float | None) -> tuple[float, float]:
    """Ends of the distance axis: all points, and the foot of the line of equal update where that is not far off."""
    distances = [point.distance for point in points if point.distance > 0]
    distances += [distance for distance in others if distance > 0] + ([usual] if usual else [])
    last = points[0]
    foot = max(last.update, last.distance / LEAST_SHARE)
    return min(min(distances) / 2, foot / 1.6), 2.5 * max(distances)


def _add_labelled_lines(figure: go.Figure, low: float, high: float) -> None:
    """Lines of equal update, each with its size on top."""
    steps = (1, 3) if high / low < 1000 else (1,)  # of more, the sizes would run into each other
    updates = round_updates(low * 1.05, high / 1.2, steps)
    for update in updates:
        add_line_of_equal_update(figure, update, low, high, {"color": GREY, "width": 1, "dash": "dot"})
    figure.add_scatter(
        x=updates,
        y=[1.0] * len(updates),
        mode="text",
        text=[f"{update:g}" for update in updates],
        textposition="top center",
        textfont={"size": 11, "color": GREY},
        hoverinfo="skip",
        showlegend=False,
    )


def _add_quadrants(figure: go.Figure, usual: float) -> None:
    line = {"color": GREY, "width": 1}
    figure.add_shape(type="line", x0=usual, x1=usual, y0=0, y1=1, line=line)
    figure.add_hline(y=0.5, line=line)
    for (side, height), (name, which) in QUADRANTS.items():
        figure.add_annotation(
            text=f"<b>{name}</b><br>{which}",
            xref="x domain",
            x=0.01 if side == "left" else 0.99,
            xanchor=side,
            y=ERRORS[1] if height == "top" else ERRORS[0],
            yanchor=height,
            align=side,
            showarrow=False,
            font={"size": 11, "color": GREY},
        )


def _add_reference(figure: go.Figure, reference: Sequence[ReferencePoint]) -> None:
    drawn = [point for point in reference if point.distance > 0]
    for category in dict.fromkeys(point.category for point in drawn):
        members = [point for point in drawn if point.category == category]
        figure.add_scatter(
            x=[point.distance for point in members],
            y=[point.error for point in members],
            mode="markers",
            name=category,
            marker={"color": faded(COLORS.get(category, GREY), 0.75), "size": 6},
            hovertemplate=f"{category}<br>distance %{{x:.3g}}, error %{{y:.3g}}<extra></extra>",
        )


def _add_trail(figure: go.Figure, points: Sequence[Point], color: str) -> None:
    """From where the pair lay before to where it lies now; the older, the fainter."""
    drawn = [point for point in points if point.distance > 0]
    for number, (before, after) in enumerate(zip(drawn, drawn[1:], strict=False), start=1):
        strength = 0.25 + 0.6 * number / len(drawn)
        figure.add_scatter(
            x=[before.distance, after.distance],
            y=[before.error, after.error],
            mode="lines+markers",
            line={"color": faded(color, strength), "width": 2, "dash": "dash"},
            marker={"color": faded(color, strength), "size": [9, 0.1], "symbol": "circle-open"},
            hovertemplate="before: distance %{x:.3g}, error %{y:.3g}<extra></extra>",
            showlegend=False,
        )


def _add_reading(figure: go.Figure, reading: Reading, color: str) -> None:
    scored = reading.scored
    under_normbt = "" if reading.update_normbt is None else f"<br>update under NormBT: {reading.update_normbt:.3g}"
    figure.add_scatter(
        x=[scored.representation_distance],
        y=[scored.prediction_error],
        mode="markers",
        name="this pair",
        marker={"color": color, "symbol": "diamond", "size": 15, "line": {"color": "#ffffff", "width": 1.5}},
        hovertemplate=f"{field_label('representation_distance')}: %{{x:.3g}}<br>"
        f"{field_label('prediction_error')}: %{{y:.3g}}<br>"
        f"update under Bradley-Terry: {reading.update_bradley_terry:.3g}{under_normbt}<extra></extra>",
    )
