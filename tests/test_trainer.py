"""The trainer against TRL itself, against every way to split a batch, and against interruption."""

import json
import random

import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import LlamaConfig, LlamaForSequenceClassification, TrainerCallback
from trl import RewardConfig, RewardTrainer

from normbt_lab.checkpoints import last_complete_checkpoint
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.model import build_reward_model
from normbt_lab.representations import score_head
from normbt_lab.state import STATE_FILE, NormBTState
from normbt_lab.trainer import NormBTConfig, NormBTTrainer, PairCollator

ARGUMENTS = dict(
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
    learning_rate=1e-2,
    bf16=False,
    use_cpu=True,
    report_to="none",
    logging_steps=1,
    num_train_epochs=1,
    gradient_checkpointing=False,
    save_strategy="no",
    disable_tqdm=True,
)


def pairs(count=24, seed=0, margin=True):
    """Random token ids of 3 to 14 tokens, far from special ones, with a margin."""
    draw = random.Random(seed)
    response = lambda: [draw.randrange(20, 200) for _ in range(draw.randint(3, 14))]  # noqa: E731
    rows = [{"chosen_ids": response(), "rejected_ids": response(), "margin": draw.random()} for _ in range(count)]
    return Dataset.from_list(rows if margin else [{k: row[k] for k in ("chosen_ids", "rejected_ids")} for row in rows])


def make(backbone, tokenizer, folder, trainer=NormBTTrainer, config=NormBTConfig, data=None, adapter="none", **changed):
    model = build_reward_model(backbone, adapter, seed=0)
    arguments = config(output_dir=str(folder), **(ARGUMENTS | changed))
    return trainer(model=model, args=arguments, train_dataset=data or pairs(), processing_class=tokenizer)


def parameters(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad])


def losses(trainer):
    return [record["loss"] for record in trainer.state.log_history if "loss" in record]


# ---- another library


TEXTS = Dataset.from_list(
    [{"prompt": f"Add {i} and 2.", "chosen": f"{i + 2}", "rejected": f"{i + 3}, I think"} for i in range(24)]
)


@pytest.mark.parametrize(
    ("adapter", "accumulation", "data"),
    [
        ("none", 1, pairs(margin=True)),
        ("none", 3, pairs(margin=True)),
        ("none", 1, pairs(margin=False)),
        ("none", 3, pairs(margin=False)),
        ("lora", 3, pairs(margin=True)),
        ("none", 3, TEXTS),  # tokenised by TRL
    ],
)
def test_uniform_weights_are_trl_to_the_bit(backbone, tokenizer, tmp_path, adapter, accumulation, data):
    changed = dict(gradient_accumulation_steps=accumulation, center_rewards_coefficient=0.01, num_train_epochs=2)
    runs = []
    for trainer, config, extra in (
        (RewardTrainer, RewardConfig, {}),
        (NormBTTrainer, NormBTConfig, {"weighting": "uniform", "layout": "padded"}),
    ):
        run = make(backbone, tokenizer, tmp_path, trainer, config, data, adapter, **(changed | extra))
        run.train()
        runs.append(run)
    theirs, ours = runs
    assert losses(theirs) == losses(ours)
    assert torch.equal(parameters(theirs), parameters(ours))
    for name in ("accuracy", "margin", "min_reward", "mean_reward", "max_reward", "num_tokens"):
        assert theirs.state.log_history[0][name] == ours.state.log_history[0][name]


def test_bradley_terry_ignores_the_margin_column_and_says_so(backbone, tokenizer, tmp_path, caplog):
    with_column = make(backbone, tokenizer, tmp_path, weighting="uniform", objective="bradley_terry")
    with_column.train()
    assert caplog.text.count("ignores it") == 1
    without = make(backbone, tokenizer, tmp_path, weighting="uniform", data=pairs(margin=False))
    without.train()
    assert losses(with_column) == losses(without)


def test_an_objective_that_needs_margins_refuses_data_without_them(backbone, tokenizer, tmp_path):
    with pytest.raises(UsageError, match="column 'margin'"):
        make(backbone, tokenizer, tmp_path, objective="margin_outside", data=pairs(margin=False))


def test_a_model_loaded_by_name_is_saved_as_one_reward_and_no_sigmoid(backbone, tokenizer, tmp_path):
    """TRL's own trainer leaves problem_type open, and pipeline() then squashes the reward."""
    arguments = NormBTConfig(output_dir=str(tmp_path), **ARGUMENTS)
    plain = LlamaConfig.from_pretrained(backbone.path, problem_type=None)
    run = NormBTTrainer(
        model=LlamaForSequenceClassification(plain), args=arguments, train_dataset=pairs(), processing_class=tokenizer
    )
    assert run.model.config.problem_type == "regression"
    assert run.model.config.num_labels == 1
    assert run.model.config.id2label == {0: "reward"}


def test_trls_config_is_refused_with_the_name_to_use(backbone, tokenizer, tmp_path):
    with pytest.raises(UsageError, match="NormBTConfig"):
        make(backbone, tokenizer, tmp_path, config=RewardConfig)


@pytest.mark.parametrize(
    "changed",
    [
        {"weighting": "cosin"},
        {"ema_beta": 1.5},
        {"max_weight": 0.0},
        {"label_smoothing": 0.7},
        {"weight_norm": "sum1"},
        {"norm_eps": -1.0},
        {"norm_alpha": -3.0},
        {"norm_alpha": float("nan")},
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(tmp_path, changed):
    with pytest.raises(UsageError, match=next(iter(changed))):
        NormBTConfig(output_dir=str(tmp_path), **(ARGUMENTS | changed))


# ---- invariance: how a batch is split leaves no trace


class UnevenTrainer(NormBTTrainer):
    """Feeds micro-batches of 5 and 3 pairs, as a token budget would."""

    def get_train_dataloader(self):
        order = list(range(len(self.train_dataset)))
        batches = [order[i + a : i + b] for i in range(0, len(order), 8) for a, b in ((0, 5), (5, 8))]
        data = self._remove_unused_columns(self.train_dataset)
        return self.accelerator.prepare(DataLoader(data, batch_sampler=batches, collate_fn=self.data_collator))


class OrderedTrainer(NormBTTrainer):
    """Reads the pairs in their order, so that splits compare."""

    def _get_train_sampler(self, *args):
        return torch.utils.data.SequentialSampler(self.train_dataset)


SPLIT_SETTINGS = [
    {},
    {"weight_norm": "mean1"},
    {"ema_order": "update_then_use"},
    {"weighting": "uniform", "objective": "margin_outside"},
    {"weighting": "cosine"},
    {"weighting": "average_pool"},
    {"weighting": "d_opt"},
    {"weighting": "exact"},
    {"weighting": "exact", "weight_norm": "mean1", "center_rewards_coefficient": 0.01},
    {"objective": "label_smoothing", "center_rewards_coefficient": 0.01},
    {"ema_beta": None},
]


@pytest.mark.parametrize("settings", SPLIT_SETTINGS, ids=lambda s: "-".join(map(str, s.values())) or "normbt")
def test_a_step_is_the_same_however_its_eight_pairs_are_split(backbone, tokenizer, tmp_path, settings):
    """1x8, 2x4, 4x2 and 5+3; SGD, so that a wrong scale shows."""
    changed = settings | dict(optim="sgd", learning_rate=0.1)
    splits = [(OrderedTrainer, 8, 1), (OrderedTrainer, 4, 2), (OrderedTrainer, 2, 4), (UnevenTrainer, 8, 2)]
    results = []
    start = None
    for trainer, size, accumulation in splits:
        run = make(
            backbone, tokenizer, tmp_path, trainer,
            **changed, per_device_train_batch_size=size, gradient_accumulation_steps=accumulation,
        )  # fmt: skip
        start = parameters(run).clone()
        run.train()
        assert run.state.global_step == 3
        results.append((parameters(run), run.running_mean.value, losses(run)))
    whole, mean, loss = results[0]
    assert (whole - start).abs().max() > 1e-3  # the steps are large enough to tell
    for split, split_mean, split_loss in results[1:]:
        torch.testing.assert_close(split, whole, atol=2e-6, rtol=1e-4)
        assert split_mean == pytest.approx(mean, rel=1e-5)
        assert split_loss == pytest.approx(loss, rel=1e-4)


def test_a_running_mean_per_micro_batch_does_depend_on_the_split(backbone, tokenizer, tmp_path):
    """The trap that `ema_scope="micro"` is there to show: a pair is weighed against itself when it comes alone."""
    means = []
    for size, accumulation in ((8, 1), (1, 8)):
        run = make(
            backbone, tokenizer, tmp_path, OrderedTrainer, ema_scope="micro",
            per_device_train_batch_size=size, gradient_accumulation_steps=accumulation,
        )  # fmt: skip
        run.train()
        means.append(run.running_mean.value)
    assert means[0] != pytest.approx(means[1], rel=1e-3)


def test_the_first_steps_weights_use_the_mean_of_its_own_global_batch(backbone, tokenizer, tmp_path):
    """Then E[w * d] = running mean: the product of logged means would not do, so weigh the distances again by hand."""
    run = make(backbone, tokenizer, tmp_path, OrderedTrainer, per_device_train_batch_size=2, max_steps=1)
    run.train()
    log = run.state.log_history[0]
    assert log["running_mean"] == pytest.approx(log["distance_mean"], rel=1e-6)
    assert log["weight_mean"] >= 1.0


# ---- stop and resume


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(backbone, tokenizer, tmp_path):
    changed = dict(num_train_epochs=2, save_strategy="steps", save_steps=2, lr_scheduler_type="cosine")
    whole = make(backbone, tokenizer, tmp_path / "whole", **changed)
    whole.train()
    resumed = make(backbone, tokenizer, tmp_path / "resumed", **changed)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    assert torch.equal(parameters(whole), parameters(resumed))
    assert whole.running_mean.value == resumed.running_mean.value
    assert losses(whole)[4:] == losses(resumed)[4:]


def test_a_run_is_not_resumed_with_the_running_mean_of_another_quantity(backbone, tokenizer, tmp_path):
    changed = dict(save_strategy="steps", save_steps=2, max_steps=2)
    make(backbone, tokenizer, tmp_path, **changed).train()
    other = make(backbone, tokenizer, tmp_path, weighting="cosine", **changed)
    start, files = parameters(other).clone(), sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="weighting='normbt' and this run has weighting='cosine'"):
        other.train(resume_from_checkpoint=True)
    assert other.running_mean.value is None and other.resumed_log is None
    assert torch.equal(parameters(other), start)
    assert sorted(tmp_path.rglob("*")) == files


def test_without_a_running_mean_no_pass_is_made_ahead_and_1_is_logged(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, ema_beta=None, max_steps=1)
    passes = []
    run.model.register_forward_pre_hook(lambda *_: passes.append(1))
    run.train()
    assert len(passes) == 2  # one per micro-batch
    assert run.state.log_history[0]["running_mean"] == 1.0


def test_a_damaged_state_file_is_named(tmp_path):
    (tmp_path / STATE_FILE).write_text('{"running_mean": 1.0')
    with pytest.raises(NormBTError, match="damaged"):
        NormBTState.read(tmp_path)


def test_the_running_mean_survives_the_state_file_to_the_bit(tmp_path):
    NormBTState(running_mean=0.1 + 0.2).write(tmp_path)
    assert NormBTState.read(tmp_path).running_mean == 0.1 + 0.2
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]


# ---- movement, evaluation, failure


def test_what_should_train_moves_and_what_is_frozen_does_not(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, adapter="lora")
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.train()
    moved = {name for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    trained = {name for name, p in run.model.named_parameters() if p.requires_grad}
    assert moved == trained
    assert any("score" in name for name in moved)


def test_pure_bfloat16_of_a_four_bit_model_is_refused_before_training(backbone, tokenizer, tmp_path):
    with pytest.raises(UsageError, match="pure_bf16 is for models that are not quantised"):
        make(backbone, tokenizer, tmp_path, adapter="qlora", pure_bf16=True)


def test_four_bit_training_keeps_float32_masters(backbone, tokenizer, tmp_path):
    """TRL casts them to bfloat16, and a head in bfloat16 loses small updates and ties rewards."""
    run = make(backbone, tokenizer, tmp_path, adapter="qlora")
    before = score_head(run.model).weight.detach().clone()
    run.train()
    assert {p.dtype for p in run.model.parameters() if p.requires_grad} == {torch.float32}
    assert not torch.equal(score_head(run.model).weight, before)


def test_a_few_steps_lower_the_loss(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, num_train_epochs=8, data=pairs(margin=False))
    run.train()
    assert losses(run)[-1] < losses(run)[0] / 2


def test_evaluation_reports_plain_bradley_terry_and_leaves_the_running_mean(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, objective="margin_outside")
    run.train()
    mean = run.running_mean.value
    metrics = run.evaluate(pairs(8, seed=3))
    assert run.running_mean.value == mean
    run.model.eval()
    batch = PairCollator(pad_token_id=tokenizer.pad_token_id)(list(pairs(8, seed=3)))
    with torch.no_grad():
        chosen, rejected = run.model(batch["input_ids"], batch["attention_mask"]).logits[:, 0].chunk(2)
    assert metrics["eval_loss"] == pytest.approx(
        -torch.nn.functional.logsigmoid(chosen - rejected).mean().item(), rel=1e-5
    )
    assert metrics["eval_accuracy"] == pytest.approx((chosen > rejected).float().mean().item())


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_step_and_pairs(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, weighting="uniform", save_strategy="steps", save_steps=1)
    steps = []

    def damage(*args, **kwargs):
        steps.append(1)
        if len(steps) == 5:  # first micro-batch of the third step
            with torch.no_grad():
                score_head(run.model).weight[0, 0] = float("nan")
        return plain(*args, **kwargs)

    plain, run.compute_loss = run.compute_loss, damage
    with pytest.raises(NormBTError, match=r"step 3, pairs \[\d+") as raised:
        run.train()
    named = json.loads("[" + str(raised.value).split("pairs [")[1].split("]")[0] + "]")
    assert len(named) == 8 and set(named) <= set(range(24))
    assert last_complete_checkpoint(tmp_path).name == "checkpoint-2"


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
def test_gradients_that_are_not_finite_stop_before_the_update(backbone, tokenizer, tmp_path, max_grad_norm):
    settings = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "max_grad_norm": max_grad_norm}
    run = make(backbone, tokenizer, tmp_path, **settings)
    steps = []

    def damage(gradient):
        steps.append(1)
        return gradient * float("nan") if len(steps) == 3 else gradient  # the first micro-batch of the second step

    score_head(run.model).weight.register_hook(damage)
    with pytest.raises(NormBTError, match="the gradients became infinite or NaN at step 2, pairs"):
        run.train()
    assert last_complete_checkpoint(tmp_path).name == "checkpoint-1"
    assert all(parameter.isfinite().all() for parameter in run.model.parameters())


def test_parameters_that_an_update_made_infinite_do_not_take_the_place_of_a_good_checkpoint(
    backbone, tokenizer, tmp_path
):
    settings = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1}
    run = make(backbone, tokenizer, tmp_path, **settings)

    class Overflow(TrainerCallback):
        def on_optimizer_step(self, args, state, control, **kwargs):
            if state.global_step == 1:  # the second step's update
                with torch.no_grad():
                    score_head(run.model).weight[0, 0] = float("inf")

    run.add_callback(Overflow())
    with pytest.raises(NormBTError, match="parameters are infinite or NaN after step 2: .* were not stored"):
        run.train()
    assert last_complete_checkpoint(tmp_path).name == "checkpoint-1"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT 0.21 on transformers 5.23
def test_a_frozen_head_is_refused_before_training(backbone, tokenizer, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = build_reward_model(backbone, "none", seed=0)
    model = get_peft_model(base, LoraConfig(target_modules=["q_proj"]))  # no task_type: PEFT freezes the head
    with pytest.raises(UsageError, match="modules_to_save"):
        NormBTTrainer(
            model=model, args=NormBTConfig(output_dir=str(tmp_path), **ARGUMENTS),
            train_dataset=pairs(), processing_class=tokenizer,
        )  # fmt: skip


def test_the_bound_on_weights_holds_and_its_share_is_logged(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path, max_weight=1.01)
    run.train()
    log = run.state.log_history[0]
    assert log["weight_max"] == pytest.approx(1.01)
    assert 0 < log["clipped_share"] < 1


def test_logged_percentiles_are_in_order(backbone, tokenizer, tmp_path):
    run = make(backbone, tokenizer, tmp_path)
    run.train()
    log = run.state.log_history[0]
    ordered = [log[f"distance_{name}"] for name in ("min", "p10", "p25", "p75", "p90", "max")]
    assert ordered == sorted(ordered) and ordered[0] < ordered[-1]
    assert ordered[0] < log["distance_mean"] < ordered[-1]


def test_pure_bfloat16_loses_updates_that_float32_keeps(backbone, tokenizer, tmp_path):
    """An update below 1/256 of a parameter rounds away: the paper trains so, with SGD (decisions, point 30)."""
    moved = {}
    for pure in (True, False):
        run = make(backbone, tokenizer, tmp_path, pure_bf16=pure, optim="sgd", learning_rate=1e-4, max_steps=3)
        before = parameters(run).clone()
        run.train()
        moved[pure] = (parameters(run) != before).float().mean().item()
    assert moved[True] < 0.05
    assert moved[False] > 0.5


def test_gradient_checkpointing_takes_the_same_step(backbone, tokenizer, tmp_path):
    results = []
    for checkpointing in (False, True):
        run = make(backbone, tokenizer, tmp_path, adapter="lora", gradient_checkpointing=checkpointing)
        run.train()
        results.append(parameters(run))
    torch.testing.assert_close(*results)
