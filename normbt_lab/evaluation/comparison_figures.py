"""Where two models part, as a plotly figure in the look of all others (paper figure 4)."""

from __future__ import annotations

import textwrap

import plotly.graph_objects as go

from normbt_lab.evaluation.comparison import Comparison, PairedBin
from normbt_lab.evaluation.groups import bin_names
from normbt_lab.evaluation.tables import percent
from normbt_lab.figures import capital, colored, safe, titled_figure


def disagreement_by_distance_figure(comparison: Comparison) -> go.Figure:
    """Pairs that exactly one model ranks right, counted in each distance bin, one bar per model (paper figure 4).

    Args:
        comparison: From `compare_models`.
    """
    figure = titled_figure(disagreement_finding(comparison))
    bins = comparison.distance_bins
    model, baseline = colored([comparison.model, comparison.baseline])
    counts = {
        model: [one.result.model_only for one in bins],
        baseline: [one.result.baseline_only for one in bins],
    }
    for (name, color), heights in counts.items():
        figure.add_bar(
            x=list(range(len(bins))),
            y=heights,
            text=heights,
            textposition="outside",
            cliponaxis=False,
            marker={"color": color},
            name=f"only {safe(name)} is right",
            customdata=[_hover(one) for one in bins],
            hovertemplate="%{y:,} pairs<br>%{customdata}",
        )
    measured = textwrap.wrap(f"representation distance (units of h) under {comparison.distance_source},", width=80)
    figure.update_xaxes(
        title="<br>".join(map(safe, [*measured, "bins of equally many pairs"])),
        tickvals=list(range(len(bins))),
        ticktext=[name.replace(" (", "<br>(") for name in bin_names(len(bins))],
    )
    figure.update_yaxes(title="pairs that one model alone ranks right", rangemode="tozero")
    figure.update_layout(barmode="group", bargap=0.35, height=460, margin={"b": 120})
    return figure


def disagreement_finding(comparison: Comparison) -> str:
    """Who wins how many disagreements among the closest pairs and among the farthest."""
    bins = comparison.distance_bins
    if not comparison.disagreements:
        return f"{comparison.model} and {comparison.baseline} disagree on 0 of {comparison.overall.pairs:,} pairs"
    if len(bins) == 1:
        return f"{capital(_won(comparison, bins[0]))} of {bins[0].result.pairs:,} pairs"
    return f"Closest pairs: {_won(comparison, bins[0])}; farthest pairs: {_won(comparison, bins[-1])}"


def _won(comparison: Comparison, one: PairedBin) -> str:
    alone = f"only {comparison.model} is right on {one.result.model_only:,}"
    return f"{alone}, only {comparison.baseline} on {one.result.baseline_only:,}"


def _hover(one: PairedBin) -> str:
    result = one.result
    share = (
        f"; the model wins {percent(result.model_share)} of the disagreements" if result.model_share is not None else ""
    )
    return f"of {result.pairs:,} at distance {one.low:.3g} to {one.high:.3g}{share}"
