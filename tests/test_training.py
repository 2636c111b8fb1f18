"""Runs from names and values to a folder: what is read, refused, written and said."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.precision import choose_precision
from normbt_lab.state import NormBTState
from normbt_lab.training import TrainingRequest, make_config, train_from_arguments, train_reward_model

ROWS = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": f"not {i + 1}", "margin": 1.0 + i} for i in range(8)]
TINY = dict(model="tiny-random", learning_rate=1e-3, logging_steps=1, disable_tqdm=True, save_strategy="no")


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n")
    return path


def test_a_run_leaves_a_reward_model_with_state_card_and_certificate(pairs_file, tmp_path):
    folder = train_from_arguments(
        TINY | dict(train_data=str(pairs_file), eval_data=str(pairs_file), output_dir=str(tmp_path / "run"))
    )
    state = NormBTState.read(folder)
    assert state.running_mean > 0 and state.global_step == 3  # three epochs of one batch
    assert state.settings["weighting"] == "normbt"
    assert state.backbone["name"] == "tiny-random"
    card = (folder / "README.md").read_text()
    assert "Round trip:" in card and "8 pairs" in card and "| weighting | normbt |" in card
    assert str(tmp_path) not in card  # no path of this machine in what people publish


@pytest.mark.parametrize("adapter", ["none", "head", "qlora"])
def test_the_other_ways_to_train_end_in_a_certified_model_too(pairs_file, tmp_path, adapter):
    folder = train_from_arguments(
        TINY | dict(train_data=str(pairs_file), output_dir=str(tmp_path / "run"), adapter=adapter, bf16=True)
    )
    assert "Round trip:" in (folder / "README.md").read_text()
    assert NormBTState.read(folder).backbone["quantized"] == (adapter == "qlora")


def test_a_bad_row_is_named_in_the_reject_file_and_the_rest_trains(pairs_file, tmp_path):
    pairs_file.write_text(pairs_file.read_text() + "not json\n")
    folder = train_from_arguments(TINY | dict(train_data=str(pairs_file), output_dir=str(tmp_path / "run")))
    (rejected,) = [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]
    assert rejected["origin"].endswith("pairs.jsonl:9")


def test_a_run_that_rejects_nothing_leaves_no_reject_file_of_an_earlier_one(pairs_file, tmp_path):
    arguments = TINY | dict(train_data=str(pairs_file), output_dir=str(tmp_path / "run"))
    good = pairs_file.read_text()
    pairs_file.write_text(good + "not json\n")
    assert (train_from_arguments(arguments) / "rejects.jsonl").exists()
    pairs_file.write_text(good)
    assert not (train_from_arguments(arguments) / "rejects.jsonl").exists()


@pytest.mark.parametrize("use", ["train_data", "eval_data"])
def test_the_reject_file_of_a_folder_is_not_lost_where_its_rows_are_to_be_used(pairs_file, tmp_path, use):
    mended = tmp_path / "run" / "rejects.jsonl"
    mended.parent.mkdir()
    mended.write_text(pairs_file.read_text())
    content = mended.read_text()
    pairs_file.write_text(content + "not json\n")  # a reject of this run would take the file's place
    data = {"train_data": str(pairs_file), use: str(mended)}
    with pytest.raises(UsageError, match="reject file would overwrite the input"):
        train_from_arguments(TINY | data | dict(output_dir=str(mended.parent)))
    assert mended.read_text() == content


def test_without_evaluation_data_nothing_is_evaluated_whatever_a_recipe_says(pairs_file, tmp_path):
    arguments = TINY | dict(train_data=str(pairs_file), output_dir=str(tmp_path / "run"))
    folder = train_from_arguments(arguments | dict(eval_data=None, eval_strategy="epoch"))
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    assert not [record for record in history if any(name.startswith("eval_") for name in record)]


def test_pairs_of_a_step_that_is_not_finite_are_named_by_file_and_line(pairs_file, tmp_path):
    pairs_file.write_text("not json\n" + pairs_file.read_text())
    arguments = TINY | dict(train_data=str(pairs_file), output_dir=str(tmp_path / "run"), max_grad_norm=0.0, bf16=False)
    with pytest.raises(NormBTError, match=r"step 2, pairs \[") as raised:
        train_from_arguments(arguments | dict(learning_rate=1e38))
    lines = sorted(int(line) for line in re.findall(r"pairs\.jsonl:(\d+)", str(raised.value)))
    assert lines == list(range(2, 10))  # one batch of all eight pairs; the first line is no pair


LITTLE_ROOM = """
import resource, sys
from normbt_lab.cli import main

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # the system's own limit on a file stands for a full disk
sys.exit(main(sys.argv[1:]))
"""


def test_a_checkpoint_that_finds_no_room_ends_the_run_in_one_line(pairs_file, tmp_path):
    words = f"train --model tiny-random --train-data {pairs_file} --output-dir {tmp_path / 'run'} --no-doctor"
    words += " --save_strategy steps --save_steps 1 --bf16 false"
    run = subprocess.run([sys.executable, "-c", LITTLE_ROOM, *words.split()], capture_output=True, text=True)
    assert run.returncode == 1
    assert re.search(r"^error: cannot write the checkpoint to .*checkpoint-1 \(.+\): free space, ", run.stderr, re.M)
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_found_before_training(pairs_file):
    with pytest.raises(NormBTError, match="cannot write to the output folder /proc .*choose another --output-dir"):
        train_from_arguments(TINY | dict(train_data=str(pairs_file), output_dir="/proc"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rat": 1.0}, "learning_rate"),
        ({"weighting": "cosin"}, "weighting"),
        ({"save_strategy": "sometimes"}, "sometimes"),
        ({"adapter": "lorra"}, "lora"),
        ({"margin_scale": "max1"}, "mean1"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"max_steps": "many"}, "max_steps"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size"),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(pairs_file, tmp_path, changed, message):
    arguments = TINY | dict(train_data=str(pairs_file), output_dir=str(tmp_path / "run")) | changed
    with pytest.raises(UsageError, match=message):
        train_from_arguments(arguments)


def test_a_file_in_place_of_the_output_folder_is_an_error_before_anything_runs(pairs_file, tmp_path):
    with pytest.raises(NormBTError, match="output folder"):
        train_from_arguments(TINY | dict(train_data=str(pairs_file), output_dir=str(pairs_file)))


def test_a_misspelt_margin_scale_is_refused_when_asked_for_also_where_no_pair_has_a_margin():
    with pytest.raises(UsageError, match="margin_scale is mean1 or nothing; got 'meen1'"):
        TrainingRequest([PreferencePair("2 + 2?", "4", "5")], margin_scale="meen1")


def test_margins_of_negative_mean_stop_a_run_before_they_train_with_turned_signs(pairs_file, tmp_path):
    rows = [row | {"margin": -row["margin"]} for row in ROWS]
    pairs_file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    arguments = TINY | dict(train_data=str(pairs_file), output_dir=str(tmp_path / "run"), doctor=False)
    with pytest.raises(NormBTError, match="mean, which has to be above 0; it is -"):
        train_from_arguments(arguments | dict(margin_scale="mean1"))


def test_precision_is_chosen_unless_said(tmp_path):
    chosen = make_config(output_dir=str(tmp_path))
    assert chosen.bf16 == (choose_precision().dtype == torch.bfloat16)
    assert not make_config(output_dir=str(tmp_path), bf16=False).bf16


def test_the_layer_norm_ablation_trains_and_is_not_saved(tmp_path):
    pairs = [PreferencePair(row["prompt"], row["chosen"], row["rejected"]) for row in ROWS]
    config = make_config(output_dir=str(tmp_path), **{k: v for k, v in TINY.items() if k != "model"})
    request = TrainingRequest(pairs, model="tiny-random", adapter="none", head_layer_norm=True, eval_data=pairs)
    run = train_reward_model(request, config)
    assert run.certificate is None
    assert 0 <= run.metrics["eval_accuracy"] <= 1
    assert not (tmp_path / "model.safetensors").exists()


def prepared(tmp_path, rows, **request):
    """What `normbt train` prepares of these rows, before it builds a model."""
    from normbt_lab.backbones import load_tokenizer, resolve_backbone
    from normbt_lab.training import _prepare

    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    config = make_config(output_dir=str(tmp_path), max_length=100)
    tokenizer = load_tokenizer(resolve_backbone("tiny-random"))
    data, _ = _prepare(TrainingRequest(str(path), **request), config, tokenizer, tmp_path)
    return [pair.prompt for pair in data.pairs]


def numbered(count):
    return [{"prompt": f"q{n}", "chosen": f"{n}", "rejected": f"{n + 1}"} for n in range(count)]


def test_train_pairs_counts_good_pairs_and_not_the_over_long_ones_before_them(tmp_path):
    rows = numbered(12)
    for row in rows[:4]:
        row["chosen"] = "too long " * 100
    assert prepared(tmp_path, rows, train_pairs=6) == ["q4", "q5", "q6", "q7", "q8", "q9"]


def test_a_stride_takes_the_pairs_that_reading_with_it_takes_also_beside_a_broken_row(tmp_path):
    rows = numbered(10)
    del rows[1]["chosen"]
    assert prepared(tmp_path, rows, train_stride=3) == ["q0", "q3", "q6", "q9"]


def test_train_pairs_and_stride_choose_which_pairs(pairs_file, tmp_path):
    config = make_config(output_dir=str(tmp_path), **{k: v for k, v in TINY.items() if k != "model"})
    request = TrainingRequest(str(pairs_file), model="tiny-random", train_stride=3, train_pairs=2)
    assert train_reward_model(request, config).pairs == 2
