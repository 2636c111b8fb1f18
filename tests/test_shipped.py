"""Shipped reward models: what they may learn from, how they are made, packed, checked and loaded by name."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from normbt_lab.cli import main as normbt
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.model import load_reward_model
from normbt_lab.scoring import score_pairs
from normbt_lab.shipped import registry, shipped_folder
from normbt_lab.shipped.make import main as make
from normbt_lab.shipped.mix import PERMITTED_SOURCES, make_mix, sample_real
from normbt_lab.shipped.pack import pack

SOURCES = [*PERMITTED_SOURCES, "someone/non-commercial"]


@pytest.fixture(scope="module")
def real_file(tmp_path_factory):
    """Eight pairs of each source, permitted or not, the second of each far too long."""
    path = tmp_path_factory.mktemp("real") / "pairs.jsonl"
    rows = [
        {
            "prompt": f"Question {i} of {source}",
            "chosen": "Yes. " * (400 if i == 1 else 1),
            "rejected": f"No {i}.",
            "source": source,
            "subset": "any",
            "score_chosen": 1.0,
            "score_rejected": 0.0,
        }
        for source in SOURCES
        for i in range(8)
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def run(real_file, tmp_path_factory):
    """A finished run on a random backbone: 12 bundled and 20 real pairs, so two steps."""
    folder = tmp_path_factory.mktemp("runs") / "normbt"
    assert make(_arguments(real_file, folder)) == 0
    return folder


def _arguments(real_file, folder, *more):
    size = ["--backbone", "tiny-random", "--bundled", "12", "--real", "20"]
    return ["--weighting", "normbt", "--real-pairs", real_file, "--output", str(folder), *size, *more]


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """A folder of shipped models of its own, and a name for a model on the random backbone."""
    monkeypatch.setattr(registry, "ADAPTER_FOLDERS", tmp_path)
    monkeypatch.setitem(registry.SHIPPED, "tiny-normbt", registry.ShippedModel("tiny-random", "normbt"))
    return tmp_path


# the pairs


def test_no_pair_of_a_source_outside_the_list_is_trained_on(real_file, tokenizer):
    mix = make_mix([real_file], bundled=5, real=63, tokenizer=tokenizer)
    assert "someone/non-commercial" not in mix.sources
    assert "non-commercial" not in mix.lines
    # nine sources with seven pairs each that are short enough
    assert list(mix.sources.values()) == [5] + [7] * 9


def test_sources_are_balanced_to_within_one_pair(real_file, tokenizer):
    sampled = sample_real([real_file], 23, tokenizer)
    counts = [sum(pair.row["source"] == source for pair in sampled) for source in PERMITTED_SOURCES]
    assert sorted(counts) == [2, 2, 2, 2, 3, 3, 3, 3, 3]


def test_the_sample_depends_on_the_seed_and_not_on_the_order_of_the_file(real_file, tokenizer, tmp_path):
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(Path(real_file).read_text().splitlines())) + "\n")
    first = sample_real([real_file], 20, tokenizer)
    assert sample_real([str(turned)], 20, tokenizer) == [_elsewhere(pair, turned) for pair in first]
    assert {pair.prompt for pair in sample_real([real_file], 20, tokenizer, seed=1)} != {pair.prompt for pair in first}


def _elsewhere(pair, path):
    lines = path.read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if json.loads(text)["prompt"] == pair.prompt)
    return PreferencePair(pair.prompt, pair.chosen, pair.rejected, pair.margin, pair.category, f"{path}:{line}")


def test_asking_for_more_real_pairs_than_there_are_says_how_many_there_are(real_file, tokenizer):
    with pytest.raises(NormBTError, match="64 real pairs were asked for; the files hold 63"):
        sample_real([real_file], 64, tokenizer)


def test_a_file_without_permitted_sources_is_refused_with_the_list(tmp_path, tokenizer):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "1 + 1?", "chosen": "2", "rejected": "3"}) + "\n")
    with pytest.raises(NormBTError, match="anthropics/hh-rlhf"):
        sample_real([str(path)], 1, tokenizer)


def test_the_plan_counts_the_tokens_of_both_sides(tokenizer):
    mix = make_mix([], bundled=3, real=0, tokenizer=tokenizer)
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": pair.prompt}, {"role": "assistant", "content": side}], tokenize=False
        )
        for pair in load_bundled_pairs("train", limit=3)
        for side in (pair.chosen, pair.rejected)
    ]
    tokens = sum(len(tokenizer(text)["input_ids"]) for text in texts)
    assert f"both sides: {tokens:,} without padding" in mix.plan()


# a run


def test_a_run_leaves_a_model_a_record_and_its_accuracies(run):
    made = json.loads((run / "made.json").read_text())
    assert made["sources"]["normbt-lab bundled pairs"] == 12
    assert sum(made["sources"].values()) == 32
    results = json.loads((run / "evaluation.json").read_text())
    assert {name: result["pairs"] for name, result in results.items()} == {
        "bundled:test": 400,
        "bundled:test_unseen_templates": 300,
    }
    assert load_reward_model(str(run)).state.global_step == 2  # 32 pairs, 16 a step


def test_the_other_objective_sees_the_same_pairs_in_the_same_order(run, real_file, tmp_path, monkeypatch):
    monkeypatch.setattr("normbt_lab.shipped.make.TESTED_ON", ())
    arguments = _arguments(real_file, tmp_path / "bt")
    arguments[1] = "uniform"
    assert make(arguments) == 0
    assert (tmp_path / "bt" / "train.jsonl").read_bytes() == (run / "train.jsonl").read_bytes()
    # The first step is computed before anything was learned: same pairs, same head, so the same distances to the bit.
    normbt, bt = (
        json.loads((folder / "trainer_state.json").read_text())["log_history"][0] for folder in (run, tmp_path / "bt")
    )
    assert normbt["distance_mean"] == bt["distance_mean"]
    assert bt["weight_mean"] == 1.0 and normbt["weight_mean"] > 1.0


def test_a_stopped_run_goes_on_and_ends_where_an_undisturbed_one_does(real_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("normbt_lab.shipped.make.TESTED_ON", ())
    arguments = _arguments(real_file, tmp_path / "run", "--steps", "12")
    assert make(arguments) == 0
    undisturbed = load_file(tmp_path / "run" / "adapter_model.safetensors")
    for name in ("normbt_state.json", "adapter_model.safetensors", "checkpoint-12/normbt_state.json"):
        (tmp_path / "run" / name).unlink()
    assert make(arguments) == 0
    assert "Going on from" in capsys.readouterr().out
    resumed = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in undisturbed.items())


def test_a_finished_run_is_not_trained_again(run, real_file, capsys):
    written = (run / "adapter_model.safetensors").stat().st_mtime_ns
    assert make(_arguments(real_file, run)) == 0
    assert "not trained again" in capsys.readouterr().out
    assert (run / "adapter_model.safetensors").stat().st_mtime_ns == written


def test_a_folder_with_another_run_is_refused_by_the_setting_that_differs(run, real_file, capsys):
    assert make(_arguments(real_file, run, "--learning-rate", "0.5")) == 2
    assert "other learning_rate" in capsys.readouterr().err


# packing and loading


def test_a_packed_run_loads_by_name_and_gives_the_rewards_of_the_run(run, shipped):
    pack(run, "tiny-normbt")
    pairs = load_bundled_pairs("test", limit=20)
    ours = list(score_pairs(load_reward_model("tiny-normbt"), pairs))
    expected = list(score_pairs(load_reward_model(str(run)), pairs))
    assert [pair.reward_chosen for pair in ours] == pytest.approx([p.reward_chosen for p in expected], abs=1e-3)
    assert [pair.tokens_chosen for pair in ours] == [pair.tokens_chosen for pair in expected]
    assert [pair.weight for pair in ours] == pytest.approx([pair.weight for pair in expected], rel=1e-2)


def test_commands_take_the_name_in_the_place_of_a_path(run, shipped, tmp_path, capsys):
    pack(run, "tiny-normbt")
    capsys.readouterr()
    pairs = tmp_path / "pairs.jsonl.gz"
    row = {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "category": "Reasoning"}
    pairs.write_bytes(gzip.compress("\n".join([json.dumps(row)] * 6).encode()))
    given = ["--model", "tiny-normbt", "--input", str(pairs)]
    assert normbt(["evaluate", *given, "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert (evaluation["pairs"], list(evaluation["categories"])) == (6, ["reasoning"])
    assert normbt(["compare", *given, "--baseline", str(run), "--json"]) == 0
    assert normbt(["export", "--model", "tiny-normbt", "--merge", "--output", str(tmp_path / "plain")]) == 0
    assert (tmp_path / "plain" / "tokenizer.json").is_file()  # the backbone's: the packed model has none
    assert "a small reward model" in (tmp_path / "plain" / "README.md").read_text().lower()  # its own card
    capsys.readouterr()
    assert normbt(["doctor", *given]) == 0
    assert "the model" in capsys.readouterr().out  # opened and examined, not taken for a backbone
    pairs.write_bytes(gzip.compress("\n".join([json.dumps(row)] * 20).encode()))
    assert normbt(["audit", *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["has_trained_head"]


def test_what_is_packed_is_small_and_holds_no_training_text_and_no_path(run, shipped):
    folder = pack(run, "tiny-normbt")
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "README.md",
        "SHA256SUMS",
        "adapter_config.json",
        "adapter_model.safetensors",
        "normbt_state.json",
    }
    readable = "".join(path.read_text() for path in folder.iterdir() if path.suffix != ".safetensors")
    assert "Question" not in readable  # every real prompt has this word
    assert str(run.parent) not in readable
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny-random"
    written, packed = (path / "adapter_model.safetensors" for path in (run, folder))
    assert packed.stat().st_size < 0.6 * written.stat().st_size


def test_the_card_says_sources_licences_settings_and_intervals(run, shipped):
    card = (pack(run, "tiny-normbt") / "README.md").read_text()
    result = json.loads((run / "evaluation.json").read_text())["bundled:test"]
    assert f"| all | 400 | {100 * result['accuracy']['strict']:.1f} % |" in card
    # 20 pairs of nine sources: the first two of the list give a third one.
    assert "| openai/grade-school-math | 3 | MIT |" in card
    assert "--weighting normbt --backbone tiny-random --bundled 12 --real 20 --real-pairs FILE" in card
    assert "| learning_rate | 0.001 |" in card and "| seed | 0 |" in card
    assert json.loads((run / "made.json").read_text())["sha256"] in card


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "normbt_state.json"])
def test_a_damaged_file_is_named_before_anything_is_loaded(run, shipped, file):
    folder = pack(run, "tiny-normbt")
    damaged = bytearray((folder / file).read_bytes())
    damaged[-3] ^= 1
    (folder / file).write_bytes(bytes(damaged))
    with pytest.raises(NormBTError, match=f"{file} of the shipped model tiny-normbt .* damaged"):
        load_reward_model("tiny-normbt")


def test_a_run_is_not_packed_under_the_name_of_another_objective(run, shipped):
    with pytest.raises(UsageError, match="smollm2-135m-bt is uniform on smollm2-135m; .* is normbt on tiny-random"):
        pack(run, "smollm2-135m-bt")
    assert not (registry.ADAPTER_FOLDERS / "smollm2-135m-bt").exists()


def test_a_run_that_is_not_finished_is_not_packed(shipped, tmp_path):
    with pytest.raises(UsageError, match="made.json"):
        pack(tmp_path, "tiny-normbt")


def test_an_unknown_name_is_answered_with_the_names_there_are():
    with pytest.raises(NormBTError, match="smollm2-135m-bt, smollm2-135m-normbt"):
        load_reward_model("smollm2-135m-dpo")
    with pytest.raises(UsageError, match="smollm2-135m-bt, smollm2-135m-normbt"):
        shipped_folder("smollm2-135m-dpo")


def test_a_copy_without_the_files_says_so(shipped):
    with pytest.raises(NormBTError, match="not in this copy"):
        load_reward_model("smollm2-135m-bt")


# the models themselves


@pytest.mark.parametrize("name", registry.SHIPPED)
def test_a_shipped_model_loads_and_ranks_bundled_pairs_better_than_chance(name):
    pairs = load_bundled_pairs("test", category="chat", limit=24)
    scored = list(score_pairs(load_reward_model(name), pairs))
    # 18 or more of 24 right by guessing: 1 %
    assert sum(pair.is_correct for pair in scored) >= 18
    assert all(pair.weight is not None for pair in scored)


@pytest.mark.parametrize("name", registry.SHIPPED)
def test_a_shipped_model_is_a_few_megabytes_and_has_a_card(name):
    folder = shipped_folder(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6e6
    assert f"# {name}" in (folder / "README.md").read_text()
