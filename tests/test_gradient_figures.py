"""Figures about gradients say what the records say: titles worked out by hand, nothing drawn that is not there."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from test_evaluation import scored_pair

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.figures import COLORS
from normbt_lab.gradients.differing_words import differing_words, lines_around_difference
from normbt_lab.gradients.figures import (
    distance_percentiles_figure,
    gradient_by_category_figure,
    norm_by_layer_figure,
    proxy_against_exact_figure,
    two_pair_figure,
    update_size_at_fixed_difference_figure,
)
from normbt_lab.gradients.measured_pair import MeasuredPair


def measured(gradient_distance, distance=1.0, error=0.5, difference=0.0, category=None, layers=None, **texts):
    scored = dataclasses.replace(scored_pair(difference, distance, category=category), prediction_error=error, **texts)
    by_layer = layers or {"embedding": 1.0, "score head": 1.0}
    return MeasuredPair(scored, gradient_distance, by_layer, by_layer)


def title(figure):
    return figure.layout.title.text.replace("<br>", " ")


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


FAR = measured(40.0, 30.0, error=0.25, category="safety", chosen="No, I will not.", rejected="Sure, here it is.")
CLOSE = measured(2.0, 1.5, error=0.5, category="reasoning", chosen="n += 1", rejected="n -= 1")

HISTORY = [
    {"step": 1, "distance_mean": 4.0}
    | {f"distance_{name}": float(i) for i, name in enumerate(("min", "p10", "p25", "p75", "p90", "max"), 1)},
    {"step": 2, "distance_mean": 8.0}
    | {f"distance_{name}": 2.0 * i for i, name in enumerate(("min", "p10", "p25", "p75", "p90", "max"), 1)},
    {"step": 2, "eval_loss": 0.6},
]

SPREAD = [
    measured(3.0 * d + 0.1 * (n % 3), d, error=0.4 + 0.01 * n, difference=0.1 * n, category=name)
    for n, (d, name) in enumerate((d, name) for d in (1.0, 2.0, 4.0) for name in ("chat", "reasoning"))
]

EVERY_FIGURE = {
    "two pairs": lambda: two_pair_figure([FAR, CLOSE]),
    "category": lambda: gradient_by_category_figure(SPREAD),
    "fixed difference": lambda: update_size_at_fixed_difference_figure(SPREAD),
    "proxy": lambda: proxy_against_exact_figure({"at initialisation": SPREAD, "after training": SPREAD[::-1]}),
    "percentiles": lambda: distance_percentiles_figure({"BT": HISTORY, "NormBT": HISTORY}),
    "layers": lambda: norm_by_layer_figure(SPREAD),
}


# ---- two pairs -------------------------------------------------------------------------------------------------------


def test_the_two_boxes_have_the_update_size_as_their_area():
    """0.25 x 40 = 10 and 0.5 x 2 = 1, so ten times."""
    figure = two_pair_figure([FAR, CLOSE])
    assert title(figure) == (
        "The safety pair pulls 10 times as hard as the reasoning pair, though the model is less wrong about it "
        "(0.25 against 0.50)"
    )
    assert [max(box.x) * max(box.y) for box in figure.data] == [10.0, 1.0]
    assert figure.layout.xaxis.matches == "x2"  # one scale, so that widths compare
    assert [box.line.color for box in figure.data] == [COLORS["safety"], COLORS["reasoning"]]


def test_the_title_says_when_the_stronger_pair_is_more_wrong_or_alike_wrong():
    assert "and the model is more wrong about it" in title(two_pair_figure([measured(9.0, error=0.9), CLOSE]))
    assert "for about the same error" in title(two_pair_figure([CLOSE, measured(9.0, error=0.5)]))
    assert "gets no update" in title(two_pair_figure([FAR, measured(0.0, 0.0)]))


def test_pairs_of_one_category_are_told_apart_by_their_place():
    figure = two_pair_figure([CLOSE, CLOSE])
    assert "first pair pulls 1 times as hard as the second" in title(figure)


def test_only_the_words_that_differ_are_marked():
    figure = two_pair_figure([FAR, CLOSE])
    (text,) = (text for text in texts(figure) if "+=" in text)
    marked = f"<b><span style='color:{COLORS['reasoning']}'>+=</span></b>"
    assert f"<i>Chosen</i> n {marked} 1" in text
    assert text.count("<b><span") == 3  # the heading, += and -=


def test_text_of_a_pair_is_shown_and_not_read_as_html():
    pair = measured(1.0, chosen="<b>if a < b</b>", rejected="no", prompt="<i>&amp;</i>")
    quoted = " ".join(texts(two_pair_figure([pair, FAR])))
    assert "&lt;i&gt;&amp;amp;&lt;/i&gt;" in quoted and "<i>&" not in quoted and "<b>if" not in quoted


def test_three_pairs_are_refused():
    with pytest.raises(UsageError, match="got 3"):
        two_pair_figure([FAR, CLOSE, FAR])


def test_a_late_difference_of_a_long_text_is_in_the_excerpt_between_dots():
    same = " ".join(f"word{n}" for n in range(100))
    chosen, rejected = differing_words(f"{same} right {same}", f"{same} wrong {same}")
    for words, other in ((chosen, "right"), (rejected, "wrong")):
        lines = lines_around_difference(words, width=40, most_lines=3)
        assert [word.text for line in lines for word in line if word.differs] == [other]
        assert lines[0][0].text == lines[-1][-1].text == "…"
        assert len(lines) == 3 and max(len(" ".join(word.text for word in line)) for line in lines) <= 40


@pytest.mark.parametrize("text", ["", "one", "x" * 500])
def test_texts_without_a_difference_and_words_longer_than_a_line_are_cut_to_it(text):
    words, _ = differing_words(text, text)
    assert not any(word.differs for word in words)
    assert max(len(" ".join(w.text for w in line)) for line in lines_around_difference(words, 40, 2)) <= 40


# ---- categories and distances ----------------------------------------------------------------------------------------


def test_the_category_figure_names_the_weakest_updates_and_whether_they_are_the_closest():
    """Updates 0.5 x 2 = 1 and 0.5 x 8 = 4; then errors turn the order of updates around."""
    pairs = [measured(8.0, category="chat"), measured(2.0, category="reasoning")]
    assert title(gradient_by_category_figure(pairs)) == (
        "Reasoning pairs get the smallest updates (median 1, chat pairs 4) and have the closest responses"
    )
    pairs = [measured(8.0, error=0.1, category="chat"), measured(2.0, category="reasoning")]
    figure = gradient_by_category_figure(pairs)
    assert title(figure) == (
        "Chat pairs get the smallest updates (median 0.8, reasoning pairs 1), yet reasoning pairs have the closest "
        "responses"
    )
    assert [box.median[0] for box in figure.data] == pytest.approx([1.0, 0.8, 2.0, 8.0, 1.0, 1.0])


def test_update_sizes_are_compared_among_pairs_of_like_reward_difference():
    """Two differences, two distances, five pairs each; error 0.8 or 0.2, gradient 1 or 6: six times in both."""
    pairs = [
        measured(gradient, distance, error=error, difference=difference)
        for difference, error in ((-1.0, 0.8), (1.0, 0.2))
        for distance, gradient in ((1.0, 1.0), (5.0, 6.0))
        for _ in range(5)
    ]
    figure = update_size_at_fixed_difference_figure(pairs, difference_bins=2, distance_bins=2)
    assert title(figure) == (
        "In 2 of 2 bins of reward difference that hold both, the farthest pairs get larger updates than the closest: "
        "6 times as large"
    )
    close, far = figure.data
    assert list(close.y) == pytest.approx([0.8, 0.2]) and list(far.y) == pytest.approx([4.8, 1.2])
    assert [text.strip() for text in close.text] == ["5", "5"]
    assert "error 0.80" in figure.layout.xaxis.ticktext[0]


def test_the_counts_of_all_cells_add_up_to_the_pairs_and_empty_cells_are_not_drawn():
    generator = np.random.default_rng(0)
    pairs = [measured(d, d, difference=d + r) for d, r in generator.exponential(size=(101, 2))]
    figure = update_size_at_fixed_difference_figure(pairs, difference_bins=5, distance_bins=4)
    assert sum(int(text) for trace in figure.data for text in trace.text) == 101
    assert all(int(text) > 0 for trace in figure.data for text in trace.text)


def test_a_title_does_not_rest_on_means_over_few_pairs():
    figure = update_size_at_fixed_difference_figure([measured(1.0, 1.0), measured(9.0, 9.0)])
    assert title(figure) == (
        "Too few close and far pairs of like reward difference to compare; the mean update is 2.5"
    )  # (0.5 + 4.5) / 2
    with pytest.raises(UsageError, match="got 0"):
        update_size_at_fixed_difference_figure(SPREAD, difference_bins=0)


def test_each_stage_has_its_correlation_or_the_reason_why_there_is_none():
    """Gradient distance 2 x distance: r is 1. Then all gradients equal: none is defined."""
    line = [measured(2 * d, d) for d in (1.0, 2.0, 4.0, 5.0)]
    flat = [measured(3.0, d) for d in (1.0, 2.0, 4.0)]
    figure = proxy_against_exact_figure({"before": line, "after": flat})
    assert "r = 1.00 before; undefined after" in title(figure)
    before, after = texts(figure)
    assert "before, 4 pairs" in before and before.count("1.00 [1.00, 1.00]") == 2
    assert after.count("undefined (all values of the second quantity are equal)") == 2


def test_pairs_that_a_log_axis_has_no_place_for_are_counted():
    figure = proxy_against_exact_figure({"now": [measured(2 * d, d) for d in (0.0, 0.01, 1.0, 5.0)]})
    assert figure.layout.xaxis.type == "log"
    assert "3 of 4 pairs drawn, none at distance 0" in figure.layout.xaxis.title.text
    assert sum(len(trace.x) for trace in figure.data if trace.mode == "markers") == 3


# ---- training and layers ---------------------------------------------------------------------------------------------


def test_the_percentiles_figure_draws_three_bands_and_says_how_the_mean_moved():
    """At the end the 90th percentile is 10 and the 10th is 4."""
    figure = distance_percentiles_figure({"BT": HISTORY, "TRL": [{"step": 1, "loss": 0.7}]})
    assert title(figure) == (
        "The mean distance goes from 4 to 8 under BT; at the end the 90th percentile is 2.5 times the 10th"
    )
    bands = [list(trace.y) for trace in figure.data if trace.fill == "toself"]
    assert bands == [[1, 2, 12, 6], [2, 4, 10, 5], [3, 6, 8, 4]]  # up along the lower edge, back along the upper


def test_the_panels_of_runs_stand_below_each_other_where_there_is_one_column():
    figure = distance_percentiles_figure({"BT": HISTORY, "NormBT": HISTORY}, columns=1)
    assert figure.layout.xaxis.domain == figure.layout.xaxis2.domain
    assert figure.layout.yaxis.domain[0] > figure.layout.yaxis2.domain[1]


def test_logs_with_the_mean_alone_are_drawn_without_bands():
    figure = distance_percentiles_figure({"BT": [{"step": 1, "distance_mean": 2.0}]})
    assert not [trace for trace in figure.data if trace.fill]
    assert title(figure) == "The mean distance goes from 2 to 2 under BT"


def test_shares_are_of_squared_norms_and_fill_the_bar():
    """Norms 1, 1, 2: squares 1, 1, 4 of 6, so the head holds two thirds; the second pair, 3 of 3 in layer 0, none."""
    layers = ({"embedding": 1.0, "layer 0": 1.0, "score head": 2.0}, {"layer 0": 3.0})
    figure = norm_by_layer_figure([measured(1.0, layers=one, category="chat") for one in layers])
    assert title(figure) == (
        "The score head holds 33.3 % of the squared gradient norm; of the other places layer 0 holds most, 58.3 %"
    )
    by_layer = [bar for bar in figure.data if bar.legend == "legend"]
    assert {bar.name: bar.x[0] for bar in by_layer} == pytest.approx(
        {"embedding": 100 / 12, "layer 0": 700 / 12, "score head": 100 / 3}
    )
    assert sum(bar.x[1] for bar in by_layer) == pytest.approx(100)


def head_shares(figure):
    """Percent of the score head in each bar by layer."""
    (head,) = (bar for bar in figure.data if bar.legend == "legend" and bar.name == "score head")
    return dict(zip(head.y, head.x, strict=True))


def test_all_pairs_are_those_with_and_without_a_category():
    """Nine chat pairs of share 0.9 and an uncategorised one of 0.1: (9 x 0.9 + 0.1) / 10 is 0.82."""
    chat, other = ({"layer 0": (1 - share) ** 0.5, "score head": share**0.5} for share in (0.9, 0.1))
    pairs = [measured(1.0, layers=chat, category="chat") for _ in range(9)] + [measured(1.0, layers=other)]
    figure = norm_by_layer_figure(pairs)
    assert head_shares(figure) == pytest.approx({"all pairs": 82, "chat": 90, "uncategorised": 10})
    assert "holds 82.0 % of the squared gradient norm" in title(figure)


def test_without_categories_there_is_one_bar_of_all_pairs():
    assert list(head_shares(norm_by_layer_figure([measured(1.0), measured(2.0)]))) == ["all pairs"]


def test_a_pair_without_a_category_is_drawn_as_uncategorised_in_every_stage():
    """After training, only the uncategorised pair lies apart: it keeps the name it has among all."""
    now = [measured(2.0, 1.0, category="chat"), measured(4.0, 50.0)]
    after = [measured(2.0, 0.0, category="chat"), measured(4.0, 2.0)]
    points = [
        trace for trace in proxy_against_exact_figure({"now": now, "after": after}).data if "markers" in trace.mode
    ]
    assert [(trace.name, list(trace.x)) for trace in points] == [
        ("chat", [1.0]),
        ("uncategorised", [50.0]),
        ("chat", []),
        ("uncategorised", [2.0]),
    ]
    assert "Chat pairs" in title(gradient_by_category_figure([*now, measured(9.0, 9.0)]))


def test_pairs_without_a_gradient_have_no_shares():
    with pytest.raises(NormBTError, match="norms by layer"):
        norm_by_layer_figure([measured(0.0, layers={"score head": 0.0})])


def test_of_many_layers_a_few_are_named_and_all_are_drawn():
    layers = {f"layer {n}": 1.0 for n in range(30)} | {"score head": 1.0}
    figure = norm_by_layer_figure([measured(1.0, layers=layers)])
    bars = [bar for bar in figure.data if bar.legend == "legend"]
    assert len(bars) == 31
    assert [bar.name for bar in bars if bar.showlegend] == ["layer 0", "layer 15", "layer 29", "score head"]


# ---- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_FIGURE)
def test_every_figure_has_a_finding_axes_with_titles_and_finite_numbers(name):
    figure = EVERY_FIGURE[name]()
    assert any(character.isdigit() for character in figure.layout.title.text)
    assert all(axis.title.text for axis in list(figure.select_xaxes())[-1:])
    assert name in ("category", "layers") or all(axis.title.text for axis in list(figure.select_yaxes())[:1])
    json.dumps(figure.to_plotly_json(), allow_nan=False, default=lambda array: np.asarray(array).tolist())


@pytest.mark.parametrize("distances", [[1.0], [3.0] * 5, [0.0] * 5, [0.0, 0.01, 5.0, 500.0]])
def test_every_spread_of_distances_can_be_drawn(distances):
    pairs = [measured(2 * d, d) for d in distances]
    for draw in (gradient_by_category_figure, update_size_at_fixed_difference_figure):
        figure = draw(pairs)
        json.dumps(figure.to_plotly_json(), allow_nan=False, default=lambda array: np.asarray(array).tolist())
    proxy_against_exact_figure({"now": pairs})


@pytest.mark.parametrize(
    "draw, nothing",
    [
        (gradient_by_category_figure, []),
        (update_size_at_fixed_difference_figure, []),
        (proxy_against_exact_figure, {}),
        (proxy_against_exact_figure, {"before": SPREAD, "after": []}),
        (distance_percentiles_figure, {"BT": [{"step": 1, "loss": 1.0}]}),
        (norm_by_layer_figure, []),
    ],
)
def test_nothing_to_draw_is_an_error_that_says_what_is_missing(draw, nothing):
    with pytest.raises(NormBTError, match="a figure needs"):
        draw(nothing)


def test_figures_load_without_torch():
    code = "import sys, normbt_lab.gradients.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
