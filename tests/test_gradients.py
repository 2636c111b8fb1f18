"""Exact per-pair gradients against the plain way: one autograd call per pair."""

from __future__ import annotations

import logging

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import ARCHITECTURES, float64_throughout, random_token_pairs, tiny_classifier
from torch import nn
from transformers import GPT2Config, GPT2ForSequenceClassification

from normbt_lab.backbones import load_tokenizer, resolve_backbone
from normbt_lab.data.batches import PairBatch, collate_pairs
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.shared_prefix import collate_shared_prefix
from normbt_lab.data.tokenization import tokenize_pair
from normbt_lab.errors import UsageError
from normbt_lab.gradients.exact import gradient_norms, pair_gradients
from normbt_lab.gradients.forms import Dense, OuterProducts, Sum, TableRows, combined, squared_norms_of_group
from normbt_lab.gradients.places import place_of
from normbt_lab.gradients.reference import reference_gradient_distance, reference_gradients
from normbt_lab.layouts import mask_form
from normbt_lab.model import build_reward_model
from normbt_lab.quiet import quiet_loading
from normbt_lab.representations import pair_outputs, score_head


def batch_of(pairs=5, seed=0, longest=12) -> PairBatch:
    return collate_pairs(random_token_pairs(pairs, seed, longest), pad_token_id=0)


def padded_left(batch: PairBatch) -> PairBatch:
    """The same pairs with their padding on the other side."""
    order = (batch.input_ids != 0).long().argsort(dim=1, stable=True)
    inputs = {
        "input_ids": batch.input_ids.gather(1, order),
        "attention_mask": batch.attention_mask.gather(1, order),
    }
    return PairBatch.from_padded(inputs, pad_token_id=0)


def with_lora(model: nn.Module) -> nn.Module:
    config = LoraConfig(task_type="SEQ_CLS", modules_to_save=["score"], target_modules="all-linear", r=4)
    with quiet_loading():  # PEFT 0.21 asks transformers for a name that is deprecated
        model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # as it is after some training: a fresh one is zero and hides lora_A
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def largest_relative_error(model: nn.Module, batch: PairBatch) -> float:
    exact, expected = gradient_norms(model, batch).gradient_distance, reference_gradient_distance(model, batch)
    return ((exact - expected).abs() / expected).max().item()


# Norms --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trained", ["all", "lora"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_norms_are_those_of_one_autograd_call_per_pair(architecture, trained):
    model = tiny_classifier(architecture).double()
    model = model if trained == "all" else with_lora(model).double()
    with float64_throughout():
        assert largest_relative_error(model, batch_of()) < 1e-9


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "qwen3"])
def test_without_the_float64_patch_what_remains_is_the_rounding_inside_transformers(architecture):
    assert largest_relative_error(tiny_classifier(architecture).double(), batch_of()) < 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_norms_hold_for_random_lengths_on_either_side_of_the_padding(seed):
    model = tiny_classifier("llama", seed).double()
    batch = batch_of(pairs=2 + seed % 4, seed=seed, longest=1 + 2 * seed)
    with float64_throughout():
        assert largest_relative_error(model, batch) < 1e-9
        assert largest_relative_error(model, padded_left(batch)) < 1e-9


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_float32_is_exact_to_four_digits_even_where_two_responses_nearly_cancel(architecture):
    model = tiny_classifier(architecture)
    expected = gradient_norms(tiny_classifier(architecture).double(), batch_of()).gradient_distance
    found = gradient_norms(model, batch_of()).gradient_distance
    assert ((found - expected).abs() / expected).max() < 1e-4


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "gemma2"])
def test_norms_on_shared_prefix_rows_are_those_of_padded_ones(architecture):
    """Several pairs in a row, and one pair that differs in a single token."""
    model, pairs = tiny_classifier(architecture).double(), random_token_pairs(5)
    with float64_throughout():
        shared = collate_shared_prefix(pairs, 0, mask_form(model), row_tokens=64)
        assert len(shared.input_ids) < 5
        expected = reference_gradient_distance(model, collate_pairs(pairs, 0))
        torch.testing.assert_close(gradient_norms(model, shared).gradient_distance, expected, rtol=1e-9, atol=0)


def test_float32_on_the_default_backbone_is_exact_to_four_digits():
    backbone = resolve_backbone("smollm2-135m", 2)
    tokenizer = load_tokenizer(backbone)
    bundled = load_bundled_pairs("validation", limit=4)
    pairs = [tokenize_pair(pair, tokenizer, 128, overlong="truncate_right") for pair in bundled]
    batch = collate_pairs([(pair.chosen_ids, pair.rejected_ids) for pair in pairs], tokenizer.pad_token_id)
    assert largest_relative_error(build_reward_model(backbone).eval(), batch) < 1e-4


def test_bfloat16_autocast_gives_two_digits():
    model = tiny_classifier("llama")
    expected = gradient_norms(model, batch_of()).gradient_distance
    with torch.autocast("cpu", torch.bfloat16):
        found = gradient_norms(model, batch_of()).gradient_distance
    assert ((found - expected).abs() / expected).median() < 0.05


def test_the_head_alone_gives_the_representation_distance():
    """Paper eq. 6: with a frozen backbone the exact norm is the distance."""
    model = tiny_classifier("llama").requires_grad_(False)
    score_head(model).requires_grad_(True)
    norms = gradient_norms(model, batch_of())
    torch.testing.assert_close(norms.gradient_distance, norms.outputs.representation_distance)


def test_a_model_without_trained_parameters_is_an_error():
    with pytest.raises(UsageError, match="requires a gradient"):
        gradient_norms(tiny_classifier("llama").requires_grad_(False), batch_of())


def test_the_gradients_of_the_model_stay_untouched():
    model = tiny_classifier("llama")
    gradient_norms(model, batch_of())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_norms_by_layer_and_by_module_add_up_to_the_whole():
    norms = gradient_norms(with_lora(tiny_classifier("llama")), batch_of())
    for parts in (norms.by_layer(), norms.by_module()):
        total = torch.stack([part.square() for part in parts.values()]).sum(dim=0).sqrt()
        torch.testing.assert_close(total, norms.gradient_distance)
    assert [*norms.by_layer()] == ["layer 0", "layer 1", "layer 2", "score head"]
    torch.testing.assert_close(norms.by_layer()["score head"], norms.outputs.representation_distance)


@pytest.mark.parametrize(
    "name, place",
    [
        ("model.embed_tokens.weight", ("embedding", "embed_tokens")),
        ("model.layers.11.self_attn.k_proj.bias", ("layer 11", "k_proj")),
        ("model.layers.0.post_attention_layernorm.weight", ("layer 0", "norm")),
        ("base_model.model.score.modules_to_save.default.weight", ("score head", "score")),
        ("transformer.h.2.attn.c_attn.weight", ("layer 2", "c_attn")),
        ("transformer.wpe.weight", ("embedding", "wpe")),
        ("transformer.ln_f.weight", ("final norm", "norm")),
        ("score.weight", ("score head", "score")),
        ("model.strange.weight", ("other", "strange")),
    ],
)
def test_a_parameter_is_placed_by_its_name(name, place):
    assert place_of(name) == place


# What no rule covers ------------------------------------------------------------------------------------------------


def test_gpt2_is_exact_and_says_what_it_computes_slowly(caplog):
    config = GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64, pad_token_id=0, num_labels=1)
    torch.manual_seed(0)
    model = GPT2ForSequenceClassification(config).eval().double()
    with caplog.at_level(logging.WARNING):
        assert largest_relative_error(model, batch_of()) < 1e-9
    assert "transformer.wpe.weight" in caplog.text


def test_a_model_that_trains_only_what_no_rule_covers_is_exact(caplog):
    config = GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64, pad_token_id=0, num_labels=1)
    torch.manual_seed(0)
    model = GPT2ForSequenceClassification(config).eval().double().requires_grad_(False)
    model.transformer.wpe.requires_grad_(True)
    assert list(gradient_norms(model, batch_of()).squared) == ["transformer.wpe.weight"]
    assert largest_relative_error(model, batch_of()) < 1e-9


class Doubling(nn.Linear):
    """A layer that no rule knows, although it is called Linear."""

    def forward(self, states):
        return 2 * super().forward(states)


def test_a_module_of_unknown_type_is_exact_and_said_to_be_slow(caplog):
    model = tiny_classifier("llama").double()
    model.model.layers[1].mlp.up_proj.__class__ = Doubling
    with caplog.at_level(logging.WARNING), float64_throughout():
        assert largest_relative_error(model, batch_of()) < 1e-9
    assert "model.layers.1.mlp.up_proj.weight" in caplog.text


def test_a_weight_used_behind_its_modules_back_is_noticed(caplog):
    """The embedding is also a linear layer here, without a call that a hook could see."""
    model = tiny_classifier("llama").double()
    layer = model.model.layers[2].mlp
    plain = type(layer).forward

    def forward(states):
        table = model.model.embed_tokens.weight
        return plain(layer, states) + states @ table.T @ table

    layer.forward = forward
    with caplog.at_level(logging.WARNING), float64_throughout():
        assert largest_relative_error(model, batch_of()) < 1e-9
    assert "embed_tokens" in caplog.text


def test_a_layer_that_is_called_twice_counts_with_both_calls(caplog):
    model = tiny_classifier("llama").double()
    model.model.layers[2].mlp = model.model.layers[0].mlp
    with caplog.at_level(logging.WARNING), float64_throughout():
        assert largest_relative_error(model, batch_of()) < 1e-9
    assert not caplog.records


def test_an_embedding_tied_to_a_linear_layer_counts_with_both_uses(caplog):
    class Tied(nn.Module):
        def __init__(self, inner: nn.Module, table: nn.Parameter) -> None:
            super().__init__()
            self.inner, self.up = inner, nn.Linear(32, 61, bias=False)
            self.up.weight = table

        def forward(self, states):
            return self.inner(states) + 0.1 * self.up(states)[..., :32]

    model = tiny_classifier("llama").double()
    model.model.layers[1].mlp = Tied(model.model.layers[1].mlp, model.model.embed_tokens.weight)
    with caplog.at_level(logging.WARNING), float64_throughout():
        assert largest_relative_error(model, batch_of()) < 1e-9
    assert not caplog.records


def test_an_output_changed_in_place_is_noticed():
    model = tiny_classifier("llama").double()
    layer = model.model.layers[1].mlp
    layer.forward = lambda states: layer.down_proj(layer.up_proj(states).mul_(2.0))
    with float64_throughout():
        assert largest_relative_error(model, batch_of()) < 1e-9


def test_the_row_of_the_padding_token_gets_no_gradient():
    model = tiny_classifier("llama").double()
    batch = batch_of(pairs=6)
    model.model.embed_tokens.padding_idx = int(batch.input_ids[0, 0])  # stands in the text; autograd skips it too
    with float64_throughout():
        assert largest_relative_error(model, batch) < 1e-9


# Directions and sums ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["llama with biases", "gemma3"])
def test_inner_products_and_weighted_sums_are_those_of_the_written_out_gradients(architecture):
    model, batch = tiny_classifier(architecture).double(), batch_of()
    coefficients = torch.tensor([0.5, -1.0, 2.0, 0.0, 1.5], dtype=torch.float64)
    with float64_throughout():
        gradients, written = pair_gradients(model, batch), reference_gradients(model, batch)
        flat = torch.cat([rows.flatten(1) for rows in written.values()], dim=1)
        torch.testing.assert_close(gradients.inner_products(), flat @ flat.T, rtol=1e-9, atol=1e-9)
        sums = gradients.weighted_sum(coefficients)
    assert [*sums] == [*written]
    for name, rows in written.items():
        torch.testing.assert_close(sums[name], torch.tensordot(coefficients, rows, dims=1), rtol=1e-9, atol=1e-9)


def test_swapping_chosen_and_rejected_turns_the_gradient_round():
    model = tiny_classifier("llama")
    pairs = random_token_pairs(3)
    forth = pair_gradients(model, collate_pairs(pairs, 0)).weighted_sum(torch.ones(3))
    back = pair_gradients(model, collate_pairs([pair[::-1] for pair in pairs], 0)).weighted_sum(torch.ones(3))
    for name, gradient in forth.items():
        torch.testing.assert_close(back[name], -gradient, rtol=1e-4, atol=1e-5)


# Forms, by hand -----------------------------------------------------------------------------------------------------


def test_the_gram_form_and_the_direct_form_are_one_number():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 4, 50, generator=generator, dtype=torch.float64)  # few tokens: Gram
    layers = [OuterProducts(inputs, torch.randn(3, 4, d, generator=generator, dtype=torch.float64)) for d in (20, 7)]
    expected = [(layer.output_gradients.mT @ inputs).square().sum(dim=(1, 2)) for layer in layers]
    torch.testing.assert_close(squared_norms_of_group(layers), expected)


def test_two_tokens_that_cancel_leave_exactly_what_differs():
    """b aᵀ - b (a + e)ᵀ = -b eᵀ with ‖b‖ = 1, ‖e‖ = 1e-4: the Gram form alone would lose it in float32."""
    a = torch.randn(64, generator=torch.Generator().manual_seed(0)) * 10
    e = torch.zeros(64)
    e[3] = 1e-4
    b = torch.zeros(64)
    b[5] = 1.0
    layer = OuterProducts(torch.stack([a, a + e])[None], torch.stack([b, -b])[None])
    expected = ((a + e) - a).double().square().sum().float()
    torch.testing.assert_close(layer.squared_norm(), expected[None], rtol=1e-4, atol=0)


def test_repeated_tokens_add_up_in_their_row():
    """Token 4 twice with (1, 0) and (2, 0), token 1 once with (0, 5): 3² + 5²."""
    rows = TableRows(torch.tensor([[4, 1, 4]]), torch.tensor([[[1.0, 0], [0, 5.0], [2.0, 0]]]), table_rows=6)
    assert rows.squared_norm().tolist() == [34.0]


def test_a_sum_of_two_uses_has_a_cross_term():
    """(1, 2) + (3, 0) = (4, 2): 16 + 4, not 5 + 9."""
    parts = [Dense(torch.tensor([[1.0, 2.0]])), Dense(torch.tensor([[3.0, 0.0]]))]
    assert Sum(parts).squared_norm().tolist() == [20.0]
    assert combined(parts).squared_norm().tolist() == [20.0]


def test_the_forward_pass_is_the_models_own():
    model = tiny_classifier("llama")
    torch.testing.assert_close(
        gradient_norms(model, batch_of()).outputs.reward_chosen, pair_outputs(model, batch_of()).reward_chosen.detach()
    )
