"""Each finding on a set-up that has the fault and on one that has not; the command; what training does with them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from small_tokenizers import BOS_FIRST, adding_bos, byte_level
from torch import nn

from normbt_lab.backbones import load_tokenizer
from normbt_lab.cli import main
from normbt_lab.data.checks import prepare_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.doctor import Diagnosis, Finding, Severity, examine, examine_before_training
from normbt_lab.doctor.checkpoint_checks import check_stored_head, is_reward_model
from normbt_lab.doctor.configuration_checks import (
    check_bfloat16,
    check_gpus,
    check_memory,
    check_pure_bfloat16,
)
from normbt_lab.doctor.data_checks import (
    check_identical,
    check_length_shortcut,
    check_margins,
    check_maximum_weight,
    check_near_duplicates,
    check_overlong,
)
from normbt_lab.doctor.hardware import Hardware
from normbt_lab.doctor.measure import Measured, measure_pairs
from normbt_lab.doctor.model_checks import check_dropout, check_head, check_labels, check_pad_id
from normbt_lab.doctor.tokenizer_checks import check_beginning, check_pad_token
from normbt_lab.errors import NormBTError
from normbt_lab.model import LoraSettings, build_reward_model
from normbt_lab.quiet import quiet_loading
from normbt_lab.representations import score_head
from normbt_lab.training import make_config, train_from_arguments

CPU = Hardware("a CPU", gpus=0, has_bfloat16=False, is_launched=False)
ROWS = [{"prompt": f"What is {i} + 1?", "chosen": f"It is {i + 1}.", "rejected": f"It is {i}."} for i in range(40)]
PAIRS = [PreferencePair(**row) for row in ROWS]


def names(findings: list[Finding]) -> list[str]:
    return [finding.name for finding in findings]


def config(tmp_path: Path, **arguments):
    return make_config(output_dir=str(tmp_path), **{"bf16": False, "use_cpu": True, **arguments})


def adapted(model: nn.Module, settings: LoraConfig) -> nn.Module:
    with quiet_loading():  # PEFT reads an attribute that transformers has renamed
        return get_peft_model(model, settings)


@pytest.fixture
def model(backbone) -> nn.Module:
    return build_reward_model(backbone)


@pytest.fixture
def data(tokenizer):
    return prepare_pairs(PAIRS, tokenizer, max_length=None, progress=False)


# the tokenizer


def test_a_pad_token_that_ends_responses_is_an_error():
    tokenizer = byte_level()
    tokenizer.pad_token = tokenizer.eos_token
    (finding,) = check_pad_token(tokenizer)
    assert (finding.name, finding.severity) == ("pad_is_end_token", Severity.ERROR)
    assert "'<|im_end|>'" in finding.evidence and "'<|pad|>'" in finding.fix


def test_a_pad_token_of_its_own_is_no_finding():
    assert check_pad_token(byte_level()) == []


def test_a_missing_pad_token_is_an_error_and_its_fix_works():
    tokenizer = byte_level()
    tokenizer.pad_token = None
    (finding,) = check_pad_token(tokenizer)
    assert (finding.name, finding.severity) == ("pad_token_missing", Severity.ERROR)
    exec(finding.fix.partition(",")[0], {"tokenizer": tokenizer})
    assert check_pad_token(tokenizer) == []


def test_a_pad_token_that_this_package_replaces_is_a_note():
    tokenizer = byte_level()
    tokenizer.pad_token = tokenizer.eos_token
    assert check_pad_token(tokenizer, is_replaced=True)[0].severity is Severity.NOTE


def beginning(tokenizer, pairs=PAIRS, tokenized=None):
    tokenized = tokenized or prepare_pairs(pairs, tokenizer, max_length=None, progress=False).tokenized
    return check_beginning(tokenizer, pairs, tokenized)


def test_two_bos_in_front_are_an_error(data):
    tokenizer = adding_bos()
    bos = tokenizer.bos_token_id
    doubled = [type(pair)([bos, bos, *pair.chosen_ids], [bos, *pair.rejected_ids]) for pair in data.tokenized]
    (finding,) = beginning(tokenizer, tokenized=doubled)
    assert (finding.name, finding.severity) == ("double_bos", Severity.ERROR)
    assert finding.evidence.startswith("40 of 80 sequences")


def test_a_template_and_a_tokenizer_that_both_write_bos_are_a_note_because_they_are_one_here():
    (finding,) = beginning(adding_bos(BOS_FIRST))
    assert (finding.name, finding.severity) == ("double_bos", Severity.NOTE)


def test_a_template_without_the_bos_that_the_tokenizer_adds_is_a_missing_bos():
    (finding,) = beginning(adding_bos(BOS_FIRST.replace("{{ bos_token }}", "")))
    assert finding.name == "missing_bos" and finding.evidence.startswith("80 of 80 sequences")


def test_text_that_was_rendered_before_has_its_bos_in_the_middle():
    tokenizer = adding_bos()
    pairs = [PreferencePair("<s>user: 1 + 1?</s>", "2", "3"), *PAIRS]
    assert "bos_in_text" in names(beginning(tokenizer, pairs))
    assert "bos_in_text" not in names(beginning(tokenizer))


def test_plain_text_that_begins_with_its_bos_is_no_finding():
    tokenizer = adding_bos(chat_template=None)
    assert beginning(tokenizer, [PreferencePair(None, "<s>yes", "<s>no")]) == []


def test_a_tokenizer_that_adds_no_bos_misses_none():
    assert beginning(byte_level()) == []


# the model


def test_a_sound_model_has_no_finding(model, tokenizer):
    assert check_head(model) + check_labels(model.config) + check_pad_id(model.config, tokenizer) == []
    assert check_dropout(model) == []


@pytest.mark.parametrize("adapter", ["none", "head", "lora"])
def test_every_model_that_this_package_builds_trains_and_stores_its_head(backbone, adapter):
    assert check_head(build_reward_model(backbone, adapter)) == []


def test_a_frozen_head_is_an_error_for_training_only(model):
    score_head(model).weight.requires_grad_(False)
    assert names(check_head(model)) == ["head_frozen"]
    assert check_head(model, is_training=False) == []


def test_peft_without_a_task_type_freezes_the_head(model):
    assert names(check_head(adapted(model, LoraConfig(target_modules=["q_proj"])))) == ["head_frozen"]


def test_a_head_that_trains_and_is_not_in_the_adapter_is_an_error(model):
    peft_model = adapted(model, LoraConfig(target_modules=["q_proj"]))
    score_head(peft_model).weight.requires_grad_(True)
    assert names(check_head(peft_model)) == ["head_not_saved"]


def test_a_quantised_head_is_an_error(model):
    score_head(model).weight = nn.Parameter(torch.zeros(1, 64, dtype=torch.int8), requires_grad=False)
    assert names(check_head(model)) == ["head_quantised"]


def test_a_head_of_nan_is_an_error(model):
    score_head(model).weight.data[0, 3] = torch.nan
    assert names(check_head(model)) == ["head_not_finite"]


def test_a_language_model_has_no_head(backbone):
    from transformers import AutoModelForCausalLM

    assert names(check_head(AutoModelForCausalLM.from_pretrained(backbone.path))) == ["head_missing"]


def test_two_labels_are_an_error(model):
    model.config.num_labels = 2
    assert names(check_labels(model.config)) == ["two_labels"]


def test_a_configuration_whose_pipeline_squashes_rewards_is_a_warning(model):
    model.config.problem_type = None
    (finding,) = check_labels(model.config)
    assert (finding.name, finding.severity) == ("problem_type", Severity.WARNING)


@pytest.mark.parametrize(("pad_id", "name"), [(None, "pad_id_missing"), (5, "pad_id_differs")])
def test_a_pad_id_other_than_the_tokenizer_s_is_an_error(model, tokenizer, pad_id, name):
    assert tokenizer.pad_token_id != 5
    model.config.pad_token_id = pad_id
    (finding,) = check_pad_id(model.config, tokenizer)
    assert (finding.name, finding.severity) == (name, Severity.ERROR)


def test_dropout_that_trl_does_not_switch_off_is_a_warning(backbone):
    model = build_reward_model(backbone, "lora", lora=LoraSettings(dropout=0.1))
    assert check_dropout(model, disable_dropout=True) == []
    (finding,) = check_dropout(model, disable_dropout=False)
    assert finding.name == "dropout_on" and "10%" in finding.evidence


def test_dropout_inside_attention_stays_on_whatever_trl_disables(model):
    """TRL's own function, and then two forward passes in training mode that differ."""
    from trl.trainer.utils import disable_dropout_in_model

    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    disable_dropout_in_model(model.train())
    ids = torch.arange(5, 25)[None]
    assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
    assert names(check_dropout(model, disable_dropout=True)) == ["dropout_on"]


# stored models


@pytest.fixture
def stored(model, tmp_path) -> Path:
    """A full reward model as transformers stores it."""
    model.save_pretrained(tmp_path / "stored")
    return tmp_path / "stored"


def test_a_stored_model_with_its_head_in_float32_is_no_finding(stored, backbone):
    assert is_reward_model(stored) and not is_reward_model(Path(backbone.path))
    assert check_stored_head(stored) == []


def test_a_stored_model_without_its_head_is_an_error(stored):
    tensors = load_file(stored / "model.safetensors")
    del tensors["score.weight"]
    save_file(tensors, stored / "model.safetensors")
    assert names(check_stored_head(stored)) == ["head_not_saved"]


@pytest.mark.parametrize(("saved", "expected"), [(["score"], []), (None, ["head_not_saved"])])
def test_an_adapter_without_the_head_is_an_error(model, tmp_path, saved, expected):
    adapted(model, LoraConfig(target_modules=["q_proj"], modules_to_save=saved)).save_pretrained(tmp_path)
    assert is_reward_model(tmp_path)
    assert names(check_stored_head(tmp_path)) == expected


def test_a_head_stored_in_bfloat16_is_prone_to_ties(model, tmp_path):
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    assert names(check_stored_head(tmp_path)) == ["tie_prone_precision"]


# the data


def report_of(tokenizer, pairs, **limits):
    return prepare_pairs(pairs, tokenizer, **{"max_length": None, "progress": False, **limits}).report


def test_pairs_that_are_identical_once_cut_are_counted(tokenizer):
    same_start = [PreferencePair(None, "word " * 60 + "yes", "word " * 60 + "no")] * 3 + PAIRS
    cut = report_of(tokenizer, same_start, max_length=40, overlong="truncate_right")
    (finding,) = check_identical(cut)
    assert finding.name == "identical_pairs" and finding.evidence.startswith("3 of 43 pairs")
    assert check_identical(report_of(tokenizer, same_start)) == []


@pytest.mark.parametrize("overlong", ["drop", "truncate_left"])
def test_a_share_above_the_limit_is_a_warning(tokenizer, overlong):
    long = [PreferencePair(None, f"word {i} " * 60, f"other {i} " * 60) for i in range(10)]
    (finding,) = check_overlong(report_of(tokenizer, long + PAIRS, max_length=50, overlong=overlong))
    assert finding.name == "overlong_pairs" and finding.evidence.startswith("20% of 50 pairs")
    assert check_overlong(report_of(tokenizer, long + PAIRS, max_length=5000)) == []


def test_data_in_which_the_longer_response_wins_has_a_length_shortcut(tokenizer):
    longer = [PreferencePair(f"{i}?", f"{i} and a good deal more", "no") for i in range(40)]
    shorter = [PreferencePair(pair.prompt, pair.rejected, pair.chosen) for pair in longer]
    (finding,) = check_length_shortcut(report_of(tokenizer, longer))
    assert finding.name == "length_shortcut" and "the longer side is right in 100% of 40" in finding.evidence
    assert "shorter" in check_length_shortcut(report_of(tokenizer, shorter))[0].evidence
    assert check_length_shortcut(report_of(tokenizer, longer[:20] + shorter[:20])) == []
    assert check_length_shortcut(report_of(tokenizer, longer[:4])) == []  # four heads in a row are chance


def test_pairs_that_differ_in_a_blank_are_near_duplicates(tokenizer):
    blank = [PreferencePair("Why?", "Because it is so", "because it is  so.")]
    (finding,) = check_near_duplicates(prepare_pairs(blank + PAIRS, tokenizer, max_length=None, progress=False))
    assert (finding.name, finding.severity) == ("near_duplicates", Severity.WARNING)
    assert finding.evidence.startswith("1 of 41 pairs")


def test_pairs_that_differ_in_one_letter_are_a_note_and_others_nothing(tokenizer, data):
    code = "for i in range(n):\n    if isPrime({}):\n        total += j\nreturn total"
    letter = [PreferencePair("Code?", code.format("j"), code.format("n"))]
    (finding,) = check_near_duplicates(prepare_pairs(letter + PAIRS, tokenizer, max_length=None, progress=False))
    assert (finding.name, finding.severity) == ("small_differences", Severity.NOTE)
    assert check_near_duplicates(data) == []


def test_the_expected_weight_is_the_mean_distance_over_the_smallest(data, tmp_path):
    far = Measured(typical=[4.0, 6.0], closest=[2.5, 5.0], closest_pairs=[3, 4], rewards=[])
    near = Measured(typical=[4.0, 6.0], closest=[5.0, 0.25], closest_pairs=[3, 4], rewards=[])
    assert check_maximum_weight(far, data, config(tmp_path)) == []  # 5 / 2.5 = 2
    (finding,) = check_maximum_weight(near, data, config(tmp_path))  # 5 / 0.25 = 20
    assert finding.name == "large_weight" and "weights of 20 and more" in finding.evidence
    assert check_maximum_weight(near, data, config(tmp_path, max_weight=5.0)) == []
    assert check_maximum_weight(near, data, config(tmp_path, weighting="uniform")) == []


def rated(margins: list[float | None], source: str) -> list[PreferencePair]:
    return [PreferencePair("?", "yes", "no", margin=margin, row={"source": source}) for margin in margins]


def test_sources_that_rate_on_different_scales_are_a_warning():
    stars, points = rated([1.0, 2.0] * 6, "stars"), rated([30.0, 60.0] * 6, "points")
    (finding,) = check_margins(stars + points)
    assert finding.name == "margin_scales_mixed" and "1.5 in 'stars' and 45 in 'points'" in finding.evidence
    assert check_margins(stars + rated([2.0, 1.0] * 6, "more stars")) == []
    assert check_margins(stars + points, objective="bradley_terry") == []  # it ignores margins


def test_margins_that_are_missing_or_negative_are_warnings():
    assert names(check_margins(rated([1.0, None], "a"))) == ["margins_incomplete"]
    assert names(check_margins(rated([1.0, -1.0], "a"))) == ["margins_negative"]
    assert check_margins(rated([None, None], "a")) == []


# configuration and machine


def test_bfloat16_on_a_machine_without_it_is_a_warning(tmp_path):
    able = Hardware("a GPU", gpus=1, has_bfloat16=True, is_launched=False)
    in_bfloat16 = config(tmp_path, bf16=True)
    assert names(check_bfloat16(in_bfloat16, CPU)) == ["bf16_without_hardware"]
    assert check_bfloat16(in_bfloat16, able) == check_bfloat16(config(tmp_path), CPU) == []


def test_two_gpus_in_one_process_are_an_error_unless_launched_or_unused():
    two = Hardware("a T4", gpus=2, has_bfloat16=False, is_launched=False)
    (finding,) = check_gpus(two)
    assert (finding.name, finding.severity) == ("gpus_without_launcher", Severity.ERROR)
    assert check_gpus(Hardware("a T4", 2, False, is_launched=True)) == []
    assert check_gpus(Hardware("a T4", 1, False, is_launched=False)) == check_gpus(two, use_cpu=True) == []


def test_parameters_in_bfloat16_are_prone_to_ties(tmp_path):
    assert names(check_pure_bfloat16(config(tmp_path, pure_bf16=True))) == ["tie_prone_precision"]
    assert check_pure_bfloat16(config(tmp_path, bf16=True)) == []


def test_a_run_that_needs_more_memory_than_is_free_is_a_warning():
    machine = Hardware("a T4", 1, False, False, memory=15 * 2**30)
    (finding,) = check_memory(20 * 2**30, machine)
    assert finding.name == "memory_too_small" and "20.0 GiB" in finding.evidence and "15.0 GiB" in finding.evidence
    assert check_memory(10 * 2**30, machine) == check_memory(None, machine) == check_memory(1, CPU) == []


def test_the_memory_a_run_needs_grows_with_its_batch_and_unknown_settings_have_no_estimate(backbone, tmp_path):
    from normbt_lab.backbones.backbone import open_config
    from normbt_lab.doctor.memory_need import needed_memory

    def needed(**arguments) -> int | None:
        shape = open_config(backbone.path)
        return needed_memory(shape, config(tmp_path, **arguments), longest=64, adapter="none")

    # Two hundred thousand float32 parameters with gradients and AdamW's two numbers, and activations on top.
    weights = 4 * sum(parameter.numel() for parameter in build_reward_model(backbone).parameters())
    small = needed(per_device_train_batch_size=1)
    assert 3 * weights < small < needed(per_device_train_batch_size=8)
    assert needed(optim="adafactor") is None and needed(pure_bf16=True) is None


# an examination


def test_an_examination_of_a_sound_set_up_has_no_finding(backbone, tokenizer, data, tmp_path):
    diagnosis = examine(build_reward_model(backbone, "lora"), tokenizer, data, config(tmp_path), hardware=CPU)
    assert diagnosis.findings == [] and diagnosis.skipped == [] and diagnosis.exit_code == 0
    assert diagnosis.examined[-1].startswith("rewards and distances of ")


def test_measured_rewards_and_distances_are_the_model_s(model, tokenizer, data):
    from normbt_lab.data.batches import collate_pairs
    from normbt_lab.representations import pair_outputs

    measured = measure_pairs(model.train(), data.tokenized[:5])
    assert model.training
    batch = collate_pairs([(pair.chosen_ids, pair.rejected_ids) for pair in data.tokenized[:5]], tokenizer.pad_token_id)
    with torch.no_grad():
        outputs = pair_outputs(model.eval(), batch)
    assert sorted(measured.typical) == pytest.approx(sorted(outputs.representation_distance.tolist()), rel=1e-4)
    assert sorted(reward for reward, _ in measured.rewards) == pytest.approx(
        sorted(outputs.reward_chosen.tolist()), abs=1e-4
    )


def test_measuring_leaves_each_module_in_its_own_mode(model, data):
    model.train()
    model.model.layers[0].eval()
    before = {name: module.training for name, module in model.named_modules()}
    measure_pairs(model, data.tokenized[:5])
    assert {name: module.training for name, module in model.named_modules()} == before


def test_rewards_one_bfloat16_step_apart_tie_and_others_do_not():
    """Near 4, bfloat16 numbers lie 1/32 apart."""
    measured = Measured([1.0], [1.0], [0], rewards=[(4.0, 4.001), (4.0, 4.0625)])
    assert measured.tie_rate == 0.5


def test_errors_come_first_and_decide_the_exit_code():
    note = Finding("note", Severity.NOTE, "seen", "cause", "fix")
    error = Finding("error", Severity.ERROR, "seen", "cause", "fix")
    diagnosis = Diagnosis([note, error], examined=["all"])
    assert names(diagnosis.findings) == ["error", "note"] and diagnosis.exit_code == 1
    assert Diagnosis([note]).exit_code == 0
    assert diagnosis.table().splitlines()[-1] == "1 error, 1 note"
    assert json.loads(json.dumps(diagnosis.to_json()))["findings"][0]["fix"] == "fix"


def test_five_hundred_pairs_at_most_are_looked_at(model, tokenizer, data):
    many = type(data)(data.pairs * 20, data.tokenized * 20, data.report)
    assert "500 pairs" in examine(model, tokenizer, many, hardware=CPU).examined


# training


def test_training_stops_at_an_error_with_its_fix(model, tokenizer, data, tmp_path):
    score_head(model).weight.requires_grad_(False)
    with pytest.raises(NormBTError, match="head_frozen.*modules_to_save"):
        examine_before_training(model, tokenizer, data, config(tmp_path))


def test_training_logs_a_warning_and_goes_on(model, tokenizer, data, tmp_path, caplog):
    model.config.problem_type = None
    examine_before_training(model, tokenizer, data, config(tmp_path))
    assert any("doctor: problem_type" in record.message for record in caplog.records)


@pytest.fixture
def pairs_file(tmp_path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_the_examination_leaves_no_trace_in_the_weights(pairs_file, tmp_path):
    common = dict(model="tiny-random", train_data=str(pairs_file), max_steps=2, disable_tqdm=True, save_strategy="no")
    common |= dict(adapter="none", learning_rate=1e-3, bf16=False, use_cpu=True)
    for name, doctor in (("with", True), ("without", False)):
        train_from_arguments(common | dict(output_dir=str(tmp_path / name), doctor=doctor))
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def train(backbone: Path, pairs_file: Path, folder: Path, *more: str) -> int:
    names = {"--model": backbone, "--train-data": pairs_file, "--output-dir": folder, "--max-steps": 1}
    words = [word for name, value in names.items() for word in (name, str(value))]
    return main(["train", *words, "--disable-tqdm", "--use-cpu", *more])


def test_the_train_command_examines_unless_told_not_to(backbone, pairs_file, tmp_path, capsys):
    folder = tmp_path / "backbone"
    shutil.copytree(backbone.path, folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"attention_dropout": 0.1}))
    assert train(folder, pairs_file, tmp_path / "run") == 0
    assert "doctor: dropout_on" in capsys.readouterr().err
    assert train(folder, pairs_file, tmp_path / "run", "--no-doctor") == 0
    assert "doctor" not in capsys.readouterr().err


def test_an_adapter_trains_under_checkpointing(pairs_file, tmp_path):
    """Elsewhere it gets no gradient; here no finding is needed, because the low-rank matrices move away from zero."""
    arguments = dict(model="tiny-random", train_data=str(pairs_file), output_dir=str(tmp_path / "run"), max_steps=1)
    arguments |= dict(adapter="lora", disable_tqdm=True, save_strategy="no", learning_rate=1e-2)
    train_from_arguments(arguments | dict(activation_checkpointing=True))
    tensors = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert all(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)


# the command


def test_the_command_answers_0_and_json_for_a_sound_set_up(pairs_file, capsys):
    assert main(["doctor", "--model", "tiny-random", "--input", str(pairs_file), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["errors"] == 0 and {"40 pairs", "memory"} <= set(report["examined"])


def test_the_command_answers_1_for_a_stored_model_that_lost_its_head(stored, tokenizer, capsys):
    tokenizer.save_pretrained(stored)
    assert main(["doctor", "--model", str(stored)]) == 0
    capsys.readouterr()
    tensors = load_file(stored / "model.safetensors")
    del tensors["score.weight"]
    save_file(tensors, stored / "model.safetensors")
    assert main(["doctor", "--model", str(stored)]) == 1
    assert "ERROR  head_not_saved" in capsys.readouterr().out


def test_damaged_files_are_a_finding_and_no_traceback(stored, tokenizer, capsys):
    tokenizer.save_pretrained(stored)
    weights = stored / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert main(["doctor", "--model", str(stored), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["name"] == "model_does_not_open"
    (stored / "config.json").write_text("{")
    assert main(["doctor", "--model", str(stored)]) == 1
    assert "model_does_not_open" in capsys.readouterr().out


def test_the_command_sees_through_to_the_tokenizer_that_is_stored(backbone, tmp_path, capsys):
    """The backbone's pad token is made its end-of-sequence token: repaired in a run here, so a note."""
    folder = tmp_path / "backbone"
    shutil.copytree(backbone.path, folder)
    tokenizer = load_tokenizer(backbone)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    assert main(["doctor", "--model", str(folder), "--json"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["name"], finding["severity"]) == ("pad_is_end_token", "note")


def test_data_that_does_not_open_is_a_finding_and_settings_that_nobody_reads_are_wrong_use(tmp_path, capsys):
    assert main(["doctor", "--model", "tiny-random", "--input", str(tmp_path / "nothing.jsonl")]) == 1
    assert "data_does_not_open" in capsys.readouterr().out
    recipe = tmp_path / "run.yaml"
    recipe.write_text("model: tiny-random\nlearning_rat: 1\n", encoding="utf-8")
    assert main(["doctor", "--config", str(recipe)]) == 2
    assert "learning_rate" in capsys.readouterr().err
    assert main(["doctor"]) == 2


# the page

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "pain_points.md").read_text(encoding="utf-8")


def test_the_page_answers_every_complaint_and_names_tests_that_exist():
    rows = re.findall(r"^\| (P\d+) \|.*?\| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert [name for name, _ in rows] == [f"P{i}" for i in range(1, 25)]
    assert all(re.search("Finding|Test|Design|Lesson", answer) for _, answer in rows)
    sources = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in re.findall(r"`(test_\w+)`", PAGE) if f"def {name}(" not in sources] == []


def test_every_finding_of_the_code_is_on_the_page_with_its_severity():
    """The names as the code writes them: the first argument of a Finding or a Fault, or a word before its severity."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "normbt_lab" / "doctor").glob("*.py"))
    written = set(re.findall(r'(?:Finding|Fault)\(\s*"(\w+)"', code)) | {"model_does_not_open", "data_does_not_open"}
    listed = set(re.findall(r"`(\w+)`", PAGE.partition("## All findings")[2].partition("Limits:")[0]))
    assert len(written) > 25
    assert written == listed
