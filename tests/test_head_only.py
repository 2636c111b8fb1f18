"""Score heads on cached representations: the maths against numpy, and all rows of Table 2 in a moment."""

import dataclasses

import numpy as np
import pytest
import torch

from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.experiments.head_only import differs_from_training, head_gradient, train_head, train_rows
from normbt_lab.experiments.suite import load_suite
from normbt_lab.model import build_reward_model
from normbt_lab.represent import represent_pairs
from normbt_lab.representations import PairOutputs


@pytest.fixture
def cached():
    """Twelve pairs whose chosen side is better along the first coordinate, at distances from 0.1 to 20."""
    random = torch.Generator().manual_seed(3)
    h_rejected = torch.randn(12, 5, generator=random)
    difference = torch.randn(12, 5, generator=random)
    difference[:, 0] = difference[:, 0].abs() + 0.5
    scale = torch.logspace(-1, 1.3, 12).unsqueeze(-1)
    h_chosen = h_rejected + scale * difference / difference.norm(dim=-1, keepdim=True)
    return PairOutputs(torch.zeros(12), torch.zeros(12), h_chosen, h_rejected)


def first_weight(cached, seed=0):
    """The head before its first step: a step of size 0."""
    return train_head(cached, weighting="uniform", learning_rate=0.0, epochs=1, seed=seed).weight


@pytest.mark.parametrize("weighting", ["uniform", "normbt"])
def test_a_full_batch_step_is_the_learning_rate_times_the_closed_form(cached, weighting):
    start = first_weight(cached).double().numpy()
    delta = (cached.h_chosen - cached.h_rejected).double().numpy()
    distance = np.linalg.norm(delta, axis=1)
    error = 1 / (1 + np.exp(delta @ start))  # 1 - sigmoid(d)
    weight = distance.mean() / distance if weighting == "normbt" else np.ones(12)
    expected = start + 0.5 * (weight * error) @ delta / 12
    run = train_head(cached, weighting=weighting, learning_rate=0.5, epochs=1)
    np.testing.assert_allclose(run.weight.numpy(), expected, rtol=1e-5)
    assert run.history[0]["weight_mean"] == pytest.approx(weight.mean(), rel=1e-5)


@pytest.mark.parametrize("objective", ["bradley_terry", "margin", "margin_outside", "label_smoothing"])
def test_the_closed_form_gradient_is_that_of_autograd(cached, objective):
    margin = torch.linspace(0.1, 2, 12)
    weight = torch.nn.Parameter(torch.randn(5, generator=torch.Generator().manual_seed(0)))
    d = (cached.h_chosen - cached.h_rejected) @ weight
    by_hand = {
        "bradley_terry": -torch.log(torch.sigmoid(d)),
        "margin": -torch.log(torch.sigmoid(d - margin)),
        "margin_outside": -margin * torch.log(torch.sigmoid(d)),
        "label_smoothing": -0.9 * torch.log(torch.sigmoid(d)) - 0.1 * torch.log(torch.sigmoid(-d)),
    }[objective]
    weights = torch.linspace(0.5, 3, 12)
    (weights * by_hand).mean().backward()
    outputs = dataclasses.replace(
        cached, reward_chosen=cached.h_chosen @ weight.detach(), reward_rejected=cached.h_rejected @ weight.detach()
    )
    torch.testing.assert_close(head_gradient(outputs, weights, objective, margin), weight.grad)


def test_under_normbt_a_single_pair_moves_the_head_by_its_error_and_not_its_distance(cached):
    """Without a running mean the weight is 1 / distance, so the step is the error, however far apart the pair is."""
    one = PairOutputs(
        *(column[:1] for column in (cached.reward_chosen, cached.reward_rejected)), *[torch.zeros(1, 5)] * 2
    )
    for distance in (0.01, 1.0, 100.0):
        far = dataclasses.replace(one, h_chosen=torch.tensor([[distance, 0, 0, 0, 0.0]]))
        run = train_head(far, weighting="normbt", ema_beta=None, learning_rate=1.0, epochs=1)
        start = train_head(far, weighting="normbt", learning_rate=0.0, epochs=1)
        error = torch.sigmoid(-start.weight[0] * distance).item()
        assert (run.weight - start.weight)[0].item() == pytest.approx(error, rel=1e-4)


def test_without_a_running_mean_the_mean_used_is_1(cached):
    run = train_head(cached, weighting="normbt", ema_beta=None, batch_size=4, epochs=1)
    assert [record["running_mean"] for record in run.history] == [1.0] * 3


def test_exact_weights_are_normbt_weights_on_a_linear_head(cached):
    """Eq. 6: the gradient of the reward difference with respect to the head is h_w - h_l."""
    exact, normbt = (train_head(cached, weighting=name, epochs=20) for name in ("exact", "normbt"))
    assert torch.equal(exact.weight, normbt.weight)


def test_the_running_mean_is_used_first_and_updated_after(cached):
    run = train_head(cached, weighting="normbt", batch_size=4, epochs=1, ema_beta=0.75)
    first, second, _ = [record["distance_mean"] for record in run.history]
    used = [record["running_mean"] for record in run.history]
    # The first batch sets the mean and then enters it again; the second enters only after its own step.
    assert used == pytest.approx([first, first, 0.75 * first + 0.25 * second], rel=1e-6)


def test_mean1_weights_average_one_in_every_batch(cached):
    run = train_head(cached, weighting="normbt", weight_norm="mean1", batch_size=4, epochs=2)
    assert [record["weight_mean"] for record in run.history] == pytest.approx([1.0] * 6)


def test_clipping_bounds_the_step(cached):
    start = first_weight(cached)
    run = train_head(cached, weighting="uniform", learning_rate=1.0, epochs=1, max_grad_norm=0.01)
    assert run.history[0]["clip_rate"] == 1.0
    assert (run.weight - start).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_training_lowers_the_loss_and_ranks_separable_pairs(cached):
    run = train_head(cached, weighting="normbt", optim="adamw", learning_rate=0.05, epochs=200)
    assert run.history[-1]["loss"] < 0.5 * run.history[0]["loss"]
    assert run.accuracy(cached) == 1.0


def test_the_seed_decides_head_and_order_and_nothing_else_does(cached):
    torch.manual_seed(1)
    first = train_head(cached, batch_size=5, epochs=3, seed=4).weight
    torch.manual_seed(2)
    assert torch.equal(first, train_head(cached, batch_size=5, epochs=3, seed=4).weight)
    assert not torch.equal(first, train_head(cached, batch_size=5, epochs=3, seed=5).weight)


def test_a_layer_norm_makes_the_scale_of_representations_irrelevant(cached):
    run = train_head(cached, weighting="uniform", head_layer_norm=True, epochs=3)
    scaled = dataclasses.replace(cached, h_chosen=1000 * cached.h_chosen, h_rejected=1000 * cached.h_rejected)
    torch.testing.assert_close(
        run.outputs(scaled).reward_chosen, run.outputs(cached).reward_chosen, rtol=1e-3, atol=1e-4
    )


def test_every_row_of_table_2_trains_on_representations_of_a_model(backbone, tokenizer):
    model = build_reward_model(backbone)
    pairs = load_bundled_pairs("train", limit=24)
    cached = represent_pairs(model, tokenizer, pairs, average_pool=True)
    runs = train_rows(cached, [pair.margin for pair in pairs], epochs=3)
    assert list(runs) == [row.name for row in load_suite("table2").rows] and len(runs) == 16
    heads = {name: run.outputs(cached).reward_difference for name, run in runs.items()}
    # Never clipped at this size, so it is plain Bradley-Terry; every other row is a head of its own.
    distinct = {tuple(head.tolist()) for name, head in heads.items() if "clip" not in name}
    assert len(distinct) == 14


def test_representations_with_averages_are_those_without(backbone, tokenizer):
    model = build_reward_model(backbone)
    pairs = load_bundled_pairs("train", limit=10)
    ours, theirs = (
        represent_pairs(model, tokenizer, pairs, batch_size=3, average_pool=True),
        represent_pairs(model, tokenizer, pairs),
    )
    torch.testing.assert_close(ours.h_chosen, theirs.h_chosen, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.reward_rejected, theirs.reward_rejected, rtol=1e-4, atol=1e-4)
    assert ours.average_chosen.shape == ours.h_chosen.shape
    assert not torch.allclose(ours.average_chosen, ours.h_chosen)


def test_what_a_row_needs_and_lacks_is_named(cached):
    with pytest.raises(UsageError, match="margin"):
        train_head(cached, objective="margin")
    with pytest.raises(UsageError, match="average_pool=True"):
        train_head(cached, weighting="average_pool")
    with pytest.raises(UsageError, match="did you mean learning_rate"):
        train_head(cached, learning_rat=1.0)
    with pytest.raises(UsageError, match="weighting is one of"):
        train_head(cached, weighting="norm")
    with pytest.raises(NormBTError, match="lower learning_rate"):
        train_head(cached, learning_rate=1e38, center_rewards_coefficient=1.0)


def test_rows_that_mean_something_else_here_say_so():
    rows = {row.name: differs_from_training(row.settings) for row in load_suite("table2").rows}
    different = {name for name, why in rows.items() if why}
    assert different == {"BT (LayerNorm)", "BT (clip 3.0)", "BT (clip 5.0)", "NormBT (average pool)"}
