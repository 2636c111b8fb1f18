"""Best-of-n curves as a plotly figure, in the look of all others (paper figure 5)."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from normbt_lab.evaluation.best_of_n import BEST, BestOfN, Curve, kl_divergence
from normbt_lab.figures import colored, faded, listed, safe, titled_figure

GREY = "#888888"


def best_of_n_figure(result: BestOfN, unit: str = "") -> go.Figure:
    """Mean gold score of the best of n against KL, one line per proxy on its 95 % band over prompts.

    Two grey lines show what choosing by the gold score itself and by length would give.

    Args:
        result: From `best_of_n`.
        unit: Of the gold score, for the axis.
    """
    figure = titled_figure(best_of_n_finding(result))
    for name, color in colored(result.curves):
        _add_band(figure, result, result.curves[name], name, color)
    for name, color in colored(result.curves):
        _add_line(figure, result, result.curves[name], name, {"color": color, "width": 2.5})
    for name, curve in result.baselines.items():
        _add_line(figure, result, curve, name, {"color": GREY, "width": 1.5, "dash": "dot" if name == BEST else "dash"})
    shown = ticks(result.largest)
    widest = result.kl[-1] or 1.0
    figure.update_xaxes(
        title="KL from the policy (nats), and n",
        tickvals=[kl_divergence(n) for n in shown],
        ticktext=[f"{kl_divergence(n):.2g}<br>n = {n}" for n in shown],
        range=[-0.02 * widest, 1.02 * widest],  # left to itself it may end a hair before the last tick
    )
    figure.update_yaxes(title="gold score of the chosen response" + (f"<br>({safe(unit)})" if unit else ""))
    return figure


def best_of_n_finding(result: BestOfN) -> str:
    """The gold score of each proxy's choice at the last n, beside one response at random."""
    at_random = next(iter(result.curves.values())).mean[0]
    chosen = [f"{name} {curve.mean[-1]:.3g}" for name, curve in result.curves.items()]
    return f"Best of {result.largest}: {listed(chosen)}; one response at random: {at_random:.3g}"


def ticks(largest: int) -> list[int]:
    """1, 2, 4, ... and the last n, without one that would stand too close to it.

    Example:
        >>> ticks(402)
        [1, 2, 4, 8, 16, 32, 64, 128, 402]
    """
    powers = [2**k for k in range(int(math.log2(largest)) + 1)]
    return [n for n in powers if n <= largest / 1.7] + [largest]


def _add_band(figure: go.Figure, result: BestOfN, curve: Curve, name: str, color: str) -> None:
    figure.add_scatter(
        x=result.kl + result.kl[::-1],
        y=[*curve.low, *curve.high[::-1]],
        fill="toself",
        fillcolor=faded(color, 0.13),
        line={"width": 0},
        mode="lines",
        name=safe(name),
        legendgroup=name,
        showlegend=False,
        hoverinfo="skip",
    )


def _add_line(figure: go.Figure, result: BestOfN, curve: Curve, name: str, line: dict[str, object]) -> None:
    figure.add_scatter(
        x=result.kl,
        y=curve.mean.tolist(),
        mode="lines" if result.largest > 1 else "markers",
        line=line,
        name=safe(name),
        legendgroup=name,
        customdata=[f"n = {n}, 95 % interval {curve.at(n).low:.3g} to {curve.at(n).high:.3g}" for n in result.n],
        hovertemplate="%{y:.3g}<br>%{customdata}",
    )
