"""Calibration by hand arithmetic, and against outcomes drawn from the probabilities themselves."""

import json
import math

import numpy as np
import pytest
from test_evaluation import scored_pair

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.calibration import calibration
from normbt_lab.evaluation.figures import reliability_figure
from normbt_lab.figures import reward_difference_figure


def log_odds(probability):
    return math.log(probability / (1 - probability))


def test_brier_and_error_by_hand():
    """Says 80 % twice, right once, and 60 % wrongly once, so 40 % for chosen.

    Brier: (0.2² + 0.8² + 0.6²) / 3. Error: (2 * |0.5 - 0.8| + 1 * |0 - 0.6|) / 3.
    """
    found = calibration([log_odds(0.8), -log_odds(0.8), -log_odds(0.6)], bins=5)
    assert found.brier == pytest.approx((0.04 + 0.64 + 0.36) / 3)
    assert found.expected_calibration_error == pytest.approx((2 * 0.3 + 0.6) / 3)
    assert [(one.pairs, one.accuracy) for one in found.bins] == [(1, 0.0), (2, 0.5)]


def test_outcomes_drawn_from_the_probabilities_are_calibrated_and_doubled_rewards_are_not():
    generator = np.random.default_rng(0)
    sizes = np.abs(generator.normal(0, 2, 20_000))
    wins = generator.random(20_000) < 1 / (1 + np.exp(-sizes))
    differences = np.where(wins, sizes, -sizes)
    honest, boastful = calibration(differences), calibration(3 * differences)
    assert honest.expected_calibration_error < 0.015
    assert boastful.expected_calibration_error > 0.08 and boastful.brier > honest.brier


def test_which_response_is_called_chosen_plays_no_part_in_confidence():
    """A favourite that loses has the confidence of one that wins."""
    found = calibration([2.0, -2.0])
    assert len(found.bins) == 1 and found.bins[0].confidence == pytest.approx(1 / (1 + math.exp(-2)))


def test_ties_say_50_percent_and_are_right_half_the_time():
    found = calibration([0.0] * 4)
    assert (found.brier, found.expected_calibration_error) == (0.25, 0.0)


def test_extreme_rewards_do_not_overflow():
    found = calibration([1e4, -1e4])
    assert found.brier == 0.5 and found.expected_calibration_error == 0.5


def test_every_pair_is_in_one_bin_and_the_json_is_strict():
    found = calibration(np.linspace(-9, 9, 501), bins=7)
    assert sum(one.pairs for one in found.bins) == found.pairs == 501
    assert all(one.low <= one.confidence <= one.high for one in found.bins)
    assert len(json.loads(json.dumps(found.to_json(), allow_nan=False))["bins"]) == len(found.bins)


def test_nothing_to_measure_and_no_bins_are_errors():
    with pytest.raises(NormBTError, match="no pair"):
        calibration([])
    with pytest.raises(UsageError, match="bins must be 1 or more"):
        calibration([1.0], bins=0)


def test_the_figure_shows_each_model_s_bins_and_says_its_error():
    calibrations = {"BT": calibration([2.0, -2.0, 0.3]), "<mine>": calibration([1.0, 1.0, -1.0])}
    figure = reliability_figure(calibrations)
    diagonal, first, second = figure.data
    assert (diagonal.x, diagonal.y) == ((50, 100), (50, 100))
    assert list(first.y) == [100 * one.accuracy for one in calibrations["BT"].bins]
    assert list(first.x) == [100 * one.confidence for one in calibrations["BT"].bins]
    assert second.name.startswith("&lt;mine&gt;")
    assert f"{100 * calibrations['BT'].expected_calibration_error:.1f}" in figure.layout.title.text


def test_a_model_has_the_colour_that_it_has_in_every_other_figure():
    names = ["BT", "mine", "yours"]
    elsewhere = reward_difference_figure({name: [scored_pair(1.0), scored_pair(2.0)] for name in names}).data
    here = reliability_figure({name: calibration([1.0, -2.0]) for name in names}).data[1:]
    assert [trace.line.color for trace in here] == [trace.line.color for trace in elsewhere]


def test_a_figure_without_models_is_an_error():
    with pytest.raises(NormBTError, match="at least one model"):
        reliability_figure({})
