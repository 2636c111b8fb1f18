"""The shared-prefix layout gives what the padded layout gives: rewards, gradients, averages."""

import random
from contextlib import nullcontext

import pytest
import torch
from small_architectures import CASES, PAD, PAIRS, InFloat64, small_model

from normbt_lab.data.batches import PairBatch, collate_pairs
from normbt_lab.data.shared_prefix import collate_shared_prefix, common_prefix, pack, share_prefixes
from normbt_lab.data.tree_mask import MaskForm, tree_mask
from normbt_lab.layouts import mask_form
from normbt_lab.model import build_reward_model
from normbt_lab.objectives import bradley_terry
from normbt_lab.representations import pair_outputs

ROW_TOKENS = 64  # several of PAIRS share a row, and none of them needs more


def in_both_layouts(model, pairs=PAIRS, pad=PAD):
    return collate_pairs(pairs, pad), collate_shared_prefix(pairs, pad, mask_form(model), row_tokens=ROW_TOKENS)


def rewards_and_gradients(model, batch):
    """All rewards, and the gradient of the loss by every trained parameter as one vector."""
    model.zero_grad()
    outputs = pair_outputs(model, batch)
    bradley_terry(outputs.reward_difference).sum().backward()
    gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
    return torch.cat([outputs.reward_chosen, outputs.reward_rejected]).detach(), torch.cat(gradients)


def largest_differences(model, context=None):
    """Between the layouts: of a reward, and of a gradient's entry as a share of the largest entry."""
    results = []
    for batch in in_both_layouts(model):
        with context or nullcontext():
            results.append(rewards_and_gradients(model, batch))
    (rewards, gradient), (other_rewards, other_gradient) = results
    return (rewards - other_rewards).abs().max(), (gradient - other_gradient).abs().max() / gradient.abs().max()


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_rewards_and_gradients_are_those_of_the_padded_layout_in_float64(name, attention):
    rewards, gradients = largest_differences(small_model(name, attention, torch.float64), InFloat64())
    assert rewards < 1e-10
    assert gradients < 1e-10


# Stock eager attention in float64 gives NaN for padding outside of a window: its mask overflows in a float32 softmax.
@pytest.mark.parametrize(("name", "attention"), [c for c in CASES if c[1] == "sdpa" or "window" not in c[0]])
def test_transformers_own_float32_casts_leave_a_millionth(name, attention):
    rewards, gradients = largest_differences(small_model(name, attention, torch.float64))
    assert rewards < 1e-6
    assert gradients < 1e-6


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_rewards_and_gradients_are_those_of_the_padded_layout_in_float32(name, attention):
    rewards, gradients = largest_differences(small_model(name, attention))
    assert rewards < 1e-4
    assert gradients < 1e-4


@pytest.mark.parametrize(("name", "attention"), [("llama", "sdpa"), ("gemma2-window", "eager")])
def test_averages_over_the_sequence_are_those_of_the_padded_layout(name, attention):
    model = small_model(name, attention)
    padded, shared = (pair_outputs(model, batch, average_pool=True) for batch in in_both_layouts(model))
    torch.testing.assert_close(shared.average_chosen, padded.average_chosen, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shared.average_rejected, padded.average_rejected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3-window"])
def test_gradient_checkpointing_changes_nothing(name):
    model = small_model(name, "sdpa").train()
    _, shared = in_both_layouts(model)
    rewards, gradient = rewards_and_gradients(model, shared)
    model.activation_checkpointing_enable()
    other_rewards, other_gradient = rewards_and_gradients(model, shared)
    assert torch.equal(rewards, other_rewards)
    torch.testing.assert_close(gradient, other_gradient)


def with_nonzero_update(model):
    """A fresh LoRA update is zero: give it something to add."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(1))
    return model


@pytest.mark.parametrize("adapter", ["lora", "qlora"])
def test_adapters_get_the_rewards_and_gradients_of_the_padded_layout(backbone, adapter):
    if adapter == "qlora":
        pytest.importorskip("bitsandbytes")
    model = with_nonzero_update(build_reward_model(backbone, adapter, seed=0))
    padded, shared = in_both_layouts(model, pad=model.config.pad_token_id)
    rewards, gradient = rewards_and_gradients(model, padded)
    other_rewards, other_gradient = rewards_and_gradients(model, shared)
    torch.testing.assert_close(other_rewards, rewards, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other_gradient, gradient, atol=1e-4 * gradient.abs().max().item(), rtol=0)


@pytest.mark.parametrize(("name", "attention"), [("llama", "sdpa"), ("gemma2-window", "eager"), ("qwen3", "sdpa")])
def test_bfloat16_autocast_differs_by_its_own_rounding(name, attention):
    """bfloat16 keeps 8 bits, so one product is off by up to 1/512; four layers of them stay within 3 %."""
    model = small_model(name, attention)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        padded, shared = (pair_outputs(model, batch) for batch in in_both_layouts(model))
    apart = (shared.h_chosen - padded.h_chosen).norm(dim=-1) / padded.h_chosen.norm(dim=-1)
    assert apart.max() < 0.03


@pytest.mark.parametrize("seed", range(12))
def test_any_pairs_in_rows_of_any_length_get_their_rewards(seed):
    """Random lengths and prefixes, identical responses and beginnings of each other among them."""
    draw = random.Random(seed)
    pairs = []
    for _ in range(draw.randint(1, 7)):
        prefix, chosen, rejected = ([draw.randint(3, 96) for _ in range(draw.choice([0, 1, 5, 20]))] for _ in range(3))
        ending = [draw.randint(3, 5)]  # few values: the last tokens agree often, also where nothing else is left
        pairs.append((prefix + chosen + ending, prefix + rejected + ending))
    model = small_model("qwen3-window", "sdpa", torch.float64)
    shared = collate_shared_prefix(pairs, PAD, mask_form(model), row_tokens=draw.choice([1, 40, 200]))
    with torch.no_grad(), InFloat64():
        padded, other = pair_outputs(model, collate_pairs(pairs, PAD)), pair_outputs(model, shared)
    torch.testing.assert_close(other.reward_chosen, padded.reward_chosen, atol=1e-10, rtol=0)
    torch.testing.assert_close(other.reward_rejected, padded.reward_rejected, atol=1e-10, rtol=0)


# ---- the rows ------------------------------------------------------------------------------------------------------


def test_a_row_holds_the_prefix_once_and_positions_start_again():
    batch = collate_shared_prefix([([5, 6, 7, 8], [5, 6, 9])], PAD, MaskForm(additive=False), margin=[0.5])
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2]]
    assert batch.chosen_index.tolist() == [[0, 3]]
    assert batch.rejected_index.tolist() == [[0, 4]]
    assert batch.margin.tolist() == [0.5]


def test_pairs_that_fit_share_a_row_and_do_not_see_each_other():
    """The first pair fills a row of 6 slots; the others have 3 each and share one."""
    pairs = [([5, 6, 7, 8], [5, 9, 4]), ([5, 6], [5, 7]), ([8, 9], [8, 3])]
    batch = collate_shared_prefix(pairs, PAD, MaskForm(additive=False))
    assert batch.input_ids.tolist() == [[5, 6, 7, 8, 9, 4], [5, 6, 7, 8, 9, 3]]
    mask = tree_mask(batch.pair_of_slot, batch.branch, batch.position_ids)[1, 0]
    assert not mask[:3, 3:].any()
    assert not mask[3:, :3].any()


def test_padding_sees_itself_only_and_nobody_sees_it():
    batch = collate_shared_prefix([([5, 6], [5, 7]), ([8], [9])], PAD, MaskForm(additive=False), row_tokens=1)
    assert batch.input_ids[1].tolist() == [8, 9, PAD]
    mask = tree_mask(batch.pair_of_slot, batch.branch, batch.position_ids)[1, 0]
    assert mask[2].tolist() == mask[:, 2].tolist() == [False, False, True]


def test_every_pair_is_in_one_row_and_no_row_is_too_long():
    draw = random.Random(0)
    for _ in range(50):
        lengths = [draw.randint(1, 300) for _ in range(draw.randint(1, 40))]
        limit = draw.randint(1, 400)
        rows = pack(lengths, limit)
        assert sorted(pair for row in rows for pair in row) == list(range(len(lengths)))
        assert max(sum(lengths[pair] for pair in row) for row in rows) <= max(limit, *lengths)


def test_sharing_takes_the_second_prefix_out():
    """40 common tokens and 10 of each: 100 slots a pair when padded, 60 shared."""
    prefix = list(range(3, 43))
    pairs = [(prefix + [50 + i] * 10, prefix + [70 + i] * 10) for i in range(8)]
    assert collate_shared_prefix(pairs, PAD, MaskForm(additive=False)).input_ids.numel() == 8 * 60
    assert collate_pairs(pairs, PAD).input_ids.numel() == 8 * 100


def test_rows_are_as_many_as_cost_least():
    """Three rows of 600 are a third padding. Four of 100 pad 3 slots, and longer rows cost more attention."""
    assert pack([600, 300, 300], row_tokens=1024) == [[0], [1, 2]]
    assert pack([100, 100, 99, 98], row_tokens=1024) == [[0], [1], [2], [3]]


def test_each_response_keeps_a_token_of_its_own():
    assert common_prefix([1, 2, 3], [1, 2, 3]) == 2
    assert common_prefix([1, 2, 3, 4], [1, 2]) == 1
    assert common_prefix([7], [7, 8]) == 0


def test_equal_responses_are_pooled_at_one_token_and_tie_exactly():
    batch = collate_shared_prefix([([5, 6, 7], [5, 6, 7]), ([8, 9], [8, 3])], PAD, MaskForm(additive=False))
    assert batch.chosen_index[0].tolist() == batch.rejected_index[0].tolist()
    assert batch.chosen_index[1].tolist() != batch.rejected_index[1].tolist()


def test_the_slots_of_a_pair_come_together_whatever_row_they_are_in():
    pairs = [([5, 6, 7], [5, 8]), ([9, 3], [9, 4])]
    shared = collate_shared_prefix(pairs, PAD, MaskForm(additive=False))
    assert shared.by_pair(shared.input_ids.unsqueeze(-1)).squeeze(-1).tolist() == [[5, 6, 7, 8], [9, 3, 4, 0]]
    padded = collate_pairs(pairs, PAD)
    slots = padded.by_pair(padded.input_ids.unsqueeze(-1)).squeeze(-1)
    assert slots.tolist() == [[5, 6, 7, 5, 8, 0], [9, 3, 0, 9, 4, 0]]


def test_pairs_are_not_taken_out_of_rows_that_they_share():
    """What the padded layout would read off the rows is another pair's, or two rests as one response."""
    shared = collate_shared_prefix([([5, 6, 7], [5, 8]), ([9, 3], [9, 4])], PAD, MaskForm(additive=False))
    for ask in (shared.token_pairs, lambda: shared.take([1]), lambda: share_prefixes(shared, PAD, shared.mask_form)):
        with pytest.raises(TypeError, match="ask the padded batch"):
            ask()


@pytest.mark.parametrize("layout", [0, 1])
def test_the_slots_of_a_pair_carry_its_whole_gradient(layout):
    """A linear layer's gradient for one pair is the sum of output gradient times input over the pair's slots."""
    model = small_model("llama", "sdpa", torch.float64)
    layer = model.model.layers[1].mlp.down_proj
    seen = {}
    layer.register_forward_hook(lambda _, inputs, output: seen.update(a=inputs[0].detach(), b=output))
    batch = in_both_layouts(model)[layout]
    outputs = pair_outputs(model, batch)
    (b,) = torch.autograd.grad(outputs.reward_difference.sum(), seen["b"], retain_graph=True)
    by_slots = torch.einsum("pti,ptj->pij", batch.by_pair(b), batch.by_pair(seen["a"]))
    for pair in range(batch.pairs):
        (gradient,) = torch.autograd.grad(outputs.reward_difference[pair], layer.weight, retain_graph=True)
        torch.testing.assert_close(by_slots[pair], gradient, atol=1e-12, rtol=1e-9)


# ---- the pad token -------------------------------------------------------------------------------------------------


def test_a_response_that_ends_in_the_pad_token_is_refused():
    with pytest.raises(ValueError, match="end-of-sequence"):
        collate_shared_prefix([([5, 6, PAD], [5, 7])], PAD, MaskForm(additive=False))


def test_where_pad_is_the_end_token_both_layouts_pool_the_token_before_it():
    """transformers reads the reward at the last token that is not the pad token; here that is within the prefix."""
    ids = torch.tensor([[40, 41, PAD, PAD], [40, 41, 42, PAD]])  # each ends in the end token; the first is then padded
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    padded = PairBatch.from_padded({"input_ids": ids, "attention_mask": mask}, PAD)
    model = small_model("llama", "sdpa", torch.float64)
    shared = share_prefixes(padded, PAD, mask_form(model))
    assert shared.input_ids.tolist() == [[40, 41, PAD, 42, PAD]]
    assert shared.chosen_index.tolist() == [[0, 1]]
    assert shared.rejected_index.tolist() == [[0, 3]]
    with torch.no_grad():
        expected, outputs = pair_outputs(model, padded), pair_outputs(model, shared)
    torch.testing.assert_close(outputs.reward_difference, expected.reward_difference, atol=1e-6, rtol=0)
    logits = model(**padded.model_inputs()).logits[:, 0]
    torch.testing.assert_close(expected.reward_difference[0], logits[0] - logits[1])


def test_left_padding_is_taken_off():
    ids = torch.tensor([[PAD, 5, 6], [4, 5, 7]])
    padded = PairBatch.from_padded({"input_ids": ids, "attention_mask": (ids != PAD).long()}, PAD)
    shared = share_prefixes(padded, PAD, MaskForm(additive=False))
    assert shared.input_ids.tolist() == [[5, 6, 4, 5, 7]]
    assert shared.chosen_index.tolist() == [[0, 1]]
    assert shared.rejected_index.tolist() == [[0, 4]]


def test_margins_and_pairs_survive_a_change_of_layout_and_device():
    padded = collate_pairs(PAIRS, PAD, margin=[1.0, 2.0, 3.0, 4.0, 5.0])
    shared = share_prefixes(padded, PAD, MaskForm(additive=True), ROW_TOKENS).to("cpu")
    again = collate_shared_prefix(PAIRS, PAD, MaskForm(additive=True), [1.0, 2.0, 3.0, 4.0, 5.0], ROW_TOKENS)
    assert shared.mask_form == again.mask_form
    for name in ("input_ids", "position_ids", "chosen_index", "rejected_index", "slots_of_pair", "margin"):
        assert torch.equal(getattr(shared, name), getattr(again, name)), name
