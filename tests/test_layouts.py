"""Which models may share prefixes, and that each known way of getting it silently wrong is caught."""

import logging

import pytest
import torch
from small_architectures import CASES, PAD, PAIRS, WINDOW, small_model
from transformers import GPT2Config, GPT2ForSequenceClassification, LlamaForSequenceClassification

from normbt_lab.data.batches import collate_pairs
from normbt_lab.data.shared_prefix import SharedPrefixBatch, collate_shared_prefix
from normbt_lab.data.tree_mask import MaskForm
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.layouts import PADDED as PADDED_LAYOUT
from normbt_lab.layouts import VERIFIED, check_layout, choose_layout, mask_form, supports_shared_prefix
from normbt_lab.model import build_reward_model
from normbt_lab.quiet import quiet_loading

PADDED = collate_pairs(PAIRS, PAD)


def shared_batch(form):
    return collate_shared_prefix(PAIRS, PAD, form, row_tokens=64)


def check(model, form=None, batch=None):
    return check_layout(model, PADDED, batch or shared_batch(form or mask_form(model)))


# ---- what is supported -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "attention"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_each_verified_model_is_supported_and_passes_the_check(name, attention, dtype):
    model = small_model(name, attention, dtype)
    assert supports_shared_prefix(model).ok
    result = check(model)
    assert result.agrees
    assert result.relative_difference < (1e-5 if dtype == torch.float32 else 0.03)


def test_all_that_is_called_verified_is_in_these_tests():
    tested = {(small_model(name, attention).config.model_type, attention) for name, attention in CASES}
    assert tested == {(name, attention) for name, attentions in VERIFIED.items() for attention in attentions}


@pytest.mark.parametrize("adapter", ["lora", "qlora"])
def test_adapters_and_4_bit_weights_are_supported_and_pass_the_check(backbone, adapter):
    if adapter == "qlora":
        pytest.importorskip("bitsandbytes")
    model = build_reward_model(backbone, adapter, seed=0)
    assert supports_shared_prefix(model).ok
    sample = collate_pairs(PAIRS, model.config.pad_token_id)
    assert choose_layout(model, sample).name == "shared_prefix"


def small_gpt2():
    config = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, n_positions=256, pad_token_id=PAD, num_labels=1)
    return GPT2ForSequenceClassification(config)


class OwnAttention(LlamaForSequenceClassification):
    """Stands for code that came with a checkpoint: the architecture's name says nothing of what it does."""


def prefix_tuned():
    from peft import PrefixTuningConfig, get_peft_model

    with quiet_loading():
        return get_peft_model(
            small_model("llama", "sdpa"), PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2)
        )


def changed(name, **settings):
    model = small_model(name, "sdpa")
    model.config.update(settings)
    return model


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (small_gpt2, "gpt2 is not verified"),
        (lambda: OwnAttention(small_model("llama", "sdpa").config), "not transformers' own code"),
        (prefix_tuned, "prompt-learning"),
        (lambda: changed("llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0}), "longest row"),
        (lambda: changed("gemma3-window", use_bidirectional_attention=True), "bidirectional"),
        (lambda: changed("qwen3", layer_types=["linear_attention"] * 4), "linear_attention"),
        (lambda: changed("llama", _attn_implementation="flash_attention_2"), "flash_attention_2"),
        (lambda: changed("llama", quantization_config={"quant_method": "gptq"}), "quantisation"),
    ],
)
def test_what_is_not_known_to_work_is_refused_with_the_reason(model, reason):
    support = supports_shared_prefix(model())
    assert not support.ok
    assert reason in support.reason


# ---- the choice ------------------------------------------------------------------------------------------------------


def test_an_unverified_model_falls_back_to_the_padded_layout_with_one_line(caplog):
    with caplog.at_level(logging.WARNING, logger="normbt_lab.layouts"):
        layout = choose_layout(small_gpt2(), PADDED)
    assert layout.name == "padded"
    assert torch.equal(layout.collate(PAIRS, PAD).input_ids, PADDED.input_ids)
    (line,) = [record.message for record in caplog.records if record.name == "normbt_lab.layouts"]
    assert "gpt2" in line and "\n" not in line


def test_a_model_that_fails_the_check_falls_back_and_says_by_how_much(caplog):
    """A hook that mixes the tokens of a row stands for code that looks beyond the mask."""
    model = small_model("llama", "sdpa")
    model.model.layers[0].register_forward_hook(lambda _, inputs, output: output + output.mean(dim=1, keepdim=True))
    with caplog.at_level(logging.WARNING, logger="normbt_lab.layouts"):
        assert choose_layout(model, PADDED).name == "padded"
    assert "differ by" in caplog.text
    with pytest.raises(NormBTError, match="Use layout padded"):
        choose_layout(model, PADDED, "shared_prefix")


def test_a_damaged_model_does_not_pass_the_check():
    model = small_model("llama", "sdpa")
    torch.nn.init.constant_(model.model.layers[0].mlp.down_proj.weight, float("nan"))
    assert not check(model).agrees


def test_the_flag_decides():
    assert choose_layout(small_model("llama", "sdpa"), PADDED, "padded").name == "padded"
    assert choose_layout(small_model("llama", "sdpa"), PADDED, "shared_prefix").name == "shared_prefix"
    with pytest.raises(UsageError, match="gpt2"):
        choose_layout(small_gpt2(), PADDED, "shared_prefix")
    with pytest.raises(UsageError, match="layout is one of"):
        choose_layout(small_gpt2(), PADDED, "tree")


def test_a_layout_takes_token_ids_and_padded_batches_alike():
    layout = choose_layout(small_model("llama", "sdpa"), PADDED)
    from_ids, from_padded = layout.collate(PAIRS, PAD), layout.of_padded(PADDED, PAD)
    assert isinstance(from_ids, SharedPrefixBatch)
    assert torch.equal(from_ids.input_ids, from_padded.input_ids)
    assert PADDED_LAYOUT.of_padded(PADDED, PAD) is PADDED


def test_pairs_that_would_cost_more_in_one_row_are_padded():
    """Two responses of 600 tokens: in one row of 1,190, attention would cover 1,190² places and not 2 * 600²."""
    layout = choose_layout(small_model("llama", "sdpa"), PADDED)
    unlike = [([1] * 10 + [3] * 590, [1] * 10 + [4] * 590)]
    alike = [([1] * 590 + [3] * 10, [1] * 590 + [4] * 10)]
    assert not isinstance(layout.collate(unlike, PAD), SharedPrefixBatch)
    assert not isinstance(layout.of_padded(collate_pairs(unlike, PAD), PAD), SharedPrefixBatch)
    assert isinstance(layout.collate(alike, PAD), SharedPrefixBatch)


def test_the_check_leaves_the_model_in_the_mode_it_was_in():
    model = small_model("llama", "sdpa").train()
    model.score.eval()
    check(model)
    assert model.training and model.model.training and not model.score.training


# ---- silent errors: each gives numbers without complaint, and the check tells ---------------------------------------


@pytest.mark.parametrize("name", ["llama", "gemma2-window"])
def test_a_boolean_mask_in_eager_attention_is_added_as_0_and_1(name):
    model = small_model(name, "eager")
    right = mask_form(model)
    assert right.additive
    wrong = MaskForm(False, right.sliding_window, right.layer_types)
    assert not check(model, wrong).agrees


class With2DMask(SharedPrefixBatch):
    """Restarted positions beside an ordinary padding mask: the rejected response sees the chosen one."""

    def model_inputs(self):
        return super().model_inputs() | {"attention_mask": self.attention_mask}


class WithoutMask(SharedPrefixBatch):
    """Restarted positions alone: transformers takes each restart for a new document and cuts it from its prefix."""

    def model_inputs(self):
        return super().model_inputs() | {"attention_mask": None}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [With2DMask, WithoutMask])
def test_restarted_positions_need_the_tree_mask(kind, attention):
    model = small_model("llama", attention)
    assert not check(model, batch=kind(**vars(shared_batch(mask_form(model))))).agrees


WINDOWED = [(name, attention) for name, attention in CASES if name.endswith("-window")]


@pytest.mark.parametrize(("name", "attention"), WINDOWED)
def test_one_plain_mask_for_all_layers_switches_sliding_windows_off(name, attention):
    model = small_model(name, attention)
    assert mask_form(model).sliding_window == WINDOW
    assert not check(model, MaskForm(additive=attention == "eager")).agrees


class WindowBySlot(MaskForm):
    """Counts the window from the place in the row, where the rejected rest stands behind the chosen one."""

    def build(self, pair_of_slot, branch, position_ids):
        slots = torch.arange(position_ids.shape[1]).expand_as(position_ids)
        by_position = MaskForm(False, None, self.layer_types).build(pair_of_slot, branch, position_ids)
        by_slot = MaskForm(False, self.sliding_window).build(pair_of_slot, branch, slots)
        if not self.layer_types:
            return self._finished(by_position & by_slot)
        return {
            "full_attention": self._finished(by_position["full_attention"]),
            "sliding_attention": self._finished(by_position["sliding_attention"] & by_slot),
        }


@pytest.mark.parametrize(("name", "attention"), WINDOWED)
def test_a_window_by_slot_cuts_the_rejected_response_from_its_prefix(name, attention):
    model = small_model(name, attention)
    form = mask_form(model)
    assert not check(model, WindowBySlot(form.additive, form.sliding_window, form.layer_types)).agrees


def test_a_row_without_restarted_positions_is_told():
    model = small_model("llama", "sdpa")
    batch = shared_batch(mask_form(model))

    class BySlot(SharedPrefixBatch):
        def model_inputs(self):
            return super().model_inputs() | {"position_ids": torch.arange(self.input_ids.shape[1])[None]}

    assert not check(model, batch=BySlot(**vars(batch))).agrees
