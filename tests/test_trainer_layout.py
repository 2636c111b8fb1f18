"""The trainer on shared-prefix rows and under a token budget: the steps are those of TRL's padded rows."""

import logging
import random

import pytest
import torch
from datasets import Dataset
from test_trainer import OrderedTrainer, losses, make, parameters
from transformers import GPT2Config, GPT2ForSequenceClassification

from normbt_lab.data.batches import PairBatch
from normbt_lab.errors import UsageError
from normbt_lab.layouts import PADDED, check_layout
from normbt_lab.trainer import NormBTConfig

SGD = dict(optim="sgd", learning_rate=0.1)


def edited_pairs(count=24, seed=0):
    """Random pairs with 2 to 20 tokens in common, then 1 to 9 of their own, and a margin."""
    draw = random.Random(seed)
    ids = lambda low, high: [draw.randrange(20, 200) for _ in range(draw.randint(low, high))]  # noqa: E731
    rows = []
    for _ in range(count):
        prompt = ids(2, 20)
        rows.append({"chosen_ids": prompt + ids(1, 9), "rejected_ids": prompt + ids(1, 9), "margin": draw.random()})
    return Dataset.from_list(rows)


def trained(backbone, tokenizer, folder, **settings):
    run = make(backbone, tokenizer, folder, OrderedTrainer, data=edited_pairs(), **(SGD | settings))
    run.train()
    return run


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weighting": "uniform"},
        {"weighting": "average_pool"},
        {"weighting": "d_opt", "weight_norm": "mean1"},
        {"weighting": "exact"},
        {"objective": "margin_outside", "center_rewards_coefficient": 0.01},
        {"adapter": "lora"},
        {"adapter": "lora", "gradient_checkpointing": True},
        {"adapter": "qlora"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "normbt",
)
def test_a_run_on_shared_rows_is_the_run_on_padded_rows(backbone, tokenizer, tmp_path, settings):
    padded = trained(backbone, tokenizer, tmp_path, layout="padded", **settings)
    shared = trained(backbone, tokenizer, tmp_path, layout="shared_prefix", **settings)
    assert padded.layout is PADDED and shared.layout.name == "shared_prefix"
    assert losses(shared) == pytest.approx(losses(padded), rel=1e-4)
    # The backbone of QLoRA computes in bfloat16, so rounding is that of bfloat16 there.
    tolerance = dict(atol=5e-3, rtol=0.0) if settings.get("adapter") == "qlora" else dict(atol=5e-6, rtol=1e-4)
    torch.testing.assert_close(parameters(shared), parameters(padded), **tolerance)
    assert shared.running_mean.value == pytest.approx(padded.running_mean.value, rel=1e-3)
    logged = [run.state.log_history[0] for run in (shared, padded)]
    for name in ("num_tokens", "accuracy", "min_reward", "distance_max", "weight_max"):
        assert logged[0][name] == pytest.approx(logged[1][name], rel=1e-3), name


def test_bf16_autocast_differs_by_its_rounding_only(backbone, tokenizer, tmp_path):
    start = parameters(make(backbone, tokenizer, tmp_path)).clone()
    steps = [
        parameters(trained(backbone, tokenizer, tmp_path, layout=layout, bf16=True, max_steps=1)) - start
        for layout in ("padded", "shared_prefix")
    ]
    assert torch.nn.functional.cosine_similarity(*steps, dim=0) > 0.99


def test_the_evaluation_is_that_of_padded_rows(backbone, tokenizer, tmp_path):
    metrics = []
    for settings in ({"layout": "padded"}, {"layout": "auto"}, {"layout": "auto", "max_tokens_per_batch": 60}):
        run = make(backbone, tokenizer, tmp_path, **settings)
        metrics.append(run.evaluate(edited_pairs(9, seed=3)))
    for other in metrics[1:]:
        for name in ("eval_loss", "eval_accuracy", "eval_margin", "eval_min_reward", "eval_num_tokens"):
            assert other[name] == pytest.approx(metrics[0][name], rel=1e-4), name


# ---- which layout


def test_auto_shares_prefixes_where_the_model_allows_it(backbone, tokenizer, tmp_path):
    assert make(backbone, tokenizer, tmp_path).layout.name == "shared_prefix"


def test_active_dropout_keeps_the_padded_layout_and_says_why(backbone, tokenizer, tmp_path, caplog):
    """Two copies of a prompt are dropped out each by themselves, one shared copy only once: other training."""
    with caplog.at_level(logging.WARNING):
        run = make(backbone, tokenizer, tmp_path, **dropout(0.1))
    assert run.layout is PADDED
    assert "dropout is on" in caplog.text
    with pytest.raises(UsageError, match="dropout is on"):
        make(backbone, tokenizer, tmp_path, layout="shared_prefix", **dropout(0.1))


def dropout(rate):
    """A model builder whose attention drops activations."""

    class Dropping(OrderedTrainer):
        def __init__(self, model, **kwargs):
            model.model.layers[0].self_attn.attention_dropout = rate
            super().__init__(model=model, **kwargs)

    return {"trainer": Dropping}


def test_an_architecture_that_is_not_verified_keeps_the_padded_layout(tokenizer, tmp_path, caplog):
    config = GPT2Config(vocab_size=tokenizer.vocab_size, n_embd=8, n_layer=1, n_head=2, num_labels=1, pad_token_id=0)
    arguments = NormBTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    model = GPT2ForSequenceClassification(config)
    with caplog.at_level(logging.WARNING):
        run = OrderedTrainer(model=model, args=arguments, train_dataset=edited_pairs(), processing_class=tokenizer)
    assert run.layout is PADDED
    assert "gpt2 is not verified" in caplog.text


def test_a_second_run_on_the_same_model_shares_prefixes_too(backbone, tokenizer, tmp_path):
    """accelerate leaves its bfloat16 autocast around the model, whose rounding is none of the layout's."""
    first = trained(backbone, tokenizer, tmp_path, bf16=True, layout="padded", max_steps=1)
    arguments = NormBTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=True, report_to="none")
    second = OrderedTrainer(model=first.model, args=arguments, train_dataset=edited_pairs(), processing_class=tokenizer)
    check = check_layout(second.model, *both_layouts(second))
    assert second.layout.name == "shared_prefix"
    assert check.relative_difference < 1e-5  # float32, not bfloat16


def both_layouts(run):
    inputs = run.data_collator(list(run.train_dataset)[:4])
    padded = PairBatch.from_padded(inputs, run.model.config.pad_token_id)
    return padded, run.layout.of_padded(padded, run.model.config.pad_token_id)


# ---- token budget


@pytest.mark.parametrize("layout", ["padded", "shared_prefix"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_norm": "mean1"}, {"weighting": "exact"}, {"objective": "margin"}],
    ids=lambda settings: "-".join(map(str, settings.values())) or "normbt",
)
def test_a_token_budget_splits_the_passes_and_leaves_the_step(backbone, tokenizer, tmp_path, layout, settings):
    settings = settings | dict(layout=layout, per_device_train_batch_size=8, gradient_accumulation_steps=1)
    whole = trained(backbone, tokenizer, tmp_path, **settings)
    passes = []
    hook = lambda module, args, kwargs: passes.append(kwargs["input_ids"].shape)  # noqa: E731
    split = make(
        backbone, tokenizer, tmp_path, OrderedTrainer, data=edited_pairs(), max_tokens_per_batch=80, **(SGD | settings)
    )
    split.model.register_forward_pre_hook(hook, with_kwargs=True)
    split.train()
    assert split.state.global_step == whole.state.global_step == 3
    assert len(passes) > 6  # eight pairs of about 30 slots do not fit 80
    if layout == "padded":
        assert max(rows * tokens for rows, tokens in passes) <= 80
    torch.testing.assert_close(parameters(split), parameters(whole), atol=2e-6, rtol=1e-4)
    assert losses(split) == pytest.approx(losses(whole), rel=1e-4)
    assert split.running_mean.value == pytest.approx(whole.running_mean.value, rel=1e-5)
    accuracies = [run.state.log_history[0]["accuracy"] for run in (split, whole)]
    assert accuracies[0] == accuracies[1]  # a mean over pairs, not over passes of unlike size


def test_a_budget_of_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="max_tokens_per_batch"):
        NormBTConfig(output_dir=str(tmp_path), use_cpu=True, max_tokens_per_batch=0)
