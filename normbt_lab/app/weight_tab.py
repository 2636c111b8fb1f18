"""The Weight tab: sliders that weigh the explored pairs anew, and a laboratory that retrains the score head on them."""

from __future__ import annotations

import html
import logging
import math
from typing import Any

import gradio as gr

from normbt_lab.app.explore_scores import Explored
from normbt_lab.app.explore_style import drawn, figure_place
from normbt_lab.app.head_laboratory import LaboratorySettings, compare_heads
from normbt_lab.app.head_laboratory_figures import head_accuracy_figure
from normbt_lab.app.messages import hint_html, problem_html
from normbt_lab.app.models import Models
from normbt_lab.app.settings import LONG_WORK, Settings
from normbt_lab.app.weight_tab_figures import update_share_figure, weight_curve_figure
from normbt_lab.app.weight_tab_numbers import (
    WeightSettings,
    mean_of,
    quantities_of,
    update_shares,
    weight_facts,
)
from normbt_lab.app.weight_tab_table import facts_html, shares_html
from normbt_lab.errors import NormBTError

logger = logging.getLogger(__name__)

LEAD = """
NormBT multiplies each pair's loss by a weight: *(running mean / (distance + eps))^alpha*, no larger than *max_weight*.
Move the sliders and see what the pairs you explored would weigh, and whose update it becomes.
"""

EMPTY = "Nothing is explored yet. Score a data set in the Explore tab, and its pairs are weighed here."

LABORATORY_LEAD = """
### Retrain the score head

The backbone stands still, so its representations are computed once and a fresh head trains on them in seconds: on one
half of the explored pairs, with uniform weights and with the weights above, measured on the other half. The running
mean is tracked over the batches, as in training. What weights do to a backbone that learns too, this cannot show.
"""

QUANTITY_CHOICES = [
    ("representation distance (NormBT)", "normbt"),
    ("cosine distance", "cosine"),
    ("distance of average-pooled representations", "average_pool"),
    ("D-optimal score, which weighs far pairs up", "d_opt"),
]

OBJECTIVE_CHOICES = [
    ("Bradley-Terry", "bradley_terry"),
    ("margin inside the sigmoid", "margin"),
    ("margin as a factor", "margin_outside"),
    ("label smoothing 0.1", "label_smoothing"),
]

WIDEST_MEAN = 4
"""The slider for the running mean reaches up to this many times the mean over the explored pairs."""


def build_weight_tab(settings: Settings, models: Models, explored: gr.State) -> None:
    """The tab's content.

    Args:
        settings: What the owner of the page decided.
        models: The page's models; this tab needs none, since what they computed is in `explored`.
        explored: This visitor's pairs, from `build_explore_tab`.
    """
    gr.Markdown(LEAD, elem_classes="lead")
    status = gr.HTML(hint_html(EMPTY), elem_classes="numbers", elem_id="weight-status")
    with gr.Column(visible=False) as content:
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                sliders = _Sliders()
            places = [*figure_place("weight-curve", scale=4), *figure_place("weight-shares", scale=4)]
        table = gr.HTML(elem_classes="numbers", elem_id="weight-table")
        laboratory = _Laboratory()
    redrawing: dict[str, Any] = {
        "fn": _draw,
        "inputs": [explored, *sliders.all],
        "outputs": [*places, table],
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    explored.change(
        _open, explored, [status, content, *sliders.all, *laboratory.results], api_visibility="private"
    ).then(**redrawing)
    sliders.weighting.input(
        _mean_slider, [explored, sliders.weighting], sliders.running_mean, api_visibility="private"
    ).then(**redrawing)
    gr.on([slider.input for slider in sliders.numbers], trigger_mode="always_last", **redrawing)
    laboratory.train.click(
        _train,
        [explored, *sliders.all, *laboratory.all],
        laboratory.results,
        show_progress_on=laboratory.results[0],
        api_visibility="private",
        **LONG_WORK,
    )


class _Sliders:
    """The controls of the weights, in the order in which `_settings` reads them."""

    def __init__(self) -> None:
        self.weighting = gr.Dropdown(
            QUANTITY_CHOICES, value="normbt", label="Distance, or what takes its place", elem_id="weight-kind"
        )
        self.norm_alpha = gr.Slider(
            0,
            2,
            1,
            step=0.05,
            label="norm_alpha",
            info="Strength: 0 is Bradley-Terry, 1 takes the distance out.",
            elem_id="weight-alpha",
        )
        self.running_mean = gr.Slider(
            0.01,
            10,
            1,
            label="running mean",
            info="A pair at this distance weighs 1. It scales all weights alike.",
            elem_id="weight-mean",
        )
        self.norm_eps = gr.Slider(
            -8,
            1,
            -8,
            step=0.5,
            label="norm_eps, as a power of ten",
            info="Added to the distance: holds back the closest pairs.",
            elem_id="weight-eps",
        )
        self.max_weight = gr.Slider(
            0,
            20,
            0,
            step=0.5,
            label="max_weight",
            info="No pair weighs more; 0: no bound.",
            elem_id="weight-max",
        )

    @property
    def numbers(self) -> list[gr.Slider]:
        return [self.norm_alpha, self.running_mean, self.norm_eps, self.max_weight]

    @property
    def all(self) -> list[Any]:
        return [self.weighting, *self.numbers]


class _Laboratory:
    """The controls of the head laboratory and what it found."""

    def __init__(self) -> None:
        gr.Markdown(LABORATORY_LEAD, elem_classes="lead")
        with gr.Row(elem_classes="actions"):
            self.objective = gr.Dropdown(
                OBJECTIVE_CHOICES, value="bradley_terry", label="Objective", min_width=200, elem_id="head-objective"
            )
            self.learning_rate = gr.Dropdown(
                [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0],
                value=LaboratorySettings.learning_rate,
                label="Learning rate",
                min_width=120,
                elem_id="head-rate",
            )
            self.epochs = gr.Slider(
                1, 100, LaboratorySettings.epochs, step=1, label="Epochs", min_width=180, elem_id="head-epochs"
            )
            self.seed = gr.Number(
                LaboratorySettings.seed,
                precision=0,
                minimum=0,
                maximum=2**31,
                label="Seed",
                min_width=90,
                elem_id="head-seed",
            )
            self.train = gr.Button("Train both heads", variant="primary", min_width=210, scale=0, elem_id="head-train")
        self.message = gr.HTML(elem_classes="numbers", elem_id="head-status")
        self.place = figure_place("head-accuracy")

    @property
    def all(self) -> list[Any]:
        return [self.objective, self.learning_rate, self.epochs, self.seed]

    @property
    def results(self) -> list[Any]:
        return [self.message, *self.place]


def _settings(weighting: str, norm_alpha: float, running_mean: float, eps_power: float, bound: float) -> WeightSettings:
    return WeightSettings(weighting, running_mean, norm_alpha, 10**eps_power, bound or None)


def _open(explored: Explored | None) -> tuple[Any, ...]:
    """The controls as the explored model was trained, once there is something to weigh."""
    if explored is None:
        return hint_html(EMPTY), gr.Column(visible=False), *(gr.skip() for _ in range(8))
    rule = explored.rule
    name, source = html.escape(explored.model), html.escape(explored.source)
    return (
        f"<p>{len(explored.scored):,} pairs of <b>{source}</b> through <b>{name}</b>, weighed as in its training.</p>",
        gr.Column(visible=True),
        "normbt",
        rule.norm_alpha,
        _slider_for_mean(rule.running_mean, mean_of(quantities_of(explored, "normbt"))),
        max(-8.0, math.log10(rule.norm_eps)) if rule.norm_eps else -8.0,
        rule.max_weight or 0,
        "",
        *drawn(None),
    )


def _mean_slider(explored: Explored | None, weighting: str) -> gr.Slider:
    """Each quantity has its own unit, so its running mean starts from the mean over these pairs."""
    if explored is None:
        return gr.Slider()
    mean = mean_of(quantities_of(explored, weighting))
    value = explored.rule.running_mean if weighting == "normbt" else mean
    return _slider_for_mean(value, mean)


def _slider_for_mean(value: float, mean: float) -> gr.Slider:
    most = WIDEST_MEAN * max(mean, value)
    return gr.Slider(
        minimum=_three_digits(most / 400),
        maximum=_three_digits(most),
        value=_three_digits(value),
        step=_three_digits(most / 400),
    )


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def _draw(explored: Explored | None, *controls: Any) -> tuple[Any, ...]:
    if explored is None:
        return *drawn(None), *drawn(None), ""
    settings = _settings(*controls)
    quantities = quantities_of(explored, settings.weighting)
    weights = settings.weights(quantities)
    shares = update_shares(explored, weights)
    try:
        curve = weight_curve_figure(explored.scored, quantities, weights, settings)
    except NormBTError as error:
        return *drawn(None), *drawn(None), problem_html(str(error))
    facts = weight_facts(explored, weights)
    return *drawn(curve), *drawn(update_share_figure(shares)), facts_html(facts) + shares_html(shares)


def _train(explored: Explored | None, *controls: Any) -> tuple[Any, ...]:
    """What the two heads came to, or why there are none."""
    if explored is None:
        return hint_html(EMPTY), *drawn(None)
    weights, (objective, learning_rate, epochs, seed) = _settings(*controls[:5]), controls[5:]
    try:
        found = compare_heads(
            explored, weights, LaboratorySettings(objective, float(learning_rate), int(epochs), int(seed or 0))
        )
    except NormBTError as error:
        return problem_html(str(error)), *drawn(None)
    return "", *drawn(head_accuracy_figure(found))
