"""Figures say what the data says: titles worked out by hand, nothing drawn that is not there, colours one can see."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from test_evaluation import scored_pair

from normbt_lab.errors import NormBTError
from normbt_lab.evaluation import evaluate_pairs
from normbt_lab.figures import (
    BACKGROUND,
    COLORS,
    INK,
    MOST_POINTS,
    SPARE_COLORS,
    accuracy_by_distance_figure,
    distance_by_category_figure,
    loss_and_accuracy_figure,
    reward_difference_figure,
    running_mean_figure,
    theme,
    weight_against_distance_figure,
)

CATEGORIES = ("chat", "chat hard", "safety", "reasoning")


def weighted(distance, running_mean=2.0, **fields):
    pair = scored_pair(fields.pop("difference", 1.0), distance=distance, **fields)
    return dataclasses.replace(pair, weight=running_mean / distance if distance else running_mean / 1e-8)


def title(figure):
    return figure.layout.title.text.replace("<br>", " ")


def traces(figure, name):
    return [trace for trace in figure.data if trace.name and trace.name.startswith(name)]


HISTORY = [
    {"step": 1, "loss": 0.7, "accuracy": 0.5, "running_mean": 2.0, "distance_p25": 1.0, "distance_p75": 3.0},
    {"step": 2, "loss": 0.5, "accuracy": 0.75, "running_mean": 2.5, "distance_p25": 1.5, "distance_p75": 3.5},
    {"step": 2, "eval_loss": 0.6, "eval_accuracy": 0.625},
    {"step": 2, "train_runtime": 3.0},
]

EVERY_FIGURE = {
    "reward difference": lambda: reward_difference_figure({"BT": [scored_pair(1.0), scored_pair(-1.0)]}),
    "distance": lambda: distance_by_category_figure([scored_pair(1.0, d, category="chat") for d in (1.0, 2.0)]),
    "weight": lambda: weight_against_distance_figure([weighted(d) for d in (1.0, 4.0)]),
    "running mean": lambda: running_mean_figure({"BT": HISTORY}),
    "accuracy": lambda: accuracy_by_distance_figure({"BT": evaluate_pairs([scored_pair(1.0, d) for d in (1.0, 2.0)])}),
    "training": lambda: loss_and_accuracy_figure({"BT": HISTORY}),
}


# ---- findings --------------------------------------------------------------------------------------------------------


def test_the_reward_figure_says_how_many_pairs_each_model_ranks_right():
    """BT right on 1 of 4 (a tie is not right), NormBT on 3 of 4."""
    scored = {"BT": [1.0, 0.0, -1.0, -2.0], "NormBT": [1.0, 2.0, 3.0, -1.0]}
    figure = reward_difference_figure({name: [scored_pair(d) for d in values] for name, values in scored.items()})
    assert title(figure) == "BT ranks 25.0 % and NormBT ranks 75.0 % of 4 pairs right"
    for trace in figure.data:
        assert sum(trace.y[1:-1]) == pytest.approx(100)  # the first and last point only close the outline


def test_the_distance_figure_compares_the_farthest_and_the_closest_category():
    """Medians: chat 8, reasoning 2, so four times."""
    distances = {"chat": (6.0, 8.0, 10.0), "reasoning": (1.0, 2.0, 3.0), "safety": (4.0, 4.0, 4.0)}
    pairs = [scored_pair(1.0, d, category=name) for name, values in distances.items() for d in values]
    figure = distance_by_category_figure(pairs)
    assert title(figure) == "Chat pairs lie 4 times as far apart as reasoning pairs (medians 8 and 2)"
    medians = {box.y[0]: box.median[0] for box in figure.data}
    assert medians == {"chat": 8.0, "safety": 4.0, "reasoning": 2.0}
    assert list(medians) == ["reasoning", "safety", "chat"]  # the axis starts at the bottom


def test_a_pair_without_a_category_is_not_all_pairs_where_others_have_one():
    mixed = [weighted(1.0, category="chat"), weighted(2.0, category=None)]
    assert {box.name for box in distance_by_category_figure(mixed).data} == {"chat (1)", "uncategorised (1)"}
    assert {"chat", "uncategorised"} <= {trace.name for trace in weight_against_distance_figure(mixed).data}
    assert [box.name for box in distance_by_category_figure([weighted(2.0, category=None)]).data] == ["all pairs (1)"]


def test_the_weight_figure_counts_pairs_above_one_and_draws_the_curve_of_their_running_mean():
    """Running mean 2, distances 1, 1.6, 4, 8: weights 2, 1.25, 0.5, 0.25."""
    figure = weight_against_distance_figure([weighted(distance) for distance in (4.0, 1.0, 8.0, 1.6)])
    assert title(figure) == "50.0 % of 4 pairs weigh more than 1: the closest 2, the farthest 0.25"
    (curve,) = traces(figure, "running mean 2 / distance")
    assert [x * y for x, y in zip(curve.x, curve.y, strict=True)] == pytest.approx([2.0, 2.0])


def test_the_running_mean_figure_says_where_each_run_started_and_ended():
    figure = running_mean_figure({"BT": HISTORY, "NormBT": [{"step": 1, "running_mean": 3.0}], "TRL": [{"loss": 1.0}]})
    assert title(figure) == "The running mean goes from 2 to 2.5 under BT and from 3 to 3 under NormBT"
    (band,) = traces(figure, "BT: middle half")
    assert list(band.y) == [1.0, 1.5, 3.5, 3.0]  # up along the 25th percentile, back along the 75th


def test_the_accuracy_figure_names_the_closest_and_the_farthest_pairs():
    """Distances 1 to 10, right where above 5: the closest fifth 0 of 2, the farthest 2 of 2."""
    pairs = [scored_pair(1.0 if distance > 5 else -1.0, float(distance)) for distance in range(1, 11)]
    figure = accuracy_by_distance_figure({"BT": evaluate_pairs(pairs)})
    assert title(figure) == "Closest pairs: BT 0.0 % right; farthest pairs: BT 100.0 %"
    (series,) = figure.data
    assert list(series.y) == [0, 0, 50, 100, 100]


def test_error_bars_end_where_the_intervals_end():
    evaluation = evaluate_pairs([scored_pair(1.0 if n % 3 else -1.0, float(n)) for n in range(90)])
    (series,) = accuracy_by_distance_figure({"BT": evaluation}).data
    for i, found in enumerate(evaluation.distance_bins):
        ends = series.y[i] - series.error_y.arrayminus[i], series.y[i] + series.error_y.array[i]
        assert ends == pytest.approx([100 * end for end in found.result.interval])


def test_the_training_figure_prefers_the_evaluation_and_falls_back_on_training():
    assert title(loss_and_accuracy_figure({"BT": HISTORY})) == "Evaluation accuracy at the end: BT 62.5 %"
    assert title(loss_and_accuracy_figure({"BT": HISTORY[:2]})) == "Training accuracy over the last log: BT 75.0 %"
    bare = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.5}]
    assert title(loss_and_accuracy_figure({"BT": bare})) == "Training loss from first to last step: BT 0.7 to 0.5"


# ---- hard data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distances", [[1.0], [3.0] * 5, [0.0] * 5, [0.0, 0.01, 5.0, 500.0], [1e-30, 1e30]])
@pytest.mark.parametrize("category", [None, "chat", "poetry"])
def test_every_spread_of_distances_gives_finite_boxes(distances, category):
    figure = distance_by_category_figure([scored_pair(1.0, d, category=category) for d in distances])
    (box,) = figure.data
    ends = [box.lowerfence[0], box.q1[0], box.median[0], box.q3[0], box.upperfence[0]]
    assert all(math.isfinite(end) for end in ends) and ends == sorted(ends)
    if figure.layout.xaxis.type == "log":
        assert ends[0] > 0


def test_zeros_on_a_log_axis_are_drawn_at_the_edge_and_counted():
    figure = distance_by_category_figure([scored_pair(1.0, d) for d in (0.0, 0.0, 1.0, 100.0)])
    assert figure.layout.xaxis.type == "log"
    assert "2 pairs at distance 0" in figure.layout.xaxis.title.text


def test_a_category_at_distance_zero_is_not_divided_by():
    pairs = [scored_pair(1.0, 0.0, category="chat"), scored_pair(1.0, 2.0, category="safety")]
    assert (
        title(distance_by_category_figure(pairs)) == "Safety pairs lie farther apart than chat pairs (medians 2 and 0)"
    )
    same = [scored_pair(1.0, 0.0, category="chat"), scored_pair(1.0, 0.0, category="safety")]
    assert "same median distance, 0" in title(distance_by_category_figure(same))


def test_pairs_without_a_weight_and_identical_pairs_are_left_out_of_the_weights_and_counted():
    pairs = [weighted(1.0), weighted(4.0), weighted(0.0), scored_pair(1.0, 2.0)]
    figure = weight_against_distance_figure(pairs)
    assert "of 2 pairs" in title(figure)
    assert "2 pairs without a weight or at distance 0 left out" in figure.layout.xaxis2.title.text
    with pytest.raises(NormBTError, match="score with a running mean"):
        weight_against_distance_figure([scored_pair(1.0, 2.0)])


def test_weights_with_a_bound_are_not_laid_on_a_curve_they_do_not_follow():
    bounded = [dataclasses.replace(weighted(d), weight=min(2.0 / d, 1.0)) for d in (0.5, 1.0, 4.0)]
    assert not traces(weight_against_distance_figure(bounded), "running mean")


def test_of_very_many_pairs_some_are_drawn_and_the_figure_says_so():
    pairs = [weighted(1.0 + n / 1000, category=CATEGORIES[n % 4], index=n) for n in range(3 * MOST_POINTS)]
    figure = weight_against_distance_figure(pairs)
    drawn = sum(len(trace.x) for trace in figure.data if trace.mode == "markers")
    assert drawn == MOST_POINTS
    assert f"{MOST_POINTS:,} of {3 * MOST_POINTS:,} pairs drawn" in figure.layout.xaxis2.title.text
    assert f"of {3 * MOST_POINTS:,} pairs weigh" in title(figure)  # the finding is about all


def test_text_from_the_data_is_shown_and_not_read_as_html():
    """Plotly would make a link of the first."""
    pair = dataclasses.replace(weighted(1.0, category="<i>x</i>"), prompt='<a href="https://example.org">if a < b</a>')
    (markers,) = (
        t
        for t in weight_against_distance_figure([pair, weighted(2.0)]).data
        if t.name == "&lt;i&gt;x&lt;/i&gt;" and t.mode == "markers"
    )
    assert "&lt;a href=" in markers.customdata[0] and "<a" not in markers.customdata[0]
    assert "<b>" not in title(reward_difference_figure({"<b>BT</b>": [scored_pair(1.0)]}))


@pytest.mark.parametrize(
    "draw, nothing",
    [
        (reward_difference_figure, {"BT": []}),
        (distance_by_category_figure, []),
        (weight_against_distance_figure, []),
        (running_mean_figure, {"BT": [{"step": 1, "loss": 1.0}]}),
        (accuracy_by_distance_figure, {}),
        (loss_and_accuracy_figure, {"BT": []}),
    ],
)
def test_nothing_to_draw_is_an_error_that_says_what_is_missing(draw, nothing):
    with pytest.raises(NormBTError, match="a figure needs"):
        draw(nothing)


# ---- looks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_FIGURE)
def test_every_figure_has_a_finding_axes_with_titles_and_finite_numbers(name):
    figure = EVERY_FIGURE[name]()
    assert any(character.isdigit() for character in figure.layout.title.text)
    axes = [axis for axis in figure.select_yaxes()] + [list(figure.select_xaxes())[-1]]
    if name != "distance":  # its y axis is the categories' names
        assert all(axis.title.text for axis in axes)
    json.dumps(figure.to_plotly_json(), allow_nan=False, default=lambda array: np.asarray(array).tolist())


def test_long_findings_are_broken_into_lines():
    models = {f"a model with a long name, number {n}": [scored_pair(1.0)] for n in range(5)}
    lines = reward_difference_figure(models).layout.title.text.split("<br>")
    assert len(lines) > 1 and max(map(len, lines)) <= 75


def test_a_name_has_one_colour_in_every_figure_whatever_its_case():
    pairs = [weighted(d, category="safety") for d in (1.0, 2.0)]
    assert COLORS["safety"] == distance_by_category_figure(pairs).data[0].marker.color
    assert COLORS["safety"] in {
        t.marker.line.color for t in weight_against_distance_figure(pairs).data if t.marker.line
    }
    for name in ("NormBT", "normbt"):
        assert reward_difference_figure({"other": pairs, name: pairs}).data[1].line.color == COLORS["NormBT"]
        assert accuracy_by_distance_figure({name: evaluate_pairs(pairs)}).data[0].line.color == COLORS["NormBT"]
        assert traces(running_mean_figure({name: HISTORY}), f"{name}: running")[0].line.color == COLORS["NormBT"]
        assert loss_and_accuracy_figure({name: HISTORY}).data[0].line.color == COLORS["NormBT"]


def test_names_without_a_colour_of_their_own_get_different_ones():
    figure = reward_difference_figure({name: [scored_pair(1.0)] for name in ("a", "b", "c")})
    assert len({trace.line.color for trace in figure.data}) == 3


def linear_rgb(color):
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(color, background):
    """WCAG 2's contrast ratio."""
    low, high = sorted(float(linear_rgb(one) @ [0.2126, 0.7152, 0.0722]) for one in (color, background))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_stand_out_from_the_page_and_text_can_be_read(mode):
    for color in (*COLORS.values(), *SPARE_COLORS):
        assert contrast(color, BACKGROUND[mode]) >= 3  # WCAG 1.4.11, graphics
    assert contrast(INK[mode], BACKGROUND[mode]) >= 7  # WCAG 1.4.6, text
    assert theme(mode).layout.paper_bgcolor == BACKGROUND[mode]


# Machado, Oliveira and Fernandes (2009), severity 1; linear RGB.
EYES = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(linear):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear.clip(0, 1)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("together", [("BT", "NormBT"), CATEGORIES])
def test_colours_that_stand_together_differ_for_colour_blind_readers_too(eyes, together):
    """CIE76 distances of 20 and more; about 2 is the smallest that can be seen."""
    seen = {name: lab(np.asarray(EYES[eyes]) @ linear_rgb(COLORS[name])) for name in together}
    for one, other in itertools.combinations(together, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 20, (one, other)
