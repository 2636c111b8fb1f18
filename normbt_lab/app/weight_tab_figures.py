"""The weight of each explored pair on its curve, and whose update the weights make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from normbt_lab.app.explore_figures import GREY, SMALL, short_text, spread_ticks
from normbt_lab.app.weight_tab_numbers import QUANTITIES, UpdateShares, WeightSettings
from normbt_lab.evaluation.groups import grouped
from normbt_lab.evaluation.tables import percent
from normbt_lab.figures import (
    COLORS,
    SYMBOLS,
    capital,
    colored,
    faded,
    require,
    safe,
    titled_figure,
)

if TYPE_CHECKING:
    from normbt_lab.scoring.scored_pair import ScoredPair

BARS = (
    ("of the pairs", "pairs", faded(GREY, 0.55)),
    ("of the Bradley-Terry update", "bradley_terry", COLORS["BT"]),
    ("of the update with these weights", "weighted", COLORS["NormBT"]),
)
"""Label, field of `UpdateShares` and colour of the three bars of each category."""


def weight_curve_figure(
    scored: Sequence[ScoredPair], quantities: np.ndarray, weights: np.ndarray, settings: WeightSettings
) -> go.Figure:
    """What a pair weighs by what was measured of it: the curve of these settings, and each pair on it.

    Args:
        scored: The pairs.
        quantities: What the weighting measures of each, shape (pairs,); pairs with 0 are left out.
        weights: Weight of each, shape (pairs,).
        settings: How they are weighed.

    Raises:
        NormBTError: Nothing was measured above 0.
    """
    drawn = np.flatnonzero((quantities > 0) & (weights > 0))
    require(len(drawn), "pairs whose two answers lie apart")
    low, high = float(quantities[drawn].min()), float(quantities[drawn].max())
    figure = titled_figure(_curve_finding(low, high, settings))
    _add_curve(figure, low / 1.25, high * 1.25, settings)
    groups = grouped(drawn.tolist(), lambda i: scored[i].category, among=range(len(scored)))
    for number, (name, color) in enumerate(colored(groups)):
        members = groups[name]
        figure.add_scatter(
            x=quantities[members].tolist(),
            y=weights[members].tolist(),
            mode="markers",
            name=safe(name),
            marker={
                "color": faded(color, 0.45),
                "symbol": SYMBOLS[number % len(SYMBOLS)],
                "size": 8,
                "line": {"color": color, "width": 1},
            },
            text=[short_text(scored[i]) for i in members],
            hovertemplate="%{text}<br>weight %{y:.3g}<extra></extra>",
        )
    figure.add_hline(y=1, line={"dash": "dash", "width": 1, "color": GREY})
    if low < settings.running_mean < high:
        figure.add_vline(x=settings.running_mean, line={"dash": "dot", "width": 1, "color": GREY})
    figure.update_xaxes(
        title=f"{QUANTITIES[settings.weighting]}<br>{SMALL.format('dotted: running mean')}",
        type="log",
        range=[math.log10(low / 1.25), math.log10(high * 1.25)],
        **spread_ticks(low, high),
    )
    least, most = float(weights[drawn].min()), float(weights[drawn].max())
    figure.update_yaxes(
        title="weight (factor on the loss)",
        type="log",
        range=[math.log10(min(least, 0.8) / 1.2), math.log10(max(most, 1.25) * 1.2)],
        **spread_ticks(min(least, 0.8), max(most, 1.25)),
    )
    figure.update_layout(height=460, margin={"l": 56, "r": 16, "b": 130})
    return figure


def update_share_figure(shares: Mapping[str, UpdateShares]) -> go.Figure:
    """Each category's share of the pairs, of the Bradley-Terry update, and of the update with the weights.

    Args:
        shares: Category -> its shares.

    Raises:
        NormBTError: No pairs.
    """
    require(shares, "scored pairs")
    figure = titled_figure(share_finding(shares))
    for label, field, color in BARS:
        figure.add_bar(
            x=[safe(name) for name in shares],
            y=[100 * getattr(share, field) for share in shares.values()],
            name=label,
            marker={"color": color},
            hovertemplate=f"%{{y:.1f}} % {label}<extra>%{{x}}</extra>",
        )
    figure.update_yaxes(title="share (%)", rangemode="tozero")
    figure.update_layout(height=460, margin={"l": 50, "r": 16, "b": 115}, bargap=0.3, bargroupgap=0.08)
    return figure


def share_finding(shares: Mapping[str, UpdateShares]) -> str:
    """What the weights do to the category that Bradley-Terry favours most.

    Example:
        >>> share_finding({"chat": UpdateShares(0.2, 0.41, 0.22), "safety": UpdateShares(0.8, 0.59, 0.78)})
        'Chat: 20.0 % of the pairs, 41.0 % of the Bradley-Terry update, 22.0 % with these weights'
    """
    if len(shares) == 1:
        return "These pairs have no categories: all of the update is theirs"
    name = max(shares, key=lambda category: shares[category].bradley_terry - shares[category].pairs)
    share = shares[name]
    pairs, before, after = map(percent, (share.pairs, share.bradley_terry, share.weighted))
    return f"{capital(name)}: {pairs} of the pairs, {before} of the Bradley-Terry update, {after} with these weights"


def _curve_finding(low: float, high: float, settings: WeightSettings) -> str:
    least, most = settings.weights(np.array([low, high]))
    ends = ("closest", "farthest") if settings.weighting != "d_opt" else ("lowest-scored", "highest-scored")
    return f"The {ends[0]} pair ({low:.3g}) weighs {least:.3g}, the {ends[1]} ({high:.3g}) {most:.3g}"


def _add_curve(figure: go.Figure, low: float, high: float, settings: WeightSettings) -> None:
    along = np.geomspace(low, high, 120)
    figure.add_scatter(
        x=along.tolist(),
        y=settings.weights(along).tolist(),
        mode="lines",
        line={"color": COLORS["NormBT"], "width": 2.5},
        name="these settings",
        hovertemplate="measured %{x:.3g}: weight %{y:.3g}<extra></extra>",
    )
