"""The command line as its users meet it: exit codes, one readable line per error, results alone on stdout."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from normbt_lab.cli import DONE, FAILURE, WRONG_USE, _next_step, main
from normbt_lab.recipes import load_recipe

COMMANDS = [
    "demo",
    "train",
    "score",
    "evaluate",
    "audit",
    "compare",
    "best-of-n",
    "experiment",
    "doctor",
    "export",
    "app",
]


def normbt(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as a shell would."""
    command = [sys.executable, "-m", "normbt_lab.cli", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a failed command leaves on stderr; nothing may stand on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    return err.removeprefix("error: ").rstrip("\n")


# help and version


@pytest.mark.parametrize("command", [[], *[[command] for command in COMMANDS]])
def test_help_answers_in_under_half_a_second(command: list[str]) -> None:
    """The best of three, because the machine may be busy; it takes about 0.06 s."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        result = normbt(*command, "--help")
        seconds.append(time.perf_counter() - started)
        assert result.returncode == DONE
        assert result.stdout.startswith("usage: normbt" if not command else f"usage: normbt {command[0]}")
    assert min(seconds) < 0.5


@pytest.mark.parametrize("arguments", [["train", "--help"], ["train", "--list-recipes"], ["score", "--modle", "x"]])
def test_no_heavy_library_is_imported_before_a_command_runs(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from normbt_lab.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'numpy', 'gradio', 'plotly'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))\n"
    )
    result = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
    assert result.stdout.endswith("heavy: []\n"), result.stdout + result.stderr


def test_version_is_the_installed_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code in (None, DONE)
    assert capsys.readouterr().out == f"normbt {version('normbt-lab')}\n"


def test_every_bundled_recipe_is_listed_with_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list-recipes"]) == DONE
    lines = capsys.readouterr().out.splitlines()
    folder = Path(__file__).parent.parent / "normbt_lab" / "recipes"
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in folder.glob("*.yaml"))
    assert all(len(line.split()) > 4 for line in lines)


# wrong use


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evalute"], "invalid choice: 'evalute'"),
        (["score", "--model", "m", "--input", "i"], "--output"),
        (["score", "--model", "m", "--input", "i", "--output", "o", "--bathc-size", "2"], "did you mean --batch-size?"),
        (["evaluate", "--model", "m", "--input", "i", "more"], "unknown argument: more"),
        (["score", "--model", "m", "--input", "i", "--output", "o", "--running-mean", "big"], "a number, got 'big'"),
        (["score", "--model", "m", "--input", "i", "--output", "o", "--running-mean", "nan"], "a number, got 'nan'"),
        (["evaluate", "--model", "m", "--input", "i", "--batch-size", "0"], "above 0, got '0'"),
        (["train", "--objective", "hinge"], "invalid choice: 'hinge'"),
        (["train", "--config", "cpu-lora"], "--output-dir"),
        (["train", "--config", "cpu-lora", "1e-4"], "'1e-4' belongs to no argument"),
        (["train", "--config", "no-such-recipe"], "no recipe 'no-such-recipe'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == WRONG_USE
    assert message in error_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"train_data": "mine.csv", "eval_data": "my held-out.csv"}, "--input 'my held-out.csv'"),
        ({"train_data": "mine.csv"}, "held-out pairs"),
        ({"train_data": "mine.csv", "eval_data": "bundled:validation"}, "held-out pairs"),  # as in the CPU recipes
        ({"train_data": "bundled", "eval_data": "bundled:validation"}, "--input bundled:test"),
        ({"train_data": "bundled", "eval_data": None}, "--input bundled:test"),
    ],
)
def test_the_next_step_after_training_is_on_pairs_of_the_same_kind(arguments: dict[str, Any], expected: str) -> None:
    step = _next_step(Path("run"), arguments)
    assert expected in step
    assert ("bundled" in step) == (arguments["train_data"] == "bundled")


def test_without_a_command_the_help_is_shown_as_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == WRONG_USE
    out, err = capsys.readouterr()
    assert out == ""
    assert all(command in err for command in COMMANDS)


def test_a_misspelt_trainer_argument_is_answered_with_the_nearest_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--config", "cpu-lora", "--output-dir", str(tmp_path / "run"), "--learning_rat", "1e-4"]
    assert main(arguments) == WRONG_USE
    assert "did you mean learning_rate?" in error_line(capsys)
    assert not (tmp_path / "run").exists()


def test_a_word_that_abbreviates_two_arguments_is_none_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    """--mod is no --model: TRL has arguments that begin like ours."""
    assert main(["evaluate", "--mod", "m", "--input", "i"]) == WRONG_USE
    assert "--model" in error_line(capsys)


# failure


def test_a_model_that_is_no_folder_and_no_name_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}), encoding="utf-8")
    assert main(["evaluate", "--model", str(tmp_path / "nothing-here"), "--input", str(pairs)]) == WRONG_USE
    assert "nothing-here" in error_line(capsys)


def test_a_file_without_a_good_pair_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("not json", encoding="utf-8")
    arguments = ["train", "--model", "tiny-random", "--train-data", str(pairs), "--output-dir", str(tmp_path / "run")]
    assert main(arguments) == FAILURE
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "pairs.jsonl" in last


def test_debug_shows_the_traceback_and_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "--model", str(tmp_path / "nothing-here"), "--input", "-", "--debug"]
    assert main(arguments) == WRONG_USE
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("error: ")


def test_a_recipe_that_cannot_be_read_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "run.yaml"
    recipe.write_text("learning_rate: [", encoding="utf-8")
    assert main(["train", "--config", str(recipe)]) == WRONG_USE
    assert "run.yaml is not valid YAML" in error_line(capsys)


def test_an_interrupt_ends_with_130_and_without_a_traceback() -> None:
    """Ctrl-C while the command waits for a recipe on a pipe that nobody writes to."""
    program = (
        "import signal, sys\n"
        "from normbt_lab.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs start with Ctrl-C ignored
        "print('ready', flush=True)\n"
        "sys.exit(main(['train', '--config', '/dev/stdin']))\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == "interrupted\n"


# the real thing, on a random two-layer model


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight sums with a right and a wrong answer."""
    path = tmp_path_factory.mktemp("cli") / "pairs.jsonl"
    rows = [{"id": i, "prompt": f"{i} + 1?", "chosen": str(i + 1), "rejected": str(i)} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model from `normbt train`: the recipe's arguments, TRL's names in both spellings, our own."""
    folder = tmp_path_factory.mktemp("cli") / "model"
    result = normbt(
        *("train", "--config", "cpu-lora", "--model", "tiny-random"),
        *("--train-data", str(pairs_file), "--eval-data", str(pairs_file), "--output_dir", str(folder)),
        *("--max_steps", "2", "--per-device-train-batch-size=4", "--weighting", "normbt"),
    )
    assert result.returncode == DONE, result.stderr
    assert f"normbt evaluate --model {folder} --input {pairs_file}\n" in result.stdout
    return folder


def test_the_command_line_wins_over_the_recipe_and_the_recipe_over_the_defaults(trained: Path) -> None:
    """The card lists what the run used: --max_steps 2 and batches of 4 as given, cpu-lora's LoRA and schedule."""
    card = (trained / "README.md").read_text(encoding="utf-8")
    used = dict(re.findall(r"^\| (\w+) \| (.+) \|$", card, flags=re.MULTILINE))
    assert (used["max_steps"], used["per_device_train_batch_size"]) == ("2", "4")
    assert (used["adapter"], float(used["learning_rate"])) == ("lora", load_recipe("cpu-lora")["learning_rate"])
    assert json.loads((trained / "normbt_state.json").read_text(encoding="utf-8"))["global_step"] == 2


def test_scores_go_to_stdout_one_record_per_pair_in_order(trained: Path, pairs_file: Path) -> None:
    result = normbt("score", "--model", str(trained), "--input", "-", "--output", "-", stdin=pairs_file.read_text())
    assert result.returncode == DONE, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["id"] for record in records] == list(range(8))
    for record in records:
        difference = record["reward_chosen"] - record["reward_rejected"]
        assert record["reward_difference"] == pytest.approx(difference, abs=1e-6)
        assert record["representation_distance"] >= 0


def test_evaluation_prints_one_json_object_whose_accuracy_is_that_of_the_scores(
    trained: Path, pairs_file: Path, tmp_path: Path
) -> None:
    scores = tmp_path / "scores.jsonl"
    scored = normbt("score", "--model", str(trained), "--input", str(pairs_file), "--output", str(scores))
    assert scored.returncode == DONE, scored.stderr
    differences = [json.loads(line)["reward_difference"] for line in scores.read_text().splitlines()]
    result = normbt("evaluate", "--model", str(trained), "--input", str(pairs_file), "--json")
    assert result.returncode == DONE, result.stderr
    evaluation = json.loads(result.stdout)
    assert evaluation["pairs"] == 8
    assert evaluation["accuracy"]["strict"] == sum(difference > 0 for difference in differences) / 8


def test_a_reader_that_leaves_early_causes_no_traceback(trained: Path, pairs_file: Path) -> None:
    """As in `normbt score ... --output - | head -1`, with more records than a pipe holds."""
    many = pairs_file.with_name("many.jsonl")
    row = {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "filler": "x" * 20_000}
    many.write_text((json.dumps(row) + "\n") * 40, encoding="utf-8")
    command = [sys.executable, "-m", "normbt_lab.cli"]
    command += ["score", "--model", str(trained), "--input", str(many), "--output", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("{")
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(timeout=120) == FAILURE
    assert "Traceback" not in error and "Exception ignored" not in error
