"""`normbt score` on real files: what comes out, and what stays when a run is stopped, refused or out of space."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from test_scoring import SETTINGS, make_reward_model, pair_of_words

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation import evaluate_file, evaluate_pairs
from normbt_lab.scoring import score_file, score_pairs
from normbt_lab.state import NormBTState

COMPUTED = (
    "reward_chosen reward_rejected reward_difference preference_probability prediction_error representation_distance "
    "weight tokens_chosen tokens_rejected truncated_chosen truncated_rejected"
).split()


def write_model(folder, running_mean=2.0):
    reward_model = make_reward_model()
    reward_model.model.save_pretrained(folder)
    reward_model.tokenizer.save_pretrained(folder)
    NormBTState(running_mean, settings=SETTINGS).write(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def write_pairs(path, count=10, **extra):
    rows = [pair_of_words(n) for n in range(count)]
    with path.open("w") as file:
        for n, pair in enumerate(rows):
            row = {"id": f"row {n}", "prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            file.write(json.dumps({**row, **extra}) + "\n")
    return str(path)


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs.jsonl")


def records_in(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_there_is_a_record_per_pair_with_its_own_fields_and_the_computed_ones(model, pairs, tmp_path):
    output = tmp_path / "new" / "scored.jsonl"
    assert score_file(model, pairs, str(output)) == 10
    records = records_in(output)
    assert [record["id"] for record in records] == [f"row {n}" for n in range(10)]
    assert list(records[0]) == ["id", "prompt", "chosen", "rejected", *COMPUTED]
    in_memory = list(score_pairs(make_reward_model(), [pair_of_words(n) for n in range(10)]))
    for record, expected in zip(records, in_memory, strict=True):
        assert {name: record[name] for name in COMPUTED} == pytest.approx(expected.computed(), abs=1e-4)
    assert os.listdir(output.parent) == ["scored.jsonl"]


def test_a_computed_field_takes_the_place_of_the_inputs_own_and_says_so(model, tmp_path, caplog):
    pairs = write_pairs(tmp_path / "pairs.jsonl", weight="heavy")
    score_file(model, pairs, str(tmp_path / "out.jsonl"))
    record = records_in(tmp_path / "out.jsonl")[0]
    assert record["weight"] == pytest.approx(2.0 / record["representation_distance"])
    assert "own weight gave way" in caplog.text


def test_a_bad_row_is_left_out_written_to_the_reject_file_and_stops_nothing(model, pairs, tmp_path, caplog):
    with open(pairs, "a") as file:
        file.write('{"prompt": "no responses"}\nnot json\n')
    output, rejects = tmp_path / "out.jsonl", tmp_path / "rejects.jsonl"
    assert score_file(model, pairs, str(output), rejects=str(rejects)) == 10
    assert [record["origin"].rsplit(":")[-1] for record in records_in(rejects)] == ["11", "12"]
    assert "2 rows rejected" in caplog.text


def test_pairs_with_two_equal_sides_are_scored_and_counted_in_one_line(model, pairs, tmp_path, caplog):
    with open(pairs, "a") as file:
        file.write('{"chosen": "the same", "rejected": "the same"}\n' * 2)
    assert score_file(model, pairs, str(tmp_path / "out.jsonl")) == 12
    assert caplog.text.count("at distance 0, two equal sides: 2 of the pairs") == 1


def test_every_line_is_strict_json_whatever_the_input_carries(model, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"chosen": "yes", "rejected": "no", "note": NaN, "umlaut": "ü", "deep": [{"x": Infinity}]}\n')
    score_file(model, str(path), str(tmp_path / "out.jsonl"))
    line = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    record = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (record["note"], record["umlaut"], record["deep"]) == (None, "ü", [{"x": None}])


def test_an_automatic_running_mean_is_the_mean_distance_over_the_input(model, pairs, tmp_path):
    output = tmp_path / "out.jsonl"
    score_file(model, pairs, str(output), running_mean="auto")
    distances = [record["representation_distance"] for record in records_in(output)]
    mean = sum(distances) / len(distances)
    weights = [record["weight"] for record in records_in(output)]
    assert weights == pytest.approx([mean / distance for distance in distances], rel=1e-6)
    assert sorted(os.listdir(tmp_path)) == ["out.jsonl", "pairs.jsonl"]


def test_without_a_running_mean_the_weight_is_null_with_a_notice(pairs, tmp_path, caplog):
    model = write_model(tmp_path / "model", running_mean=None)
    score_file(model, pairs, str(tmp_path / "out.jsonl"))
    assert {record["weight"] for record in records_in(tmp_path / "out.jsonl")} == {None}
    assert "weight is null" in caplog.text and "--running-mean auto" in caplog.text


@pytest.mark.parametrize("running_mean", [None, "auto"])
def test_from_stdin_to_stdout_there_is_nothing_but_records_on_stdout(
    model, pairs, tmp_path, running_mean, capfdbinary, monkeypatch
):
    score_file(model, pairs, str(tmp_path / "out.jsonl"), running_mean=running_mean)
    with open(pairs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert score_file(model, "-", "-", running_mean=running_mean) == 10
    assert capfdbinary.readouterr().out == (tmp_path / "out.jsonl").read_bytes()


def test_a_reader_that_closes_stdout_early_is_named_as_the_cause(model, pairs, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(NormBTError, match="what reads standard output has closed it"):
            score_file(model, pairs, "-")
        monkeypatch.undo()
        stdout.buffer.raw.close()  # what is left in the buffer has nowhere to go


# ---- stopped and resumed ---------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_after_its_last_whole_line(model, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    pairs = write_pairs(tmp_path / "pairs.jsonl", count=2000)
    output, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    code = "import sys; from normbt_lab.scoring import score_file; score_file(*sys.argv[1:])"
    child = subprocess.Popen([sys.executable, "-c", code, model, pairs, str(output)])
    try:
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size > 50_000):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    with partial.open("ab") as file:
        file.write(b'{"id": "half a line')
    whole_lines = partial.read_bytes().count(b"\n")
    assert 0 < whole_lines < 2000 and not output.exists()

    assert score_file(model, pairs, str(output)) == 2000
    assert f"going on after the {whole_lines} records" in caplog.text
    records = records_in(output)
    assert [record["id"] for record in records] == [f"row {n}" for n in range(2000)]
    score_file(model, pairs, str(tmp_path / "in one go.jsonl"))
    expected = [record["reward_difference"] for record in records_in(tmp_path / "in one go.jsonl")]
    assert [record["reward_difference"] for record in records] == pytest.approx(expected, abs=1e-4)
    assert sorted(os.listdir(tmp_path)) == ["in one go.jsonl", "out.jsonl", "pairs.jsonl"]


@contextmanager
def disk_full_after(size):
    """The kernel refuses to let any file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("running_mean", [None, "auto"])
def test_a_full_disk_leaves_the_old_output_and_the_records_so_far(model, tmp_path, running_mean):
    pairs = write_pairs(tmp_path / "pairs.jsonl", count=40)
    output = tmp_path / "out.jsonl"
    output.write_text("the result of yesterday")
    with disk_full_after(5000), pytest.raises(NormBTError, match=r"cannot write to .*out\.jsonl\.partial.*free space"):
        score_file(model, pairs, str(output), running_mean=running_mean)
    assert output.read_text() == "the result of yesterday"
    assert (tmp_path / "out.jsonl.partial").read_bytes().count(b"\n") > 3
    assert score_file(model, pairs, str(output), running_mean=running_mean) == 40
    assert [record["id"] for record in records_in(output)] == [f"row {n}" for n in range(40)]


def test_a_disk_that_fills_while_weights_are_filled_in_loses_nothing(model, tmp_path):
    """Weights make lines longer than null does, so a limit between the two sizes stops the second pass alone."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", count=40)
    output = tmp_path / "out.jsonl"
    score_file(write_model(tmp_path / "no mean", running_mean=None), pairs, str(output))
    size_without_weights = output.stat().st_size
    output.unlink()
    with disk_full_after(size_without_weights + 100), pytest.raises(NormBTError, match="free space"):
        score_file(model, pairs, str(output), running_mean="auto")
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.jsonl.partial", "out.jsonl.partial.json"]
    assert score_file(model, pairs, str(output), running_mean="auto") == 40


@pytest.fixture
def stopped(model, tmp_path):
    """A run that was stopped by a full disk; returns its arguments."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", count=40)
    with disk_full_after(5000), pytest.raises(NormBTError):
        score_file(model, pairs, str(tmp_path / "out.jsonl"))
    return model, pairs, str(tmp_path / "out.jsonl")


def test_a_stopped_run_is_not_continued_with_other_settings(stopped, tmp_path, caplog):
    assert score_file(*stopped, running_mean=7.0) == 40
    assert "starting afresh" in caplog.text
    for record in records_in(tmp_path / "out.jsonl"):
        assert record["weight"] == pytest.approx(7.0 / record["representation_distance"])


def test_a_stopped_run_is_not_continued_on_changed_pairs(stopped, tmp_path, caplog):
    write_pairs(tmp_path / "pairs.jsonl", count=12)
    assert score_file(*stopped) == 12
    assert "starting afresh" in caplog.text


def test_a_stopped_run_is_not_continued_with_a_model_that_was_trained_again(pairs, tmp_path, caplog):
    model = write_model(tmp_path / "model")
    with disk_full_after(1000), pytest.raises(NormBTError):
        score_file(model, pairs, str(tmp_path / "out.jsonl"))
    write_model(tmp_path / "model", running_mean=3.0)
    assert score_file(model, pairs, str(tmp_path / "out.jsonl")) == 10
    assert "starting afresh" in caplog.text


# ---- refused ---------------------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_found_before_the_model_is_loaded(pairs, tmp_path):
    (tmp_path / "a file").touch()
    with pytest.raises(NormBTError, match="cannot write to .*a file.*choose another output"):
        score_file("no/such/model", pairs, str(tmp_path / "a file" / "out.jsonl"))
    with pytest.raises(UsageError, match="is a folder"):
        score_file("no/such/model", pairs, str(tmp_path))


def test_the_input_and_the_reject_file_are_not_overwritten(model, pairs, tmp_path):
    with pytest.raises(UsageError, match="overwrite the input"):
        score_file(model, pairs, pairs)
    with pytest.raises(UsageError, match="overwrite the reject file"):
        score_file(model, pairs, str(tmp_path / "out.jsonl"), rejects=str(tmp_path / "out.jsonl"))


@pytest.mark.parametrize("running_mean", [0.0, -1.0, float("nan"), "automatic"])
def test_a_running_mean_that_means_nothing_is_refused(model, pairs, tmp_path, running_mean):
    with pytest.raises(UsageError, match="running_mean"):
        score_file(model, pairs, str(tmp_path / "out.jsonl"), running_mean=running_mean)


@pytest.mark.parametrize("text", ["", '{"prompt": "no responses"}\n'])
def test_a_run_that_gives_no_record_leaves_no_file(model, tmp_path, text):
    path = tmp_path / "pairs.jsonl"
    path.write_text(text)
    with pytest.raises(NormBTError):
        score_file(model, str(path), str(tmp_path / "out.jsonl"))
    with pytest.raises(NormBTError):
        score_file(str(tmp_path / "no model"), str(path), str(tmp_path / "out.jsonl"))
    assert os.listdir(tmp_path) == ["pairs.jsonl"]


def test_evaluating_a_file_is_evaluating_its_scored_pairs(model, pairs, caplog):
    with open(pairs, "a") as file:
        file.write("not json\n")
    expected = evaluate_pairs(score_pairs(make_reward_model(), [pair_of_words(n) for n in range(10)]))
    found = evaluate_file(model, pairs, progress=False)
    assert found.overall == expected.overall
    assert found.to_json()["layout"] == "shared_prefix"
    assert evaluate_file(model, pairs, layout="padded", progress=False).layout == "padded"
    assert "1 row rejected" in caplog.text
