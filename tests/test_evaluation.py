"""Accuracies by hand arithmetic, intervals against the bootstrap written as a loop."""

import json

import numpy as np
import pytest

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation import bootstrap_interval, compare, comparison_rows, evaluate_pairs, paired_difference
from normbt_lab.scoring import ScoredPair


def scored_pair(difference, distance=1.0, category=None, tokens=(5, 5), index=0) -> ScoredPair:
    return ScoredPair(
        index=index,
        origin=None,
        category=category,
        prompt=f"question {index}",
        chosen="yes",
        rejected="no",
        reward_chosen=difference,
        reward_rejected=0.0,
        reward_difference=difference,
        preference_probability=0.5,
        prediction_error=0.5,
        representation_distance=distance,
        weight=None,
        tokens_chosen=tokens[0],
        tokens_rejected=tokens[1],
        truncated_chosen=False,
        truncated_rejected=False,
    )


def test_a_tie_is_wrong_in_strict_accuracy_and_half_right_in_the_other():
    """Right, right, tied, wrong: 2/4 strict, 2.5/4 half, 1/4 ties."""
    overall = evaluate_pairs([scored_pair(d) for d in (2.0, 0.1, 0.0, -1.0)]).overall
    assert (overall.pairs, overall.strict, overall.half, overall.tie_rate) == (4, 0.5, 0.625, 0.25)


def test_the_length_baseline_prefers_the_longer_response_whatever_the_rewards():
    """Chosen longer in 2 of 4, equal in 1: 2.5/4."""
    pairs = [scored_pair(-1.0, tokens=tokens) for tokens in ((9, 3), (4, 3), (3, 3), (1, 8))]
    result = evaluate_pairs(pairs).overall
    assert (result.length_baseline, result.strict) == (0.625, 0.0)


def test_categories_come_in_the_order_of_rewardbench_and_are_measured_apart():
    pairs = [
        scored_pair(1, category="reasoning"),
        scored_pair(-1, category="reasoning"),
        scored_pair(1, category="chat"),
        scored_pair(-1, category="poetry"),
        scored_pair(1),
    ]
    evaluation = evaluate_pairs(pairs)
    found = {name: (result.pairs, result.strict) for name, result in evaluation.categories.items()}
    assert list(found.items()) == [
        ("chat", (1, 1.0)),
        ("reasoning", (2, 0.5)),
        ("poetry", (1, 0.0)),
        ("uncategorised", (1, 1.0)),
    ]
    assert evaluation.category_mean == pytest.approx((1.0 + 0.5 + 0.0) / 3)


def test_distance_bins_hold_equally_many_pairs_from_close_to_far():
    """Distances 1 to 100, the close half wrong: fifths of 20, accuracies 0, 0, 1/2, 1, 1."""
    pairs = [scored_pair(1.0 if distance > 50 else -1.0, distance=float(distance)) for distance in range(1, 101)]
    bins = evaluate_pairs(pairs[::-1]).distance_bins
    assert [found.result.pairs for found in bins] == [20] * 5
    assert [found.result.strict for found in bins] == [0, 0, 0.5, 1, 1]
    assert (bins[0].low, bins[-1].high) == (1, 100)
    assert all(left.high == right.low for left, right in zip(bins, bins[1:], strict=False))


@pytest.mark.parametrize("distances", [[3.0] * 7, [0.0] * 7, [0.0] * 6 + [5.0], [1.0], [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]])
def test_equal_distances_fall_into_fewer_bins_and_none_is_empty_or_lost(distances):
    bins = evaluate_pairs([scored_pair(1.0, distance=distance) for distance in distances]).distance_bins
    assert sum(found.result.pairs for found in bins) == len(distances)
    assert all(found.result.pairs for found in bins)
    assert 1 <= len(bins) <= len(set(distances)) + 1


def test_pairs_of_one_distance_are_never_split_over_two_bins():
    pairs = [scored_pair(1.0, distance=distance) for distance in [1.0] * 5 + [2.0] * 30 + [3.0] * 5]
    for found in evaluate_pairs(pairs).distance_bins:
        inside = [p for p in pairs if found.low <= p.representation_distance < found.high]
        assert found.result.pairs in (len(inside), len(inside) + 5)  # the last bin has its upper edge too


def test_the_interval_is_that_of_the_bootstrap_written_as_a_loop():
    generator = np.random.default_rng(7)
    values = generator.choice([0.0, 0.5, 1.0], p=[0.2, 0.1, 0.7], size=150)
    means = [generator.choice(values, size=len(values)).mean() for _ in range(4000)]
    assert bootstrap_interval(values) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.012)


def test_the_interval_is_the_same_every_time_and_closes_on_certainty():
    values = [1.0] * 30 + [0.0] * 10
    assert bootstrap_interval(values) == bootstrap_interval(values[::-1])
    assert bootstrap_interval([1.0] * 12) == (1.0, 1.0)
    assert bootstrap_interval([1.0]) == (1.0, 1.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """300 samples of 200 pairs from a model that is right on 80 %: close to 95 % of intervals hold 0.8."""
    generator = np.random.default_rng(1)
    intervals = [bootstrap_interval(generator.random(200) < 0.8) for _ in range(300)]
    covered = np.mean([low <= 0.8 <= high for low, high in intervals])
    assert 0.91 <= covered <= 0.98


@pytest.mark.parametrize("difference, strict, half", [(1.0, 1.0, 1.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 0.5)])
def test_a_single_pair_is_an_evaluation_too(difference, strict, half):
    evaluation = evaluate_pairs([scored_pair(difference, category="chat")])
    for result in (evaluation.overall, evaluation.categories["chat"], evaluation.distance_bins[0].result):
        assert (result.pairs, result.strict, result.half) == (1, strict, half)
    assert evaluation.table()


def test_all_ties_are_strictly_wrong_and_half_right():
    evaluation = evaluate_pairs([scored_pair(0.0) for _ in range(10)])
    assert (evaluation.overall.strict, evaluation.overall.half, evaluation.overall.tie_rate) == (0.0, 0.5, 1.0)
    assert evaluation.categories == {} and evaluation.category_mean is None
    assert "as half right: 50.0 %" in evaluation.table()


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(NormBTError, match="nothing to evaluate"):
        evaluate_pairs(iter([]))


def test_no_bins_are_refused():
    with pytest.raises(UsageError, match="bins must be 1 or more"):
        evaluate_pairs([scored_pair(1.0)], bins=0)


def test_the_json_has_exactly_the_documented_keys_and_is_strict_json():
    evaluation = evaluate_pairs([scored_pair(1.0, distance=d, category="chat") for d in (1.0, 2.0, 3.0)])
    found = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    shared = ["pairs", "accuracy", "tie_rate", "length_baseline"]
    assert list(found) == [*shared, "categories", "distance_bins", "layout"]
    assert list(found["accuracy"]) == ["strict", "half", "interval"]
    assert len(found["accuracy"]["interval"]) == 2
    assert list(found["categories"]["chat"]) == shared
    assert list(found["distance_bins"][0]) == ["low", "high", *shared]


# ---- comparing two models --------------------------------------------------------------------------------------------


def scores(correct: list[int]) -> list[ScoredPair]:
    return [scored_pair(1.0 if right else -1.0, index=i, category="chat") for i, right in enumerate(correct)]


def test_the_paired_difference_is_the_difference_of_the_accuracies():
    """First right on 3 of 4, second on 1 of 4, and wherever the second is right so is the first: + 2/4."""
    difference = paired_difference(scores([1, 1, 1, 0]), scores([1, 0, 0, 0]))
    assert difference.mean == 0.5
    assert difference.low <= 0.5 <= difference.high


def test_pairs_that_are_hard_for_both_models_cancel_in_the_paired_interval():
    """Both wrong on the same 40 of 100; the first better on 5 more. Paired, that is above 0; two intervals overlap."""
    first, second = scores([0] * 40 + [1] * 60), scores([0] * 45 + [1] * 55)
    difference = paired_difference(first, second)
    assert difference.mean == pytest.approx(0.05) and difference.low > 0
    apart = evaluate_pairs(first).overall.interval[0], evaluate_pairs(second).overall.interval[1]
    assert apart[0] < apart[1]


def test_scores_of_different_pairs_are_not_compared():
    with pytest.raises(NormBTError, match="same data, in the same order"):
        paired_difference(scores([1, 0]), scores([1, 0])[::-1])
    with pytest.raises(NormBTError, match="got 2 and 1"):
        paired_difference(scores([1, 0]), scores([1]))


def test_tables_line_up_and_name_every_group():
    evaluations = {"BT": evaluate_pairs(scores([1, 0, 0, 1])), "NormBT": evaluate_pairs(scores([1, 1, 0, 1]))}
    for text in (evaluations["BT"].table(), compare(evaluations)):
        table = [line for line in text.splitlines() if line.endswith(("%", "]", "wins", "NormBT"))]
        assert len({len(line) for line in table}) == 1
    header, overall, *_ = comparison_rows(evaluations)
    assert header == ["", "pairs", "longer wins", "BT", "NormBT"]
    assert overall[:3] == ["all pairs", "4", "50.0 %"]
    assert overall[3].startswith("50.0 % [") and overall[4].startswith("75.0 % [")


def test_a_category_that_one_model_was_not_measured_on_is_left_open():
    poetry = evaluate_pairs([scored_pair(1.0, category="poetry")])
    rows = {row[0]: row for row in comparison_rows({"A": poetry, "B": evaluate_pairs(scores([1]))})}
    assert rows["poetry"][4] == "-" and rows["chat"][3] == "-"
