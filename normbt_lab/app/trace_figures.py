"""The two figures of a pair's way through the models: reward along the tokens, distance layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from normbt_lab.app.reading import Reading
from normbt_lab.app.style import page_figure
from normbt_lab.app.trace import LayerDistance, Trace, TracedToken
from normbt_lab.figures import capital, listed, safe, titled_figure

DASHES = {"chosen": "solid", "rejected": "dot"}

SHORT = {"embedding": "emb.", "final norm": "norm"}
"""What the ends of the layers are called on an axis, which has no room for more on a phone."""


def along_tokens_figure(readings: Sequence[Reading], colors: Mapping[str, str]) -> go.Figure | None:
    """What the score head says at each token after the two answers part; None where they never do.

    Only the last token's value is the reward. The head was trained there alone, so the way to it shows where an answer
    wins or loses, not what it would be worth if it stopped.

    Args:
        readings: One reading per model, with traces.
        colors: Name of each model -> its colour.
    """
    drawn = [(reading, reading.trace) for reading in readings if reading.trace and _parts(reading.trace)]
    if not drawn:
        return None
    figure = titled_figure(_where_decided(drawn))
    for reading, trace in drawn:
        for side, tokens in (("chosen", trace.chosen), ("rejected", trace.rejected)):
            _add_rewards(figure, tokens, trace.shared, f"{reading.model}: {side}", colors[reading.model], DASHES[side])
    figure.update_xaxes(title="tokens since the answers part", rangemode="tozero")
    figure.update_yaxes(title="score head at the token (log-odds)")
    return page_figure(figure)


def by_layer_figure(readings: Sequence[Reading], colors: Mapping[str, str]) -> go.Figure | None:
    """How far apart the two answers lie after each layer, where their rewards are read; None where nothing is known.

    Args:
        readings: One reading per model, with traces.
        colors: Name of each model -> its colour.
    """
    drawn = [(reading.model, reading.trace.layers) for reading in readings if reading.trace and reading.trace.layers]
    if not drawn:
        return None
    figure = titled_figure(_where_apart(drawn))
    for model, layers in drawn:
        figure.add_scatter(
            x=list(range(len(layers))),
            y=[layer.relative for layer in layers],
            mode="lines+markers",
            name=safe(model),
            line={"color": colors[model], "width": 2.5},
            marker={"size": 6},
            customdata=[(layer.name, layer.distance) for layer in layers],
            hovertemplate="%{customdata[0]}: %{y:.3g} of the length,<br>distance %{customdata[1]:.3g}",
        )
    deepest = max((layers for _, layers in drawn), key=len)
    names = [SHORT.get(layer.name, layer.name.removeprefix("layer ")) for layer in deepest]
    step = max(1, len(names) // 7)
    first = 1 if step == 1 else step + 1  # the first layer's number would stand on the name before it
    ticks = [0, *range(first, len(names) - max(1, step // 2), step), len(names) - 1]
    figure.update_xaxes(title="after layer", tickvals=ticks, ticktext=[names[tick] for tick in ticks], tickangle=0)
    figure.update_yaxes(title="relative distance", rangemode="tozero")
    return page_figure(figure)


def _parts(trace: Trace) -> bool:
    return len(trace.chosen) > trace.shared or len(trace.rejected) > trace.shared


def _add_rewards(
    figure: go.Figure, tokens: Sequence[TracedToken], shared: int, name: str, color: str, dash: str
) -> None:
    """From the last token that both answers have, on which both lines start, to the end."""
    start = max(0, shared - 1)
    drawn = tokens[start:]
    figure.add_scatter(
        x=[number - (shared - 1 - start) for number in range(len(drawn))],
        y=[token.reward for token in drawn],
        mode="lines+markers" if len(drawn) <= 60 else "lines",
        name=safe(name),
        line={"color": color, "width": 2, "dash": dash},
        marker={"size": [4] * (len(drawn) - 1) + [11], "symbol": "circle" if dash == "solid" else "circle-open"},
        customdata=[safe(repr(token.text)) for token in drawn],
        hovertemplate="%{customdata}: %{y:+.3f}",
    )


def _where_decided(drawn: Sequence[tuple[Reading, Trace]]) -> str:
    parts = []
    for reading, trace in drawn:
        ends = (trace.chosen[-1].reward, trace.rejected[-1].reward)
        parts.append(f"{reading.model} ends at {ends[0]:+.2f} for chosen and {ends[1]:+.2f} for rejected")
    return capital(listed(parts))


def _where_apart(drawn: Sequence[tuple[str, Sequence[LayerDistance]]]) -> str:
    models_by_place: dict[str, list[str]] = {}
    for model, layers in drawn:
        most = max(layers, key=lambda layer: layer.relative)
        models_by_place.setdefault(_place(most.name), []).append(model)
    places = [f"after {place} ({', '.join(models)})" for place, models in models_by_place.items()]
    return f"Relative to their length, the answers lie farthest apart {listed(places)}"


def _place(name: str) -> str:
    return name if name.startswith("layer") else f"the {name}"
