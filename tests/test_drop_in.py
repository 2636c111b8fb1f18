"""NormBT in other people's loops: the same training as our own trainer's, and nothing moved where only looking on."""

import json
import logging
import random
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments
from trl import RewardConfig, RewardTrainer

from normbt_lab.drop_in import (
    NormBTRewardTrainerMixin,
    NormBTTrainerMixin,
    UpdateShareCallback,
    WeightState,
    normbt_weights,
)
from normbt_lab.drop_in.update_share import GroupShare, ShareRecord
from normbt_lab.drop_in.update_share_page import share_over_steps_figure
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.model import build_reward_model
from normbt_lab.trainer import NormBTConfig, NormBTTrainer

DOCS = Path(__file__).parent.parent / "docs" / "drop_in.md"
BLOCKS = re.findall(r"^## (.*?)\n.*?```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

ARGUMENTS = dict(
    per_device_train_batch_size=4,
    learning_rate=1e-2,
    bf16=False,
    use_cpu=True,
    report_to="none",
    logging_steps=1,
    num_train_epochs=1,
    save_strategy="no",
    disable_tqdm=True,
)


class WeightedRewardTrainer(NormBTRewardTrainerMixin, RewardTrainer):
    pass


class PairTrainer(NormBTTrainerMixin, Trainer):
    pass


def pairs(count=16, seed=0, margin=False):
    """Random token ids of 3 to 14 tokens, far from special ones, in two categories."""
    draw = random.Random(seed)
    response = lambda: [draw.randrange(20, 200) for _ in range(draw.randint(3, 14))]  # noqa: E731
    rows = [{"chosen_ids": response(), "rejected_ids": response()} for _ in range(count)]
    for index, row in enumerate(rows):
        row["category"] = "chat" if index % 4 else "safety"
        if margin:
            row["margin"] = draw.random()
    return Dataset.from_list(rows)


def run(trainer, config, backbone, tokenizer, folder, data=None, **changed):
    arguments = config(output_dir=str(folder), **(ARGUMENTS | changed))
    model = build_reward_model(backbone, "none", seed=0)
    return trainer(model=model, args=arguments, train_dataset=data or pairs(), processing_class=tokenizer)


def collator(tokenizer):
    def collate(rows):
        sides = [{"input_ids": row[side]} for side in ("chosen_ids", "rejected_ids") for row in rows]
        return tokenizer.pad(sides, return_tensors="pt")

    return collate


def parameters(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


# ---- the function


def test_weights_by_hand_over_two_steps():
    """Distances 1 and 3, then 4 and 4. Step 1 uses its own mean 2: weights 2, 2/3. Step 2 still uses 2: 1/2 and 1/2;
    the running mean becomes 0.9 * 2 + 0.1 * 4 = 2.2."""
    zero = torch.zeros(2, 1)
    first, state = normbt_weights(torch.tensor([[1.0], [3.0]]), zero, WeightState())
    torch.testing.assert_close(first, torch.tensor([2.0, 2 / 3]))
    second, state = normbt_weights(torch.tensor([[4.0], [4.0]]), zero, state)
    torch.testing.assert_close(second, torch.tensor([0.5, 0.5]))
    assert state.running_mean == pytest.approx(2.2)


def test_the_function_changes_nothing_it_is_given():
    state = WeightState(running_mean=2.0)
    before = asdict(state)
    h = torch.randn(3, 4, requires_grad=True)
    weights, _ = normbt_weights(h, torch.zeros(3, 4), state)
    assert asdict(state) == before
    assert not weights.requires_grad
    again, _ = normbt_weights(h, torch.zeros(3, 4), state)
    assert torch.equal(weights, again)


def test_after_the_first_step_the_split_into_micro_batches_leaves_no_trace():
    draw = torch.Generator().manual_seed(0)
    h_chosen, h_rejected = torch.randn(8, 5, generator=draw), torch.randn(8, 5, generator=draw)
    whole, whole_state = normbt_weights(h_chosen, h_rejected, WeightState(running_mean=2.0))
    state, parts = WeightState(running_mean=2.0), []
    for chunk in range(4):
        rows = slice(2 * chunk, 2 * chunk + 2)
        weights, state = normbt_weights(h_chosen[rows], h_rejected[rows], state, ends_step=chunk == 3)
        parts.append(weights)
    assert torch.equal(torch.cat(parts), whole)
    assert state.running_mean == pytest.approx(whole_state.running_mean, rel=1e-12)
    assert (state.pending_sum, state.pending_pairs) == (0, 0)


def test_processes_share_one_running_mean():
    """Two processes with distances 1 and 3 agree on 2; here the other one's sum and count are added by hand."""
    others = {1.0: torch.tensor([3.0, 1.0]), 3.0: torch.tensor([1.0, 1.0])}
    means = set()
    for distance, other in others.items():
        h = torch.tensor([[distance]])
        weights, state = normbt_weights(
            h, torch.zeros(1, 1), WeightState(), sum_over_processes=lambda totals, other=other: totals + other
        )
        assert weights.item() == pytest.approx(2 / distance)
        means.add(state.running_mean)
    assert means == {2.0}


def test_the_state_survives_json():
    state = WeightState(running_mean=1 / 3, max_weight=5.0)
    assert WeightState(**json.loads(json.dumps(asdict(state)))) == state


def test_a_distance_that_is_not_finite_is_an_error():
    with pytest.raises(NormBTError, match="not a finite number"):
        normbt_weights(torch.tensor([[float("nan")]]), torch.zeros(1, 1), WeightState())


def test_a_beta_outside_its_range_is_refused():
    with pytest.raises(UsageError, match="0 to 1"):
        WeightState(ema_beta=1.5)


# ---- the trainers


@pytest.mark.parametrize("changed", [{}, {"center_rewards_coefficient": 0.01}])
@pytest.mark.parametrize("margin", [False, True])
def test_the_reward_trainer_mixin_trains_what_our_own_trainer_trains(backbone, tokenizer, tmp_path, margin, changed):
    data = pairs(margin=margin)
    theirs = run(WeightedRewardTrainer, RewardConfig, backbone, tokenizer, tmp_path, data, **changed)
    ours = run(NormBTTrainer, NormBTConfig, backbone, tokenizer, tmp_path, data, layout="padded", **changed)
    start = parameters(theirs).clone()
    theirs.train()
    ours.train()
    torch.testing.assert_close(parameters(theirs), parameters(ours), atol=1e-5, rtol=1e-5)
    assert theirs.weight_state.running_mean == pytest.approx(ours.running_mean.value)
    assert (parameters(theirs) - start).abs().max() > 1e-3
    assert "accuracy" in theirs.state.log_history[0]  # TRL's metrics are still there


def test_weights_of_strength_zero_are_trl(backbone, tokenizer, tmp_path):
    """Under norm_alpha 0 every weight is 1, and TRL's own trainer must come out."""
    arguments = RewardConfig(output_dir=str(tmp_path), **ARGUMENTS)
    weighted = WeightedRewardTrainer(
        model=build_reward_model(backbone, "none", seed=0),
        args=arguments,
        train_dataset=pairs(),
        processing_class=tokenizer,
        weight_state=WeightState(norm_alpha=0.0),
    )
    plain = run(RewardTrainer, RewardConfig, backbone, tokenizer, tmp_path)
    weighted.train()
    plain.train()
    assert torch.equal(parameters(weighted), parameters(plain))


def test_the_plain_trainer_mixin_trains_what_the_reward_trainer_mixin_trains(backbone, tokenizer, tmp_path):
    """Under accumulation too; dropout is off in both, and both shuffle by the same seed."""
    changed = dict(gradient_accumulation_steps=2, seed=3)
    theirs = run(WeightedRewardTrainer, RewardConfig, backbone, tokenizer, tmp_path, **changed)
    arguments = TrainingArguments(output_dir=str(tmp_path), remove_unused_columns=False, **(ARGUMENTS | changed))
    plain = PairTrainer(
        model=build_reward_model(backbone, "none", seed=0),
        args=arguments,
        train_dataset=pairs(),
        eval_dataset=pairs(8, seed=1),
        data_collator=collator(tokenizer),
    )
    plain.train()
    theirs.train()
    torch.testing.assert_close(parameters(plain), parameters(theirs), atol=1e-5, rtol=1e-5)
    assert plain.evaluate()["eval_loss"] == pytest.approx(theirs.evaluate(pairs(8, seed=1))["eval_loss"], abs=1e-5)


def test_resuming_restores_the_running_mean_and_ends_where_the_whole_run_ends(backbone, tokenizer, tmp_path):
    changed = dict(save_strategy="steps", save_steps=2, seed=1)
    whole = run(WeightedRewardTrainer, RewardConfig, backbone, tokenizer, tmp_path, **changed)
    whole.train()
    again = run(WeightedRewardTrainer, RewardConfig, backbone, tokenizer, tmp_path, **changed)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert again.weight_state == whole.weight_state
    assert torch.equal(parameters(again), parameters(whole))
    (tmp_path / "checkpoint-4" / "normbt_weights.json").unlink()
    with pytest.raises(NormBTError, match="another trainer or cut short"):
        again.train(resume_from_checkpoint=True)


# ---- the callback


def by_hand(model, data, tokenizer):
    """Pull of each pair, one at a time: the norm of autograd's gradient at the score head's weight."""
    pulls = []
    for row in data:
        rewards = [model(input_ids=torch.tensor([row[side]])).logits[0, 0] for side in ("chosen_ids", "rejected_ids")]
        loss = -torch.nn.functional.logsigmoid(rewards[0] - rewards[1] - row.get("margin", 0.0))
        (gradient,) = torch.autograd.grad(loss, model.score.weight)
        pulls.append(gradient.norm().item())
    return pulls


@pytest.mark.parametrize("margin", [False, True])
def test_shares_are_those_of_the_head_gradients_of_single_pairs(backbone, tokenizer, tmp_path, margin):
    """One step over all pairs with TRL's own trainer, against autograd pair by pair before it."""
    data = pairs(margin=margin)
    expected = by_hand(build_reward_model(backbone, "none", seed=0), data, tokenizer)
    safety = sum(pull for pull, row in zip(expected, data, strict=True) if row["category"] == "safety")
    trainer = run(RewardTrainer, RewardConfig, backbone, tokenizer, tmp_path, data, per_device_train_batch_size=16)
    callback = UpdateShareCallback(trainer.train_dataset)
    trainer.add_callback(callback)
    trainer.train()
    assert callback.total["safety"].of_update == pytest.approx(safety / sum(expected), rel=1e-3)
    assert callback.total["safety"].of_pairs == 0.25
    assert [pair.pull for pair in callback.strongest] == pytest.approx(sorted(expected)[::-1][:10], rel=1e-3)
    assert list(callback.strongest[0].chosen_ids) == data[expected.index(max(expected))]["chosen_ids"]


def test_looking_on_changes_nothing(backbone, tokenizer, tmp_path):
    alone = run(RewardTrainer, RewardConfig, backbone, tokenizer, tmp_path)
    watched = run(RewardTrainer, RewardConfig, backbone, tokenizer, tmp_path)
    watched.add_callback(UpdateShareCallback(watched.train_dataset))
    alone.train()
    watched.train()
    assert torch.equal(parameters(alone), parameters(watched))
    assert not watched.model._forward_pre_hooks
    assert not watched.model.score._forward_hooks


def test_it_prints_logs_and_writes_a_page_while_the_run_goes_on(backbone, tokenizer, tmp_path, caplog):
    page = tmp_path / "share.html"
    trainer = run(RewardTrainer, RewardConfig, backbone, tokenizer, tmp_path, num_train_epochs=2)
    callback = UpdateShareCallback(trainer.train_dataset, by="category", page=page)
    trainer.add_callback(callback)
    with caplog.at_level(logging.INFO, logger="normbt_lab"):
        trainer.train()
    assert [record.step for record in callback.records] == list(range(1, 9))
    for record in callback.records:
        assert sum(share.of_update for share in record.shares.values()) == pytest.approx(1)
    assert "update_share/chat" in trainer.state.log_history[0]
    assert "share of the update: chat" in caplog.text
    text = page.read_text(encoding="utf-8")
    assert "Whose gradients made the update" in text
    assert len(callback.strongest) == 10
    assert len({(pair.chosen_ids, pair.rejected_ids) for pair in callback.strongest}) == 10
    assert text.count('<th scope="row">') == 10 + len(callback.total)


def test_it_works_with_an_adapter_and_with_a_trainer_of_transformers(backbone, tokenizer, tmp_path):
    trainer = PairTrainer(
        model=build_reward_model(backbone, "lora", seed=0),
        args=TrainingArguments(output_dir=str(tmp_path), remove_unused_columns=False, **ARGUMENTS),
        train_dataset=pairs(),
        data_collator=collator(tokenizer),
    )
    callback = UpdateShareCallback(trainer.train_dataset)
    trainer.add_callback(callback)
    trainer.train()
    assert set(callback.total) == {"chat", "safety"}
    assert callback.total["chat"].of_pairs == 0.75


def test_our_own_trainer_is_watched_where_it_trains_as_trl_does(backbone, tokenizer, tmp_path):
    plain = dict(layout="padded", weighting="uniform", objective="bradley_terry")
    found = []
    for trainer, config, changed in ((RewardTrainer, RewardConfig, {}), (NormBTTrainer, NormBTConfig, plain)):
        watched = run(trainer, config, backbone, tokenizer, tmp_path, **changed)
        callback = UpdateShareCallback(watched.train_dataset)
        watched.add_callback(callback)
        watched.train()
        found.append(callback)
    theirs, ours = found
    assert ours.total == theirs.total and ours.strongest == theirs.strongest


@pytest.mark.parametrize(
    "changed, needed",
    [
        ({}, "Set layout='padded', weighting='uniform', objective='bradley_terry'"),
        ({"weighting": "uniform", "objective": "bradley_terry"}, "has layout='auto'. Set layout='padded', or"),
        ({"layout": "padded", "objective": "bradley_terry"}, "has weighting='normbt'. Set weighting='uniform', or"),
    ],
)
def test_a_run_whose_model_is_not_fed_what_counts_is_refused_before_it_starts(
    backbone, tokenizer, tmp_path, changed, needed
):
    """Rows that share prefixes, weights and margins."""
    watched = run(NormBTTrainer, NormBTConfig, backbone, tokenizer, tmp_path, **changed)
    start = parameters(watched).clone()
    watched.add_callback(UpdateShareCallback(watched.train_dataset))
    with pytest.raises(UsageError, match=needed):
        watched.train()
    assert torch.equal(parameters(watched), start)
    assert not watched.model._forward_pre_hooks


def test_without_groups_there_is_one(backbone, tokenizer, tmp_path):
    trainer = run(RewardTrainer, RewardConfig, backbone, tokenizer, tmp_path)
    callback = UpdateShareCallback(trainer.train_dataset, by=None, page=tmp_path / "share.html")
    trainer.add_callback(callback)
    trainer.train()
    assert callback.total["all pairs"].of_update == pytest.approx(1)


def test_a_column_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="no column source .* chosen_ids, rejected_ids, category"):
        UpdateShareCallback(pairs(), by="source")


def test_batches_of_another_order_are_refused(backbone):
    model = build_reward_model(backbone, "none", seed=0)
    callback = UpdateShareCallback(pairs())
    state = type("State", (), {"global_step": 0})
    callback.on_train_begin(None, state, None, model=model.train())
    with pytest.raises(NormBTError, match="TRL's order"):
        model(input_ids=torch.tensor([[20, 21]]))


def test_a_group_without_a_pair_between_two_logs_had_no_part_in_the_update():
    records = [
        ShareRecord(1, {"chat": GroupShare(1.0, 1.0)}),
        ShareRecord(2, {"chat": GroupShare(0.5, 0.25), "safety": GroupShare(0.5, 0.75)}),
    ]
    lines = {line.name: list(line.y) for line in share_over_steps_figure(records).data}
    assert lines == {"chat": [100, 25], "safety": [0, 75]}


# ---- the page of the docs


def test_the_docs_have_a_block_for_each_way_and_none_reaches_30_lines():
    assert len(BLOCKS) == 4
    assert all(len(code.strip().splitlines()) < 30 for _, code in BLOCKS)


@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_a_block_of_the_docs_runs_and_trains(backbone, tokenizer, tmp_path, monkeypatch, title, code):
    monkeypatch.chdir(tmp_path)
    model = build_reward_model(backbone, "none", seed=0)
    start = model.score.weight.detach().clone()
    names = {"model": model, "tokenizer": tokenizer, "data": pairs(8)}
    exec(compile(code, f"docs/drop_in.md: {title}", "exec"), names)
    assert (model.score.weight - start).abs().max() > 0
    if "Look before" in title:
        assert (tmp_path / "runs" / "update_share.html").is_file()
    else:
        state = names.get("state") or names["trainer"].weight_state
        assert state.running_mean > 0
