"""Weights of a run step by step, worked out by hand: what a step uses, and what it leaves to the next."""

from __future__ import annotations

import pytest
import torch
from test_global_batch import OnAppleGpu

from normbt_lab.errors import UsageError
from normbt_lab.state import NormBTState
from normbt_lab.step_metrics import weight_metrics
from normbt_lab.step_weights import StepWeights
from normbt_lab.trainer_config import NormBTConfig


def mean_of_one_process(values):
    return torch.cat(values).double().mean().item()


def step_weights(tmp_path, **settings):
    config = NormBTConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", norm_eps=0.0, **settings
    )
    return StepWeights(config, mean_of_one_process)


def test_the_first_step_is_weighed_with_its_own_mean_and_the_second_with_that_of_the_first(tmp_path):
    """Distances 2 and 4 have the mean 3, so 3/2 and 3/4; then 3/8, and 0.9 * 3 + 0.1 * 8 = 3.5."""
    weights = step_weights(tmp_path)
    first, second = [torch.tensor([2.0]), torch.tensor([4.0])], [torch.tensor([8.0])]
    assert weights.looks_ahead
    weights.look_ahead(first)
    assert [weights.weigh(distance).weights.item() for distance in first] == [1.5, 0.75]
    assert weights.finish_step(first) == 3.0
    assert weights.running_mean.value == pytest.approx(3.0)
    assert not weights.looks_ahead
    assert weights.weigh(second[0]).weights.item() == 0.375
    assert weights.finish_step(second) == pytest.approx(3.0)
    assert weights.running_mean.value == pytest.approx(3.5)


def test_update_then_use_lets_the_step_in_before_it_is_weighed_and_once_only(tmp_path):
    """The mean 3, then 0.9 * 3 + 0.1 * 8 = 3.5 weighs the pair at distance 8."""
    weights = step_weights(tmp_path, ema_order="update_then_use")
    for distances, used in ((torch.tensor([2.0, 4.0]), 3.0), (torch.tensor([8.0]), 3.5)):
        assert weights.looks_ahead
        weights.look_ahead([distances])
        expected = [used / distance for distance in distances.tolist()]
        assert weights.weigh(distances).weights.tolist() == pytest.approx(expected)
        assert weights.finish_step([distances]) == pytest.approx(used)
        assert weights.running_mean.value == pytest.approx(used)


def test_mean1_scales_the_weights_of_one_step_and_not_those_of_the_next(tmp_path):
    """Distances 1 and 3 have the mean 2, so weights 2 and 2/3 with the mean 4/3: times 3/4 they are 3/2 and 1/2."""
    weights = step_weights(tmp_path, weight_norm="mean1")
    distances = torch.tensor([1.0, 3.0])
    weights.look_ahead([distances])
    assert weights.weigh(distances).weights.tolist() == pytest.approx([1.5, 0.5])
    weights.finish_step([distances])
    assert weights.looks_ahead
    assert weights.scale == 1.0


@pytest.mark.parametrize("scope", ["step", "micro"])
@pytest.mark.parametrize("bound", [1.06, 1.11, 1.17])
def test_mean1_leaves_the_share_of_pairs_at_the_bound(tmp_path, scope, bound):
    """The mean distance is 3, so the raw weights are 3, 1, 3/4 and 3/4: one of four reaches each bound."""
    distances = torch.tensor([1.0, 3.0, 4.0, 4.0])
    weights = step_weights(tmp_path, weight_norm="mean1", max_weight=bound, ema_scope=scope)
    if weights.looks_ahead:
        weights.look_ahead([distances])
    weighed = weights.weigh(distances)
    assert weighed.weights.mean().item() == pytest.approx(1.0)
    assert weight_metrics(distances, weighed.weights, weighed.at_bound.float())["clipped_share"] == 0.25


def test_a_running_mean_per_micro_batch_asks_a_device_without_float64_for_none(tmp_path):
    """Distances 2 and 4 have the mean 3."""
    distances = torch.tensor([2.0, 4.0]).as_subclass(OnAppleGpu)
    assert step_weights(tmp_path, ema_scope="micro").weigh(distances).weights.tolist() == [1.5, 0.75]


def test_uniform_weights_are_at_no_bound(tmp_path):
    weighed = step_weights(tmp_path, weighting="uniform", max_weight=0.5).weigh(torch.tensor([2.0, 4.0]))
    assert weighed.at_bound.tolist() == [False, False]


def test_uniform_weights_are_1_and_the_distance_is_still_tracked(tmp_path):
    weights = step_weights(tmp_path, weighting="uniform")
    distances = torch.tensor([2.0, 4.0])
    assert not weights.looks_ahead
    assert weights.weigh(distances).weights.tolist() == [1.0, 1.0]
    assert weights.finish_step([distances]) == 3.0


def test_without_a_running_mean_a_weight_is_the_inverse_distance(tmp_path):
    weights = step_weights(tmp_path, ema_beta=None)
    assert weights.weigh(torch.tensor([2.0, 4.0])).weights.tolist() == [0.5, 0.25]


@pytest.mark.parametrize("changed", [{}, {"ema_order": "update_then_use"}, {"weighting": "uniform"}])
def test_without_a_running_mean_nothing_is_measured_ahead_and_the_mean_used_is_1(tmp_path, changed):
    weights = step_weights(tmp_path, ema_beta=None, **changed)
    for distances in (torch.tensor([2.0, 4.0]), torch.tensor([8.0, 1.0])):
        assert not weights.looks_ahead
        weights.weigh(distances)
        assert weights.finish_step([distances]) == 1.0


def test_without_a_running_mean_mean1_still_looks_ahead(tmp_path):
    """Weights 1/2 and 1/4 have the mean 3/8: times 8/3 they are 4/3 and 2/3."""
    weights, distances = step_weights(tmp_path, ema_beta=None, weight_norm="mean1"), torch.tensor([2.0, 4.0])
    assert weights.looks_ahead
    weights.look_ahead([distances])
    assert weights.weigh(distances).weights.tolist() == pytest.approx([4 / 3, 2 / 3])
    assert weights.finish_step([distances]) == 1.0


# ---- going on with the mean of a checkpoint


def state_of(**settings):
    return NormBTState(running_mean=3.0, settings={"weighting": "normbt", "ema_beta": 0.9} | settings)


@pytest.mark.parametrize(
    "there, here, cause",
    [
        ({"weighting": "exact"}, {}, "weighting='exact' and this run has weighting='normbt'"),
        ({"weighting": "uniform"}, {"weighting": "cosine"}, "weighting='uniform' and this run has weighting='cosine'"),
        ({"weighting": "of a later version"}, {}, "weighting='of a later version'"),
        ({"ema_beta": None}, {}, "ema_beta=None and this run has ema_beta=0.9"),
        ({}, {"ema_beta": None}, "ema_beta=0.9 and this run has ema_beta=None"),
    ],
)
def test_the_running_mean_of_another_quantity_is_refused_with_the_fix(tmp_path, there, here, cause):
    weights = step_weights(tmp_path, **here)
    before = weights.running_mean.value
    with pytest.raises(UsageError, match=cause) as raised:
        weights.resume(state_of(**there))
    assert "Resume with" in str(raised.value) and "\n" not in str(raised.value)
    assert weights.running_mean.value == before


@pytest.mark.parametrize("there, here", [("normbt", "uniform"), ("uniform", "normbt"), ("exact", "exact")])
def test_a_running_mean_of_the_same_quantity_is_gone_on_with(tmp_path, there, here):
    """Uniform weights track the distance, as NormBT's do; another β is another run, and the same quantity."""
    weights = step_weights(tmp_path, weighting=here)
    weights.resume(state_of(weighting=there, ema_beta=0.5))
    assert weights.running_mean.value == 3.0


def test_a_checkpoint_without_a_running_mean_leaves_the_mean_at_1(tmp_path):
    """Whatever number stands in its file."""
    weights = step_weights(tmp_path, ema_beta=None)
    weights.resume(state_of(ema_beta=None))
    assert weights.running_mean.value == 1.0
