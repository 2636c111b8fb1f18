"""Runs that are killed and resumed, as processes; checkpoints that are cut short, damaged or hostile."""

from __future__ import annotations

import json
import logging
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from normbt_lab.checkpoints import (
    SEAL_FILE,
    damage,
    last_complete_checkpoint,
    require_whole,
    seal_checkpoint,
    set_aside_after,
)
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.state import STATE_FILE
from normbt_lab.training import train_from_arguments

PAIRS = 22
COMMON = dict(
    model="tiny-random",
    doctor=False,
    learning_rate=1e-2,
    lr_scheduler_type="cosine",
    num_train_epochs=3,
    save_strategy="steps",
    save_total_limit=2,
    eval_strategy="epoch",
    disable_tqdm=True,
    use_cpu=True,
)
RUNS = {
    # Checkpoints between two logs and at ends of epochs; dropout; weights that need a look at the whole batch first.
    "lora": dict(adapter="lora", lora_dropout=0.1, weight_norm="mean1", bf16=True, save_steps=3, logging_steps=4)
    | dict(per_device_train_batch_size=2, gradient_accumulation_steps=2),
    # Batches of 5, 5, 5, 5 and 2 pairs.
    "full": dict(adapter="none", bf16=False, save_steps=3, logging_steps=1, per_device_train_batch_size=5),
}
KILLS = 20


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    rows = [
        {"prompt": f"Say {i}", "chosen": f"{i}, so " * (1 + i % 4), "rejected": f"not {i + 1}"} for i in range(PAIRS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def arguments(run, data, folder):
    return COMMON | RUNS[run] | dict(train_data=data, eval_data=data, output_dir=str(folder))


def start(run, data, folder, *more):
    """`normbt train` as a process."""
    words = [f"--{name}={value}" for name, value in arguments(run, data, folder).items() if name != "doctor"]
    program = [sys.executable, "-c", "import sys; from normbt_lab.cli import main; sys.exit(main())"]
    command = [*program, "train", "--no-doctor", *words, *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@dataclass(frozen=True)
class Outcome:
    """What a finished run has to show for itself."""

    weights: dict[str, torch.Tensor]
    state: dict
    logs: list[dict]


def outcome(folder):
    """Read from the files of a run, without what a clock has measured."""
    (weights,) = folder.glob("*.safetensors")
    logs = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    timeless = [
        {name: value for name, value in log.items() if not name.endswith(("_runtime", "_per_second", "train_loss"))}
        for log in logs
    ]
    return Outcome(load_file(weights), json.loads((folder / STATE_FILE).read_text()), timeless)


def assert_equal(resumed, whole):
    assert resumed.state == whole.state
    assert resumed.logs == whole.logs
    assert resumed.weights.keys() == whole.weights.keys()
    assert [name for name, tensor in whole.weights.items() if not torch.equal(tensor, resumed.weights[name])] == []


# ---- killed


def wait_for(path, process):
    while not path.exists():
        if process.poll() is not None:
            raise AssertionError(f"the run ended before {path.name} appeared:\n{process.stderr.read()[-2000:]}")
        time.sleep(0.001)


def kill(process):
    """Whether the run was still going."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_a_killed_run_resumes_to_the_same_end(data, tmp_path):
    """Killed while it writes a checkpoint: the folder is there, its seal is not."""
    folder = tmp_path / "killed"
    process = start("lora", data, folder)
    wait_for(folder / "checkpoint-9", process)
    assert kill(process)
    assert not (folder / "checkpoint-9" / SEAL_FILE).exists()
    train_from_arguments(arguments("lora", data, folder) | {"resume_from_checkpoint": True})
    whole = train_from_arguments(arguments("lora", data, tmp_path / "whole"))
    assert_equal(outcome(folder), outcome(whole))


@pytest.mark.parametrize("run", RUNS)
def test_a_run_resumes_from_each_of_its_checkpoints_to_the_same_end(data, tmp_path, run):
    """In the middle of an epoch, at its end, between two logs, and with no step left."""
    keep_all = arguments(run, data, tmp_path / "whole") | {"save_total_limit": None}
    whole = train_from_arguments(keep_all)
    checkpoints = list(whole.glob("checkpoint-*"))
    assert len(checkpoints) >= 4
    for checkpoint in checkpoints:
        folder = tmp_path / f"from-{checkpoint.name}"
        resumed = keep_all | {"output_dir": str(folder), "resume_from_checkpoint": str(checkpoint)}
        assert_equal(outcome(train_from_arguments(resumed)), outcome(whole))


@dataclass(frozen=True)
class Timeline:
    """When a run wrote its checkpoints: step -> seconds at which the folder appeared and at which it was sealed."""

    appeared: dict[int, float]
    sealed: dict[int, float]
    ended: float


def timeline(run, data, folder):
    process = start(run, data, folder)
    appeared, sealed = {}, {}
    while process.poll() is None:
        now = time.monotonic()
        for path in folder.glob("checkpoint-*"):
            step = int(path.name.removeprefix("checkpoint-"))
            appeared.setdefault(step, now)
            if (path / SEAL_FILE).exists():
                sealed.setdefault(step, now)
        time.sleep(0.001)
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-2000:]
    return Timeline(appeared, sealed, time.monotonic())


def random_moment(draw, times, in_a_save):
    """A checkpoint's step, and seconds after its folder appears: within its writing, or anywhere from the first on."""
    step = draw.choice(list(times.appeared))
    if in_a_save:
        return step, draw.uniform(0, times.sealed[step] - times.appeared[step])
    first = times.appeared[min(times.appeared)]
    moment = draw.uniform(first, times.ended - 0.5)  # the last half second is Python's own end
    step = max(step for step, appeared in times.appeared.items() if appeared <= moment)
    return step, moment - times.appeared[step]


def killed_at_random(run, data, folder, draw, times, in_a_save):
    """Where a run was killed; one that was faster than the timed one and had ended is started once more."""
    for _ in range(20):
        step, delay = random_moment(draw, times, in_a_save)
        process = start(run, data, folder)
        wait_for(folder / f"checkpoint-{step}", process)
        time.sleep(delay)
        if kill(process):
            return step, delay
        shutil.rmtree(folder)
    raise AssertionError("twenty runs had ended before they could be killed")


@pytest.mark.long
@pytest.mark.parametrize("run", RUNS)
def test_runs_killed_at_random_moments_all_resume_to_the_same_end(data, tmp_path, run, capsys):
    """Half of the moments within a save. A seed from the clock, printed: another night, other moments."""
    seed = time.time_ns() % 10**6
    draw = random.Random(seed)
    times = timeline(run, data, tmp_path / "whole")
    whole = outcome(tmp_path / "whole")
    cut_short = 0
    for number in range(KILLS // len(RUNS)):
        folder = tmp_path / f"killed-{number}"
        step, delay = killed_at_random(run, data, folder, draw, times, in_a_save=number % 2 == 0)
        newest = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        cut_short += damage(newest) is not None
        is_first = newest.name == f"checkpoint-{RUNS[run]['save_steps']}" and damage(newest) is not None
        again = [] if is_first else ["--resume-from-checkpoint", "true"]  # nothing to resume yet: from the start
        resumed = start(run, data, folder, *again)
        _, errors = resumed.communicate()
        assert resumed.returncode == 0, f"seed {seed}, kill {number}: {errors[-2000:]}"
        assert_equal(outcome(folder), whole)
        with capsys.disabled():
            print(
                f"\n{run}, seed {seed}: killed {1000 * delay:.0f} ms after {step} began, newest {newest.name}", end=""
            )
    with capsys.disabled():
        print(f"\n{run}: {cut_short} of {KILLS // len(RUNS)} kills cut a checkpoint short", end=" ")


# ---- damaged


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run with two checkpoints; tests copy it."""
    return train_from_arguments(arguments("full", data, tmp_path_factory.mktemp("finished")))


@pytest.fixture
def run_folder(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path):
    """Garbage of the right length."""
    path.write_bytes(bytes(random.Random(0).randbytes(path.stat().st_size)))


DAMAGES = {
    "weights cut short": ("model.safetensors", truncate),
    "weights overwritten": ("model.safetensors", overwrite),
    "no optimizer": ("optimizer.pt", Path.unlink),
    "optimizer overwritten": ("optimizer.pt", overwrite),
    "no random states": ("rng_state.pth", Path.unlink),
    "state overwritten": (STATE_FILE, overwrite),
    "log overwritten": ("trainer_state.json", overwrite),
    "seal overwritten": (SEAL_FILE, overwrite),
    "no seal": (SEAL_FILE, Path.unlink),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_newest_checkpoint_is_passed_over_by_name(run_folder, what, caplog):
    older, newest = sorted(run_folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    file, harm = DAMAGES[what]
    harm(newest / file)
    assert last_complete_checkpoint(run_folder) == older
    (line,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert newest.name in line and file in line


def test_a_run_goes_on_from_the_checkpoint_before_the_damaged_one(data, run_folder, finished):
    whole = outcome(finished)
    truncate(run_folder / "checkpoint-15" / "model.safetensors")
    for left_over in run_folder.glob("*.*"):  # the finished model, so that what is compared is new
        left_over.unlink()
    train_from_arguments(arguments("full", data, run_folder) | {"resume_from_checkpoint": True})
    assert_equal(outcome(run_folder), whole)
    assert sorted(path.name for path in run_folder.glob("*checkpoint-*")) == [
        "checkpoint-12",
        "checkpoint-15",
        "set-aside-checkpoint-15",
    ]


def test_where_every_checkpoint_is_damaged_the_error_names_each(data, run_folder):
    for path in run_folder.glob("checkpoint-*/optimizer.pt"):
        path.unlink()
    with pytest.raises(NormBTError) as raised:
        train_from_arguments(arguments("full", data, run_folder) | {"resume_from_checkpoint": True})
    for part in ("checkpoint-12: optimizer.pt is missing", "checkpoint-15: optimizer.pt is missing", "Start again"):
        assert part in str(raised.value)


def test_a_damaged_checkpoint_given_by_name_is_refused(data, run_folder):
    truncate(run_folder / "checkpoint-15" / "optimizer.pt")
    with pytest.raises(NormBTError, match=r"checkpoint-15: optimizer.pt has [\d,]+ bytes where [\d,]+ were written"):
        train_from_arguments(
            arguments("full", data, run_folder) | {"resume_from_checkpoint": str(run_folder / "checkpoint-15")}
        )


def test_a_checkpoint_without_its_optimizer_is_not_resumed_with_a_fresh_one(data, tmp_path):
    folder = train_from_arguments(arguments("full", data, tmp_path) | {"save_only_model": True})
    with pytest.raises(NormBTError, match="save_only_model"):
        train_from_arguments(arguments("full", data, folder) | {"resume_from_checkpoint": True})


def test_resuming_where_there_is_nothing_says_so(tmp_path):
    with pytest.raises(UsageError, match="no checkpoint to resume"):
        last_complete_checkpoint(tmp_path)


def test_the_newest_checkpoint_is_the_one_of_the_highest_step(run_folder):
    """By number, where 9 comes before 12."""
    (run_folder / "checkpoint-15").rename(run_folder / "checkpoint-9")
    assert last_complete_checkpoint(run_folder).name == "checkpoint-12"


def test_a_run_from_the_start_sets_the_checkpoints_of_an_earlier_one_aside(tmp_path):
    """A resume would otherwise continue the earlier run, whose steps are higher."""
    for step in (2, 9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        seal_checkpoint(tmp_path / f"checkpoint-{step}")
    set_aside_after(tmp_path, 9)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-2", "checkpoint-9", "set-aside-checkpoint-10"}


# ---- hostile


class Bomb:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_the_pickle_of_arguments_in_a_checkpoint_is_never_opened(data, run_folder, finished, tmp_path):
    bomb = run_folder / "checkpoint-12" / "training_args.bin"
    bomb.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    seal_checkpoint(run_folder / "checkpoint-12")  # the attacker does too
    checkpoint = str(run_folder / "checkpoint-12")
    train_from_arguments(arguments("full", data, run_folder) | {"resume_from_checkpoint": checkpoint})
    assert_equal(outcome(run_folder), outcome(finished))
    assert not (tmp_path / "ran").exists()
    pickle.loads(bomb.read_bytes())
    assert (tmp_path / "ran").exists()  # it does run when it is opened


@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_code_in_a_resume_file_does_not_run(data, run_folder, tmp_path, file):
    checkpoint = run_folder / "checkpoint-12"
    torch.save(Bomb(tmp_path / "ran"), checkpoint / file)
    seal_checkpoint(checkpoint)
    with pytest.raises(
        NormBTError, match=rf"{file} is damaged .*would call \S*mkdir.* Name an older checkpoint"
    ) as refusal:
        train_from_arguments(arguments("full", data, run_folder) | {"resume_from_checkpoint": str(checkpoint)})
    assert "\n" not in str(refusal.value) and not (tmp_path / "ran").exists()


def test_a_resume_file_that_is_no_pickle_inside_is_refused_in_one_line(run_folder):
    """Size, sum and seal are right; what lies there is not what PyTorch reads."""
    checkpoint = run_folder / "checkpoint-12"
    with zipfile.ZipFile(checkpoint / "optimizer.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(checkpoint / "optimizer.pt", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, b"\xff" * len(content) if name.endswith("data.pkl") else content)
    seal_checkpoint(checkpoint)
    assert damage(checkpoint) is not None
    with pytest.raises(NormBTError, match=r"optimizer\.pt is damaged") as refusal:
        require_whole(checkpoint)
    assert "\n" not in str(refusal.value)


def test_a_hostile_newest_checkpoint_is_passed_over_like_a_damaged_one(run_folder, tmp_path, caplog):
    older, newest = sorted(run_folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    torch.save(Bomb(tmp_path / "ran"), newest / "optimizer.pt")
    seal_checkpoint(newest)
    assert last_complete_checkpoint(run_folder) == older
    assert f"{newest.name} is passed over: optimizer.pt" in caplog.text and not (tmp_path / "ran").exists()
