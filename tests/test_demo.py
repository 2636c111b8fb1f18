"""The demo on a random model: everything a person is promised is there, and a second run uses it again."""

import json

import pytest

from normbt_lab.demo import PROFILES, run_demo
from normbt_lab.errors import UsageError
from normbt_lab.state import NormBTState


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert run_demo(folder, profile="smoke") == 0
    return folder


def test_both_models_lie_there_with_tokenizer_card_and_running_mean(output):
    for name, weighting in (("bt", "uniform"), ("normbt", "normbt")):
        state = NormBTState.read(output / name)
        assert state.settings["weighting"] == weighting
        assert state.running_mean > 0
        for file in ("adapter_model.safetensors", "tokenizer.json", "README.md"):
            assert (output / name / file).is_file()


def test_the_two_runs_differ_in_their_weights_and_in_nothing_before_them(output):
    """Same seed, pairs and order: the first step's distances, measured before any update, are the same numbers."""
    first = [
        json.loads((output / name / "trainer_state.json").read_text())["log_history"][0] for name in ("bt", "normbt")
    ]
    assert first[0]["distance_mean"] == first[1]["distance_mean"]
    assert first[0]["weight_mean"] == 1.0 and first[1]["weight_mean"] > 1.0


def test_the_report_holds_every_figure_and_needs_no_network(output):
    page = (output / "report.html").read_text()
    for heading in (
        "by category",
        "Weight against distance",
        "Reward differences",
        "Accuracy by distance",
        "running mean",
    ):
        assert heading in page
    assert "<link" not in page and "<script src" not in page and "<img" not in page


def test_a_second_run_uses_what_is_there(output, capsys):
    stamps = {path: path.stat().st_mtime_ns for path in output.glob("*/*") if path.is_file()}
    run_demo(output, profile="smoke")
    assert capsys.readouterr().out.count("used again") == 2
    assert {path: path.stat().st_mtime_ns for path in output.glob("*/*") if path.is_file()} == stamps


@pytest.mark.parametrize(("file", "times_reused"), [("demo.json", 1), ("scores.json", 2)])
def test_what_an_interrupted_demo_left_half_written_is_made_again(output, capsys, file, times_reused):
    half = output / "bt" / file
    whole = half.read_text()
    half.write_text(whole[: len(whole) // 2])
    assert run_demo(output, profile="smoke") == 0
    assert capsys.readouterr().out.count("used again") == times_reused
    assert json.loads(half.read_text()) == json.loads(whole)


def test_other_settings_train_again(output, capsys, tmp_path):
    run_demo(output, profile="smoke", pairs=16)
    assert "used again" not in capsys.readouterr().out


def test_an_unknown_profile_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match=", ".join(PROFILES)):
        run_demo(tmp_path, profile="huge")
