"""The exact gradient of one pair, on demand: it costs a backward pass, and memory like a training step."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from normbt_lab.app.reading import Reading
from normbt_lab.app.style import page_figure
from normbt_lab.errors import NormBTError
from normbt_lab.figures import COLORS, safe, titled_figure
from normbt_lab.gradients.measured_pair import MeasuredPair

if TYPE_CHECKING:
    from torch import nn

    from normbt_lab.data.pairs import PreferencePair
    from normbt_lab.model import RewardModel

LONGEST_MEASURED = 1024
"""Tokens of an answer with its prompt whose gradient the page measures."""


def measure_pair(reward_model: RewardModel, pair: PreferencePair) -> MeasuredPair:
    """The exact gradient of the pair's reward difference over all that the model's training moved.

    Args:
        reward_model: The model; its parameters ask for gradients only meanwhile.
        pair: The pair.

    Raises:
        NormBTError: The pair is longer than `LONGEST_MEASURED` or cannot be tokenised.
    """
    from normbt_lab.data.tokenization import tokenize_pair
    from normbt_lab.gradients.measure import measure_pairs

    tokens = tokenize_pair(pair, reward_model.tokenizer, LONGEST_MEASURED, overlong="drop")
    if tokens is None:
        raise NormBTError(
            f"The exact gradient is measured for answers of up to {LONGEST_MEASURED:,} tokens, prompt included; this "
            "pair is longer. Without a page: normbt audit"
        )
    with _asking_for_gradients(reward_model.model):
        (measured,) = measure_pairs(reward_model, [pair], sketch_size=0)
    return measured


@contextmanager
def _asking_for_gradients(model: nn.Module) -> Iterator[None]:
    """Just what training moved asks for gradients."""
    from normbt_lab.model import ask_for_gradients

    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    ask_for_gradients(model)
    try:
        yield
    finally:
        for parameter, asked in before.items():
            parameter.requires_grad_(asked)


def measured_html(measured: Sequence[tuple[Reading, MeasuredPair]]) -> str:
    """What the exact gradient says of the pair, a paragraph per model."""
    return "".join(_paragraph(reading, pair) for reading, pair in measured)


def _paragraph(reading: Reading, pair: MeasuredPair) -> str:
    ratio = pair.distance_ratio
    proxy = "" if ratio is None else f", {ratio:.3g} times the representation distance (k in paper eq. 7)"
    weighted = ""
    if reading.scored.weight is not None and reading.scored.representation_distance > 0:
        weighted = f" With its NormBT weight the update has size {reading.scored.weight * pair.update_size:.3g}."
    return (
        f"<p><b>{html.escape(reading.model)}</b>: the gradient distance is <b>{pair.gradient_distance:.4g}</b>{proxy}. "
        f"The score head holds {100 * pair.score_head_share:.1f} % of its square. Over all trained parameters, the "
        f"Bradley-Terry update of this pair has size {pair.update_size:.3g}.{weighted}</p>"
    )


def gradient_by_layer_figure(measured: Sequence[tuple[Reading, MeasuredPair]], colors: dict[str, str]) -> go.Figure:
    """Where in the model the pair's gradient lies: its norm by layer, one series per model."""
    figure = titled_figure(_most_of_it(measured))
    names: dict[str, None] = {}
    for reading, pair in measured:
        names |= dict.fromkeys(pair.by_layer)
        figure.add_bar(
            x=list(pair.by_layer),
            y=list(pair.by_layer.values()),
            name=safe(reading.model),
            marker={"color": colors.get(reading.model, COLORS["BT"])},
            hovertemplate="%{x}: %{y:.3g}",
        )
    short: list[Any] = [name.removeprefix("layer ") for name in names]
    figure.update_xaxes(title="layer", tickvals=list(names), ticktext=short)
    figure.update_yaxes(title="gradient norm of the reward difference")
    figure.update_layout(bargap=0.25)
    return page_figure(figure)


def _most_of_it(measured: Sequence[tuple[Reading, MeasuredPair]]) -> str:
    reading, pair = measured[0]
    if pair.gradient_distance == 0:
        return f"{reading.model} gets no gradient from this pair"
    place = max(pair.by_layer, key=lambda name: pair.by_layer[name])
    share = 100 * (pair.by_layer[place] / pair.gradient_distance) ** 2
    return f"{reading.model}: {share:.0f} % of the squared gradient lies in one place, {place}"
