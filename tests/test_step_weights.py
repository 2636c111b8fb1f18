"""Weights of a run step by step, worked out by hand: what a step uses, and what it leaves to the next."""

from __future__ import annotations

import pytest
import torch

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
    assert [weights.weigh(distance).item() for distance in first] == [1.5, 0.75]
    assert weights.finish_step(first) == 3.0
    assert weights.running_mean.value == pytest.approx(3.0)
    assert not weights.looks_ahead
    assert weights.weigh(second[0]).item() == 0.375
    assert weights.finish_step(second) == pytest.approx(3.0)
    assert weights.running_mean.value == pytest.approx(3.5)


def test_update_then_use_lets_the_step_in_before_it_is_weighed_and_once_only(tmp_path):
    """The mean 3, then 0.9 * 3 + 0.1 * 8 = 3.5 weighs the pair at distance 8."""
    weights = step_weights(tmp_path, ema_order="update_then_use")
    for distances, used in ((torch.tensor([2.0, 4.0]), 3.0), (torch.tensor([8.0]), 3.5)):
        assert weights.looks_ahead
        weights.look_ahead([distances])
        assert weights.weigh(distances).tolist() == pytest.approx([used / distance for distance in distances.tolist()])
        assert weights.finish_step([distances]) == pytest.approx(used)
        assert weights.running_mean.value == pytest.approx(used)


def test_mean1_scales_the_weights_of_one_step_with_their_bound_and_not_those_of_the_next(tmp_path):
    """Distances 1 and 3 have the mean 2, so weights 2 and 2/3 with the mean 4/3: times 3/4 they are 3/2 and 1/2."""
    weights = step_weights(tmp_path, weight_norm="mean1", max_weight=4.0)
    distances = torch.tensor([1.0, 3.0])
    weights.look_ahead([distances])
    assert weights.weigh(distances).tolist() == pytest.approx([1.5, 0.5])
    assert weights.bound == pytest.approx(3.0)
    weights.finish_step([distances])
    assert weights.looks_ahead
    assert weights.scale == 1.0 and weights.bound == 4.0


def test_uniform_weights_are_1_and_the_distance_is_still_tracked(tmp_path):
    weights = step_weights(tmp_path, weighting="uniform")
    distances = torch.tensor([2.0, 4.0])
    assert not weights.looks_ahead
    assert weights.weigh(distances).tolist() == [1.0, 1.0]
    assert weights.finish_step([distances]) == 3.0


def test_without_a_running_mean_a_weight_is_the_inverse_distance(tmp_path):
    weights = step_weights(tmp_path, ema_beta=None)
    weights.look_ahead([torch.tensor([100.0])])
    assert weights.weigh(torch.tensor([2.0, 4.0])).tolist() == [0.5, 0.25]
