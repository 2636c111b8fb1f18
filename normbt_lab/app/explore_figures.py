"""The explored pairs on the plane of distance and error, and how often each occurs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from normbt_lab.app.equal_update import add_line_of_equal_update, round_updates
from normbt_lab.evaluation.groups import grouped
from normbt_lab.evaluation.tables import percent
from normbt_lab.figures import (
    SYMBOLS,
    colored,
    count_of_pairs,
    faded,
    plain_log_ticks,
    require,
    safe,
    titled_figure,
)
from normbt_lab.scoring.scored_pair import field_label

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair

GREY = "#888888"

SMALL = "<span style='font-size:11px'>{}</span>"
"""A note under the title of an axis."""

LEAST_MARKER, LARGEST_MARKER = 5.0, 20.0
"""Diameters in pixels between which a weight is drawn."""

WEIGHT_ONE = 9.0
"""Diameter of a marker whose pair weighs 1; areas are in proportion to weights."""

BINS = 24


def explore_figure(scored: Sequence[ScoredPair]) -> go.Figure:
    """Each pair where its distance and its error put it; the larger the marker, the larger its NormBT weight.

    The update of a pair is error times distance (paper eq. 6): Bradley-Terry pulls hardest at the upper right. Dotted
    are lines of equal update. Each point carries the pair's index as ``customdata``, so that a click can find it.

    Args:
        scored: Records of one model. Those at distance 0 are left out: they have no place on a logarithmic axis.

    Raises:
        NormBTError: No pair has a distance.
    """
    drawn = [pair for pair in scored if pair.representation_distance > 0]
    require(drawn, "pairs whose two answers lie apart")
    figure = titled_figure(update_finding(drawn))
    low, high = _span([pair.representation_distance for pair in drawn])
    for update in round_updates(low / 10, high):
        add_line_of_equal_update(figure, update, low, high, {"color": faded(GREY, 0.55), "width": 1, "dash": "dot"})
    # Large markers first, so that small ones are not hidden under them.
    for number, (name, color, members) in enumerate(_by_category(drawn)):
        _add_points(figure, sorted(members, key=_weight, reverse=True), name, color, SYMBOLS[number % len(SYMBOLS)])
    figure.update_xaxes(
        title=f"{field_label('representation_distance')}<br>"
        + SMALL.format("larger marker: larger NormBT weight<br>dotted: equal Bradley-Terry update"),
        type="log",
        range=[math.log10(low), math.log10(high)],
        **spread_ticks(low, high),
    )
    figure.update_yaxes(title=field_label("prediction_error"), range=[-0.04, 1.04], dtick=0.25, zeroline=False)
    figure.update_layout(height=520, clickmode="event", margin={"l": 56, "r": 16, "b": 130})
    return figure


def update_finding(scored: Sequence[ScoredPair]) -> str:
    """How much of the Bradley-Terry update the farther half of the pairs makes.

    Example:
        >>> from types import SimpleNamespace
        >>> pairs = [SimpleNamespace(representation_distance=d, head_update_size=0.5 * d) for d in (1.0, 3.0)]
        >>> update_finding(pairs)
        'The farther half of the pairs makes 75.0 % of the Bradley-Terry update'
    """
    updates = [pair.head_update_size for pair in sorted(scored, key=_distance)]
    total = sum(updates)
    if len(updates) < 2 or total == 0:
        return f"{count_of_pairs(len(updates))} on the plane of distance and error"
    farther = percent(sum(updates[len(updates) // 2 :]) / total)
    return f"The farther half of the pairs makes {farther} of the Bradley-Terry update"


def distance_histogram(scored: Sequence[ScoredPair]) -> go.Figure:
    """How many pairs of each category lie at which distance, on a logarithmic axis.

    Raises:
        NormBTError: No pair has a distance.
    """
    drawn = [pair for pair in scored if pair.representation_distance > 0]
    require(drawn, "pairs whose two answers lie apart")
    distances = [pair.representation_distance for pair in drawn]
    low, high = _span(distances)
    edges = np.geomspace(low, high, BINS + 1)
    spread = max(distances) / min(distances)
    figure = titled_figure(f"The farthest pair lies {spread:,.3g} times as far apart as the closest")
    _add_stacked_counts(figure, drawn, "representation_distance", edges)
    figure.update_xaxes(title=field_label("representation_distance"), type="log", **spread_ticks(low, high))
    figure.update_xaxes(range=[math.log10(low), math.log10(high)])
    return figure


def error_histogram(scored: Sequence[ScoredPair]) -> go.Figure:
    """How many pairs of each category have which prediction error: beyond 0.5 the model ranks them wrong.

    Raises:
        NormBTError: No pairs.
    """
    require(scored, "scored pairs")
    right = percent(sum(pair.is_correct for pair in scored) / len(scored))
    figure = titled_figure(f"{right} of {count_of_pairs(len(scored))} are ranked right")
    _add_stacked_counts(figure, scored, "prediction_error", np.linspace(0, 1, BINS + 1))
    figure.add_vline(x=0.5, line={"dash": "dash", "width": 1, "color": GREY})
    figure.update_xaxes(
        title=f"{field_label('prediction_error')}<br>{SMALL.format('beyond 0.5: ranked wrong')}", range=[0, 1]
    )
    return figure


def _by_category(scored: Sequence[ScoredPair]) -> list[tuple[str, str, list[ScoredPair]]]:
    """Name, colour and pairs of each category, in the usual order."""
    groups = grouped(scored, lambda pair: pair.category)
    return [(name, color, groups[name]) for name, color in colored(groups)]


def _add_points(figure: go.Figure, pairs: Sequence[ScoredPair], name: str, color: str, symbol: str) -> None:
    diameters = [WEIGHT_ONE * math.sqrt(_weight(pair)) for pair in pairs]
    figure.add_scatter(
        x=[pair.representation_distance for pair in pairs],
        y=[pair.prediction_error for pair in pairs],
        mode="markers",
        name=safe(name),
        marker={
            "color": faded(color, 0.4),
            "symbol": symbol,
            "size": [min(max(diameter, LEAST_MARKER), LARGEST_MARKER) for diameter in diameters],
            "line": {"color": color, "width": 1},
        },
        customdata=[pair.index for pair in pairs],
        text=[f"{short_text(pair)}<br>weight {_weight(pair):.3g}" for pair in pairs],
        hovertemplate="%{text}<extra></extra>",
    )


def _add_stacked_counts(figure: go.Figure, pairs: Sequence[ScoredPair], field: str, edges: np.ndarray) -> None:
    widths = np.diff(edges)
    for name, color, members in _by_category(pairs):
        counts = np.histogram([getattr(pair, field) for pair in members], edges)[0]
        figure.add_bar(
            x=edges[:-1].tolist(),
            y=counts.tolist(),
            width=widths.tolist(),
            offset=0,
            name=safe(name),
            marker={"color": color, "line": {"width": 0}},
            customdata=[[f"{low:.3g}", f"{high:.3g}"] for low, high in zip(edges[:-1], edges[1:], strict=True)],
            hovertemplate="%{y} pairs from %{customdata[0]} to %{customdata[1]}",
        )
    figure.update_yaxes(title="pairs")
    figure.update_layout(barmode="stack", height=300, margin={"l": 50, "r": 16, "b": 95})


def _span(distances: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis with a little room on both sides."""
    return min(distances) / 1.25, max(distances) * 1.25


def spread_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks of a logarithmic axis: at 1, 2 and 5, at powers of ten on a long one, by plotly on a short one."""
    spread = high / low
    return {**plain_log_ticks(True), "dtick": None if spread < 10 else "D2" if spread < 1000 else 1}


def short_text(pair: ScoredPair) -> str:
    """What a point says before it is clicked, in lines short enough for a phone.

    Texts are short here; all of the pair is read beside the figure.
    """
    lines = [
        f"pair {pair.index}: {textwrap.shorten(pair.prompt[:200], 32, placeholder=' ...')}",
        f"error {pair.prediction_error:.3g}, distance {pair.representation_distance:.3g}",
    ]
    return "<br>".join(map(safe, lines))


def _distance(pair: ScoredPair) -> float:
    return pair.representation_distance


def _weight(pair: ScoredPair) -> float:
    return pair.weight or 0.0
