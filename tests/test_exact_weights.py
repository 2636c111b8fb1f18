"""Training with exact weights against the step worked out the slow way: reference gradients, then plain autograd."""

from __future__ import annotations

import pytest
import torch
from test_trainer import OrderedTrainer, make, pairs, parameters
from tiny_models import random_token_pairs, tiny_classifier

from normbt_lab.data.batches import collate_pairs
from normbt_lab.errors import UsageError
from normbt_lab.gradients.exact import pair_gradients
from normbt_lab.gradients.reference import reference_gradient_distance, reference_gradients
from normbt_lab.gradients.weighted_loss import weighted_loss
from normbt_lab.objectives import OBJECTIVES, reward_centering
from normbt_lab.representations import pad_token_id, pair_outputs
from normbt_lab.run_setup import require_exact_gradients

LEARNING_RATE = 0.1
ONE_STEP = dict(
    weighting="exact",
    optim="sgd",
    learning_rate=LEARNING_RATE,
    lr_scheduler_type="constant",
    max_grad_norm=0.0,
    max_steps=1,
    per_device_train_batch_size=8,
    gradient_accumulation_steps=1,
)


def slow_step(run, objective="margin", centering=0.0, running_mean=None):
    """Parameters after one SGD step on the first eight pairs, gradients and weights one pair at a time."""
    rows = list(pairs())[:8]
    batch = collate_pairs(
        [(row["chosen_ids"], row["rejected_ids"]) for row in rows], pad_token_id(run.model), [r["margin"] for r in rows]
    )
    distance = reference_gradient_distance(run.model, batch)
    weights = (distance.mean() if running_mean is None else running_mean) / (distance + 1e-8)
    outputs = pair_outputs(run.model, batch)
    loss = (weights * OBJECTIVES[objective].loss(outputs.reward_difference, batch.margin, 0.1)).mean()
    loss = loss + centering * reward_centering(outputs.reward_chosen, outputs.reward_rejected).mean()
    trained = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
    return torch.cat([(p - LEARNING_RATE * g).detach().flatten() for p, g in zip(trained, gradients, strict=True)])


@pytest.mark.parametrize("adapter", ["none", "lora", "head", "qlora"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_is_the_slow_one(backbone, tokenizer, tmp_path, adapter, checkpointing):
    run = make(
        backbone,
        tokenizer,
        tmp_path,
        OrderedTrainer,
        adapter=adapter,
        **(ONE_STEP | {"gradient_checkpointing": checkpointing}),
    )
    start, expected = parameters(run).clone(), slow_step(run)
    run.train()
    assert (expected - start).abs().max() > 1e-3
    torch.testing.assert_close(parameters(run), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "changed, slow",
    [
        ({"objective": "label_smoothing"}, {"objective": "label_smoothing"}),
        ({"objective": "margin_outside"}, {"objective": "margin_outside"}),
        ({"center_rewards_coefficient": 0.05}, {"centering": 0.05}),
        ({"ema_beta": None}, {"running_mean": 1.0}),
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_every_objective_takes_the_slow_step(backbone, tokenizer, tmp_path, changed, slow):
    run = make(backbone, tokenizer, tmp_path, OrderedTrainer, **(ONE_STEP | changed))
    expected = slow_step(run, **slow)
    run.train()
    torch.testing.assert_close(parameters(run), expected, atol=1e-5, rtol=1e-4)


def test_under_bfloat16_autocast_a_step_goes_the_same_way(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, OrderedTrainer, **(ONE_STEP | {"bf16": True}))
    start, expected = parameters(run).clone(), slow_step(run)
    run.train()
    step, slow = parameters(run) - start, expected - start
    assert torch.cosine_similarity(step, slow, dim=0) > 0.99
    assert step.norm() / slow.norm() == pytest.approx(1.0, abs=0.05)


def test_the_running_mean_is_that_of_the_exact_norms(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, OrderedTrainer, **ONE_STEP)
    batch = collate_pairs(
        [(row["chosen_ids"], row["rejected_ids"]) for row in list(pairs())[:8]], pad_token_id(run.model)
    )
    expected = reference_gradient_distance(run.model, batch).mean().item()
    run.train()
    assert run.running_mean.value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"fp16": True, "is_sharded": False}, "vanish in float16"),
        ({"fp16": False, "is_sharded": True}, "whole parameters on each process"),
    ],
)
def test_what_exact_weights_cannot_work_with_is_refused_with_the_reason(settings, reason):
    require_exact_gradients(fp16=False, is_sharded=False)
    with pytest.raises(UsageError, match=reason):
        require_exact_gradients(**settings)


def test_stored_gradients_add_to_those_already_there():
    """Two micro-batches: .grad holds the sum of both."""
    model, batch = tiny_classifier("llama"), collate_pairs(random_token_pairs(3), 0)
    loss = torch.tensor([0.3, 0.2, 0.1])
    derivative, weights = torch.tensor([-0.5, -0.25, -1.0]), torch.tensor([1.0, 2.0, 0.5])
    for _ in range(2):
        total = weighted_loss(model, pair_gradients(model, batch), loss, derivative, weights)
        (3.0 * total).backward()
    assert total.item() == pytest.approx((0.3 + 0.4 + 0.05) / 3)
    for name, rows in reference_gradients(model, batch).items():
        expected = 2 * 3.0 * torch.tensordot(weights * derivative / 3, rows, dims=1)
        torch.testing.assert_close(dict(model.named_parameters())[name].grad, expected, atol=1e-5, rtol=1e-4)
