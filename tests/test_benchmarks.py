"""Benchmarks end to end on a tiny model: rewards, protocol, files; and that batching and padding decide nothing."""

import dataclasses
import hashlib
import json
import math
import re

import pyarrow
import pytest
import torch
from benchmark_rows import answer, judgebench_row, rewardbench2_row, rewardbench_row, rm_bench_row, write_jsonl
from datasets import Dataset, DatasetDict, load_dataset
from pyarrow import parquet
from small_tokenizers import STRICT, byte_level
from transformers import LlamaConfig, LlamaForSequenceClassification

from normbt_lab.cli import DONE, WRONG_USE, main
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.benchmarks import BENCHMARKS, BenchmarkItem, evaluate_benchmark, score_items
from normbt_lab.evaluation.benchmarks.rewardbench import PRIOR_SETS, SUBSET_WEIGHTS
from normbt_lab.model import RewardModel

ROWS = {
    "rewardbench": [rewardbench_row(subset, n) for n, subset in enumerate([*SUBSET_WEIGHTS, *SUBSET_WEIGHTS])],
    "rewardbench2": [
        *(rewardbench2_row(name, n) for n, name in enumerate(["Factuality", "Precise IF", "Math", "Safety", "Focus"])),
        *(
            rewardbench2_row("Ties", 9 + n, chosen=chosen, wrong=2, id=f"{kind}:{n}")
            for n in range(6)
            for kind, chosen in (("ref", 1), ("tied", 3))
        ),
    ],
    "rm-bench": [
        rm_bench_row(domain, n)
        for n, domain in enumerate(["chat", "math", "code", "safety-refuse", "safety-response", "chat", "math"])
    ],
    "judgebench": [
        judgebench_row(source, ("A>B", "B>A")[n % 2], n)
        for n, source in enumerate(["mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench"] * 5)
    ],
}


def make_reward_model(tokenizer=None, dtype=torch.float32) -> RewardModel:
    tokenizer = tokenizer or byte_level()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        num_labels=1,
        initializer_range=0.3,  # rewards of a size that shows errors
        pad_token_id=tokenizer.pad_token_id,
    )
    return RewardModel(LlamaForSequenceClassification(config).eval().to(dtype), tokenizer, "me/tiny")


@pytest.fixture(scope="module")
def reward_model():
    return make_reward_model()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmarks")
    return {name: str(write_jsonl(folder / f"{name}.jsonl", rows)) for name, rows in ROWS.items()}


def reward_alone(reward_model, prompt, response):
    """One response by itself through the stock model, without padding."""
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    ids = reward_model.tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
    with torch.no_grad():
        return reward_model.model(input_ids=ids).logits.item()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_rewards_are_those_of_each_response_alone(name, reward_model, files):
    for one in evaluate_benchmark(reward_model, name, files[name]).items:
        expected = [reward_alone(reward_model, one.item.prompt, response) for response in one.item.responses]
        assert list(one.rewards) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_batch_size_padding_side_and_layout_decide_nothing(name, files):
    """Batches of 1, 2, 7 and 32, the tokenizer set to pad on either side, both layouts: every comparison stays."""

    def decisions(batch_size, padding_side, layout):
        tokenizer = byte_level()
        tokenizer.padding_side = padding_side
        model = make_reward_model(tokenizer)
        result = evaluate_benchmark(model, name, files[name], batch_size=batch_size, layout=layout, progress=False)
        assert result.protocol.layout == layout
        compared = [[(a > b) - (a < b) for a in one.rewards for b in one.rewards] for one in result.items]
        return compared, [value for score in result.scores for value in score.credit]

    compared, credits = decisions(1, "right", "padded")
    for batch_size, padding_side in ((2, "right"), (7, "left"), (32, "left"), (32, "right")):
        layout = "padded" if (batch_size, padding_side) == (32, "right") else "shared_prefix"
        found = decisions(batch_size, padding_side, layout)
        assert found[0] == compared
        # Shares of decisions; only the margin term of RewardBench 2's Ties carries the rewards' own rounding on.
        assert found[1] == pytest.approx(credits, abs=1e-6)


def test_batch_mates_decide_nothing(reward_model):
    """The same items alone, reversed, and among others: rewards within float32 rounding, decisions equal."""
    items = [BENCHMARKS["rewardbench2"].read(row, None) for row in ROWS["rewardbench2"]]
    together = score_items(reward_model, items, batch_size=32)
    reversed_ = score_items(reward_model, items[::-1], batch_size=5)[::-1]
    for item, one, other in zip(items, together, reversed_, strict=True):
        alone = score_items(reward_model, [item])[0]
        assert one.rewards == pytest.approx(alone.rewards, abs=1e-5)
        assert one.rewards == pytest.approx(other.rewards, abs=1e-5)
        assert sorted(range(len(one.rewards)), key=one.rewards.__getitem__) == sorted(
            range(len(alone.rewards)), key=alone.rewards.__getitem__
        )


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_equal_responses_tie_exactly_wherever_they_stand(reward_model, batch_size):
    """The same text beside a long and a short one: padded otherwise, and float32 rounding must not rank it."""
    items = [
        BenchmarkItem(str(n), "chat", f"q{n}", (answer(n), "no " * (20 + 3 * n)), (answer(n), "no")) for n in range(30)
    ]
    for one in score_items(reward_model, items, batch_size=batch_size):
        first, long, same, short = one.rewards
        assert first == same and len({first, long, short}) == 3


def test_responses_that_differ_only_beyond_the_cut_tie(reward_model):
    item = BenchmarkItem("1", "chat", "why?", ("yes " * 40 + "good",), ("yes " * 40 + "bad", "no", "yes " * 40))
    (scored,) = score_items(reward_model, [item], max_length=30)
    assert scored.rewards[0] == scored.rewards[1] == scored.rewards[3] != scored.rewards[2]
    assert list(scored.truncated) == [True, True, False, True]


def test_bfloat16_is_recorded_in_the_protocol(files):
    """bfloat16 keeps 8 bits, so this is where exact ties come from."""
    result = evaluate_benchmark(make_reward_model(dtype=torch.bfloat16), "judgebench", files["judgebench"])
    assert result.protocol.dtype == "bfloat16"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_json_is_strict_and_complete(name, reward_model, files):
    result = evaluate_benchmark(reward_model, name, files[name])
    found = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert list(found) == [*("benchmark", "rule", "headline", "scores", "details", "notes", "calibration", "protocol")]
    for score in found["scores"].values():
        assert list(score) == [
            *("level", "items", "score", "interval", "strict", "half", "tie_rate", "length_baseline")
        ]
    assert found["headline"] == result.headline.name == list(found["scores"])[0]
    assert set(found["protocol"]) == {field.name for field in dataclasses.fields(result.protocol)}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_table_has_a_line_for_every_score_and_says_what_is_missing(name, reward_model, files):
    result = evaluate_benchmark(reward_model, name, files[name])
    table = result.table()
    assert all(f"  {score.name}  " in f"  {table}" or score.name in table for score in result.scores)
    assert f"{len(ROWS[name])} items, where the published {BENCHMARKS[name].title} has" in table
    assert "float32 on" in table and "Brier" in table


def test_an_unknown_score_is_answered_with_those_there_are(reward_model, files):
    result = evaluate_benchmark(reward_model, "judgebench", files["judgebench"])
    assert result.score("overall") is result.headline
    with pytest.raises(KeyError, match="no score 'Chat' in JudgeBench: it has overall, Knowledge"):
        result.score("Chat")


def test_the_calibration_is_over_every_comparison(reward_model, files):
    """RM-Bench compares 3 * 3 responses an item; Brier is the mean squared prediction error."""
    result = evaluate_benchmark(reward_model, "rm-bench", files["rm-bench"])
    errors = [
        1 / (1 + math.exp(right - wrong))
        for one in result.items
        for right in one.rewards[:3]
        for wrong in one.rewards[3:]
    ]
    assert result.calibration.pairs == len(errors) == 9 * len(ROWS["rm-bench"])
    assert result.calibration.brier == pytest.approx(sum(error**2 for error in errors) / len(errors))


def test_jsonl_parquet_and_a_saved_data_set_are_one_benchmark(reward_model, files, tmp_path):
    """Same rows, same hash of the rows, same scores; the file's own hash is that of its bytes."""
    rows = ROWS["rm-bench"]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(str(tmp_path / "saved"))
    results = [
        evaluate_benchmark(reward_model, "rm-bench", place)
        for place in (files["rm-bench"], str(tmp_path / "rows.parquet"), str(tmp_path / "saved"))
    ]
    assert len({result.protocol.rows_sha256 for result in results}) == 1
    assert len({json.dumps([score.to_json() for score in result.scores]) for result in results}) == 1
    with open(files["rm-bench"], "rb") as stream:
        assert results[0].protocol.file_sha256 == hashlib.sha256(stream.read()).hexdigest()
    assert results[2].protocol.file_sha256 is None
    assert results[0].protocol.source == "rm-bench.jsonl"


def test_prior_sets_come_from_a_second_source(reward_model, files, tmp_path):
    prior = write_jsonl(
        tmp_path / "prior.jsonl",
        [rewardbench_row(name, n, prompt=[{"role": "user", "content": "hi"}]) for n, name in enumerate(PRIOR_SETS)],
    )
    result = evaluate_benchmark(reward_model, "rewardbench", files["rewardbench"], prior_sets=str(prior))
    average, section = result.score("average").credit.score, result.score("Prior Sets").credit.score
    assert result.score("leaderboard").credit.score == pytest.approx((8 * average + section) / 9)
    assert result.score("average").items == len(ROWS["rewardbench"])
    with pytest.raises(UsageError, match="belong to rewardbench"):
        evaluate_benchmark(reward_model, "rm-bench", files["rm-bench"], prior_sets=str(prior))


def test_rows_that_cannot_be_scored_are_counted_noted_and_kept_out(tmp_path):
    """A row of another subset, and one whose prompt ends in the assistant's turn, which this template refuses."""
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    rows = [rewardbench_row("hep-go", 1), rewardbench_row("poetry", 2), rewardbench_row("hep-go", 3, prompt=turns)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    rejects = tmp_path / "rejects.jsonl"
    model = make_reward_model(byte_level(STRICT))
    result = evaluate_benchmark(model, "rewardbench", str(path), rejects=str(rejects))
    assert [one.item.id for one in result.items] == ["1"]
    assert result.protocol.rejected == 2 and "2 rows rejected, which no score contains" in result.notes
    assert [json.loads(line)["row"]["id"] for line in rejects.read_text().splitlines()] == [2, 3]


def test_an_item_is_scored_whole_or_not_at_all():
    """One of four responses ends in the pad token, where the reward would be read elsewhere."""
    tokenizer = byte_level(chat_template=None)
    tokenizer.eos_token = "<|pad|>"  # so that no end-of-sequence token comes after it
    item = BenchmarkItem("1", "Math", "q ", ("a",), ("b", "c", "d<|pad|>"))
    log = RejectLog()
    assert score_items(make_reward_model(tokenizer), [item], rejects=log) == []
    assert log.total


def test_the_wrong_file_is_one_line_that_says_so(reward_model, files):
    with pytest.raises(NormBTError, match="has no row of RM-Bench.*no 'domain'.*THU-KEG/RM-Bench.*--benchmark"):
        evaluate_benchmark(reward_model, "rm-bench", files["rewardbench"])


def test_an_unknown_benchmark_lists_the_known_ones(reward_model):
    with pytest.raises(UsageError, match="'rewardbench3'.*rewardbench, rewardbench2, rm-bench, judgebench"):
        evaluate_benchmark(reward_model, "rewardbench3")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_files_are_written_with_the_result(name, reward_model, files, tmp_path):
    result = evaluate_benchmark(reward_model, name, files[name], output=str(tmp_path))
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(json.dumps(result.to_json()))
    own = [path for path in tmp_path.rglob("*.json*") if path.name != "result.json"]
    assert own and all("tiny" in path.name for path in own)


def test_rewardbench_s_tools_read_the_files(reward_model, files, tmp_path):
    """Its `load_results` takes eval-set/OWNER/NAME.json through `datasets`; one row per model, a column per subset."""
    result = evaluate_benchmark(reward_model, "rewardbench", files["rewardbench"], output=str(tmp_path))
    path = str(tmp_path / "eval-set" / "me" / "tiny.json")
    (row,) = load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert (row["model"], row["model_type"], row["chat_template"]) == ("me/tiny", "Seq. Classifier", "tokenizer")
    assert {name: row[name] for name in SUBSET_WEIGHTS} == {
        name: result.score(name).credit.strict for name in SUBSET_WEIGHTS
    }
    scores = json.loads((tmp_path / "eval-set-scores" / "me" / "tiny.json").read_text())
    first = ROWS["rewardbench"][0]
    assert scores["text_chosen"][0] == (
        f"<|im_start|>user\n{first['prompt']}<|im_end|>\n<|im_start|>assistant\n{first['chosen']}<|im_end|>\n"
    )
    assert len({len(column) for column in scores.values() if isinstance(column, list)}) == 1


# the command


def test_the_command_line_knows_every_benchmark(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "{" + ",".join(BENCHMARKS) + "}" in re.sub(r"\s", "", capsys.readouterr().out)


def test_the_command_prints_the_result_and_writes_the_files(reward_model, files, tmp_path, capsys):
    folder = tmp_path / "model"
    reward_model.model.save_pretrained(folder)
    reward_model.tokenizer.save_pretrained(folder)
    command = ["evaluate", "--model", str(folder), "--benchmark", "rewardbench2", "--input", files["rewardbench2"]]
    assert main([*command, "--json", "--output", str(tmp_path / "out"), "--batch-size", "3"]) == DONE
    printed = json.loads(capsys.readouterr().out)
    expected = evaluate_benchmark(reward_model, "rewardbench2", files["rewardbench2"]).to_json()
    assert printed["scores"]["average"]["score"] == pytest.approx(expected["scores"]["average"]["score"], abs=1e-6)
    assert (printed["protocol"]["batch_size"], printed["protocol"]["dtype"]) == (3, "float32")
    assert (tmp_path / "out" / "eval-set" / "local" / "model.json").is_file()
    assert main(command) == DONE
    assert capsys.readouterr().out.startswith(f"RewardBench 2, {folder}\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "needs --input, or --benchmark"),
        (["--input", "pairs.jsonl", "--output", "out"], "--output goes with --benchmark"),
        (["--input", "pairs.jsonl", "--prior-sets", "rows"], "--prior-sets goes with --benchmark"),
        (["--benchmark", "rm-bench", "--prior-sets", "rows"], "belong to rewardbench"),
        (["--benchmark", "rewardbench3"], "invalid choice"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys):
    assert main(["evaluate", "--model", "m", *arguments]) == WRONG_USE
    assert message in capsys.readouterr().err
