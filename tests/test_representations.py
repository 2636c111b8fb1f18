"""Rewards and representations as the model itself computes them, whatever wraps it and however the batch is padded."""

import pytest
import torch

from normbt_lab.backbones import load_tokenizer
from normbt_lab.data.batches import PairBatch, collate_pairs
from normbt_lab.model import build_reward_model
from normbt_lab.objectives import bradley_terry
from normbt_lab.representations import PairOutputs, pair_outputs, representation_distance, score_head

PAIRS = [([5, 6, 7, 8, 9], [5, 6, 30]), ([40, 41], [40, 42, 43, 44, 45, 46, 47]), ([9, 8, 7], [9, 8, 6])]


@pytest.fixture(params=["none", "lora"])
def model(backbone, request):
    model = build_reward_model(backbone, request.param, seed=0).eval()
    with torch.no_grad():  # a fresh LoRA update is zero: give it something to add
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(1))
    return model


def batch_of(pairs, model):
    return collate_pairs(pairs, model.config.pad_token_id)


def test_rewards_are_the_models_own_logits_to_the_bit(model):
    batch = batch_of(PAIRS, model)
    pair = pair_outputs(model, batch)
    logits = model(**batch.model_inputs()).logits[:, 0]
    assert torch.equal(torch.cat([pair.reward_chosen, pair.reward_rejected]), logits)


def test_the_representation_times_the_head_is_the_reward(model):
    """eq. 3: r = w_s . h, so what was tapped is the head's input at the token that is pooled."""
    pair = pair_outputs(model, batch_of(PAIRS, model))
    w_s = score_head(model).weight[0]
    torch.testing.assert_close(pair.h_chosen @ w_s, pair.reward_chosen)
    torch.testing.assert_close(pair.h_rejected @ w_s, pair.reward_rejected)


def test_the_gradient_at_the_head_is_error_times_distance(model):
    """eq. 6, one pair at a time against autograd."""
    for token_pair in PAIRS:
        pair = pair_outputs(model, batch_of([token_pair], model))
        (gradient,) = torch.autograd.grad(bradley_terry(pair.reward_difference).sum(), score_head(model).weight)
        torch.testing.assert_close(gradient.norm(), (pair.prediction_error * pair.representation_distance)[0])


def test_batch_mates_and_padding_leave_a_pair_alone(model):
    together = pair_outputs(model, batch_of(PAIRS, model))
    for i, token_pair in enumerate(PAIRS):
        alone = pair_outputs(model, batch_of([token_pair], model))
        torch.testing.assert_close(together.reward_difference[i], alone.reward_difference[0], atol=1e-6, rtol=1e-4)
        distances = together.representation_distance[i], alone.representation_distance[0]
        torch.testing.assert_close(*distances, atol=1e-5, rtol=1e-4)


def test_the_pooled_token_is_found_under_left_padding_too():
    pad = 0
    ids = torch.tensor([[pad, pad, 5, 6], [3, 4, 5, 7]])
    batch = PairBatch.from_padded({"input_ids": ids, "attention_mask": (ids != pad).long()}, pad)
    assert batch.chosen_index.tolist() == [[0, 3]]
    assert batch.rejected_index.tolist() == [[1, 3]]


def test_a_response_that_ends_in_the_pad_token_is_refused():
    """The model would pool one token early, silently (TRL issue 2758 and others)."""
    with pytest.raises(ValueError, match="end-of-sequence"):
        collate_pairs([([5, 6, 0], [5, 7])], pad_token_id=0)


def test_the_average_leaves_padding_out(model):
    together = pair_outputs(model, batch_of(PAIRS, model), average_pool=True)
    alone = pair_outputs(model, batch_of(PAIRS[:1], model), average_pool=True)
    torch.testing.assert_close(together.average_chosen[0], alone.average_chosen[0], atol=1e-5, rtol=1e-4)


def test_the_head_runs_in_float32_under_bfloat16_autocast(backbone):
    """Near 4 bfloat16 numbers lie 1/32 apart; rewards that were rounded to it would be unchanged by rounding."""
    model = build_reward_model(backbone, "none", seed=0).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rewards = pair_outputs(model, batch_of(PAIRS, model)).reward_chosen
    assert rewards.dtype == torch.float32
    assert not torch.equal(rewards, rewards.bfloat16().float())


def test_near_identical_bfloat16_representations_keep_their_distance():
    """float32 subtraction of bfloat16 numbers is exact; the bfloat16 norm of this pair would round to 1.0."""
    h_chosen = torch.tensor([[1.0, 0.0546875]], dtype=torch.bfloat16)
    distance = representation_distance(h_chosen, torch.zeros(1, 2, dtype=torch.bfloat16))
    assert distance.item() == pytest.approx((1.0 + 0.0546875**2) ** 0.5, abs=1e-7)


def test_pairs_taken_and_joined_are_those_of_their_batches():
    """With averages and without; the tensors are written out here, the gradient norms are nowhere."""
    h = torch.arange(12.0).reshape(3, 4).requires_grad_(True)
    outputs = PairOutputs(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3), h, -h, average_chosen=h + 1)
    some = outputs.take([2, 0])
    assert some.reward_chosen.tolist() == [3.0, 1.0]
    assert some.average_chosen.tolist() == [[9.0, 10.0, 11.0, 12.0], [1.0, 2.0, 3.0, 4.0]]
    assert some.average_rejected is None and some.gradient_distance is None
    again = PairOutputs.joined([some, outputs.take(torch.tensor([1]))])
    assert again.reward_chosen.tolist() == [3.0, 1.0, 2.0]
    assert torch.equal(again.h_rejected, torch.stack([-h[2], -h[0], -h[1]]))
    assert again.h_chosen.requires_grad and not again.detach().h_chosen.requires_grad
    assert outputs.take(()).reward_chosen.shape == (0,)


def test_two_batches_in_place_of_a_pair_are_named_by_their_shapes():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(1, 3\)"):
        representation_distance(torch.zeros(2, 3), torch.zeros(1, 3))


def test_a_model_without_a_score_head_is_refused_with_the_fix(backbone):
    from transformers import AutoModelForCausalLM

    language_model = AutoModelForCausalLM.from_pretrained(backbone.path)
    with pytest.raises(ValueError, match="AutoModelForSequenceClassification"):
        pair_outputs(language_model, collate_pairs(PAIRS, load_tokenizer(backbone).pad_token_id))
