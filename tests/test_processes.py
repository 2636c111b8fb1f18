"""Two processes against one: real launchers, gloo on the CPU, batches that do not come out even."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_resume import outcome
from test_trainer import OrderedTrainer, make, pairs, parameters

from normbt_lab.state import NormBTState
from normbt_lab.training import train_from_arguments

# Pairs, pairs of a process and micro-batch, micro-batches, settings. Two processes take twice the pairs at a time.
CASES = {
    "uneven": (22, 4, 1, {}),  # the last step has 4 and 2 pairs
    "one process without pairs": (
        20,
        4,
        1,
        {"weight_norm": "mean1", "max_weight": 1.05},
    ),  # the last step has 4 and none
    "accumulated": (17, 2, 2, {"ema_order": "update_then_use"}),  # the last step has one pair and one micro-batch
    "exact": (20, 4, 1, {"weighting": "exact"}),
    "token budget": (
        22,
        4,
        1,
        {"max_tokens_per_batch": 60, "weight_norm": "mean1"},
    ),  # each process splits its pairs in another way
}
EVALUATION_PAIRS = 7

SCRIPT = """
import os, sys, torch
sys.path.insert(0, {tests!r})
from test_processes import CASES, run_case
results = {{name: run_case(name, {folder!r}, 2) for name in CASES}}
if int(os.environ["RANK"]) == 0:
    torch.save(results, {output!r})
torch.distributed.barrier()
os._exit(0)  # all is done and saved: at the interpreter's end gloo's threads sometimes abort the process
"""


def run_case(name, folder, processes):
    from normbt_lab.backbones import load_tokenizer, resolve_backbone

    count, size, accumulation, settings = CASES[name]
    backbone = resolve_backbone("tiny-random")
    run = make(
        backbone,
        load_tokenizer(backbone),
        Path(folder) / name.replace(" ", "-"),
        OrderedTrainer,
        data=pairs(count),
        optim="sgd",  # a wrong scale shows
        learning_rate=0.1,
        per_device_train_batch_size=size * 2 // processes,
        per_device_eval_batch_size=4 // processes,
        gradient_accumulation_steps=accumulation,
        **settings,
    )
    run.train()
    run.evaluate(pairs(EVALUATION_PAIRS, seed=3))
    timeless = [
        {name: value for name, value in log.items() if not name.endswith(("_runtime", "_per_second", "_flos"))}
        for log in run.state.log_history
    ]
    return {"parameters": parameters(run), "mean": run.running_mean.value, "logs": timeless}


def launch(command, timeout=900):
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory):
    """All cases in one launch: starting is what takes long."""
    folder = tmp_path_factory.mktemp("two")
    script, output = folder / "train.py", folder / "two.pt"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), output=str(output)))
    launch([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)])
    return torch.load(output, weights_only=True)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_log_and_evaluate_like_one(of_two_processes, tmp_path, name):
    one, two = run_case(name, tmp_path, 1), of_two_processes[name]
    torch.testing.assert_close(two["parameters"], one["parameters"], atol=2e-6, rtol=1e-4)
    assert two["mean"] == pytest.approx(one["mean"], rel=1e-6)
    assert len(two["logs"]) == len(one["logs"]) == 5  # three steps, the end of training, the evaluation
    for log_of_two, log_of_one in zip(two["logs"], one["logs"], strict=True):
        # The mean reward difference cancels; float32 sums of other orders leave 1e-6 of the rewards' size.
        assert log_of_two == pytest.approx(log_of_one, rel=1e-4, abs=2e-6)


def test_the_metrics_of_an_evaluation_count_every_pair_once(backbone, tokenizer, tmp_path):
    """Batches of 3, 3 and 1: a mean over batches would count the last pair three times."""
    run = make(backbone, tokenizer, tmp_path, per_device_eval_batch_size=3)
    by_batches = run.evaluate(pairs(EVALUATION_PAIRS, seed=3))
    alone = [run.evaluate(pairs(EVALUATION_PAIRS, seed=3).select([i])) for i in range(EVALUATION_PAIRS)]
    for name in ("eval_loss", "eval_accuracy", "eval_margin", "eval_mean_reward"):
        assert by_batches[name] == pytest.approx(sum(one[name] for one in alone) / EVALUATION_PAIRS, abs=1e-6)


# ---- the command line under both launchers

LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "--no-python"],
    "accelerate": [
        "accelerate.commands.launch",
        "--multi_gpu",  # on a CPU too: with --cpu accelerate starts one process
        "--num_processes=2",
        "--num_machines=1",
        "--dynamo_backend=no",
    ]
    + ["--mixed_precision=no", "--num_cpu_threads_per_process=1", "--no_python"],
}


@pytest.fixture
def arguments(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Say {i}", "chosen": f"{i}, so " * (1 + i % 4), "rejected": f"not {i + 1}"} for i in range(22)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return dict(model="tiny-random", adapter="lora", train_data=str(path), eval_data=str(path), bf16=False) | dict(
        optim="sgd",
        learning_rate=0.1,
        num_train_epochs=2,
        logging_steps=1,
        save_strategy="epoch",
        eval_strategy="epoch",
    )


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_command_line_trains_on_two_processes_what_it_trains_on_one(arguments, tmp_path, launcher):
    program = Path(sys.executable).with_name("normbt")
    words = [f"--{name}={value}" for name, value in arguments.items()]
    command = [sys.executable, "-m", *LAUNCHERS[launcher], str(program), "train", "--no-doctor", *words]
    two = tmp_path / "two"
    launch([*command, f"--output-dir={two}", "--per_device_train_batch_size=4"])
    one = train_from_arguments(
        arguments | dict(output_dir=str(tmp_path / "one"), per_device_train_batch_size=8, use_cpu=True, doctor=False)
    )
    of_one, of_two = outcome(one), outcome(two)
    for name, tensor in load_file(one / "adapter_model.safetensors").items():
        torch.testing.assert_close(of_two.weights[name], tensor, atol=2e-6, rtol=1e-4)
    assert NormBTState.read(two).running_mean == pytest.approx(NormBTState.read(one).running_mean, rel=1e-6)
    for log_of_two, log_of_one in zip(of_two.logs, of_one.logs, strict=True):
        # Operations are estimated from the padded batches, which are smaller on two processes.
        about_two, about_one = (
            {name: log[name] for name in log if name != "total_flos"} for log in (log_of_two, log_of_one)
        )
        assert about_two == pytest.approx(about_one, rel=1e-4, abs=2e-6)
    # Resumed from the checkpoint before the last, two processes come to the same end.
    for path in two.glob("*.*"):
        path.unlink()
    newest = max(two.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    (newest / "optimizer.pt").unlink()
    launch([*command, f"--output-dir={two}", "--per_device_train_batch_size=4", "--resume-from-checkpoint=true"])
    again = outcome(two)
    assert again.state == of_two.state and again.logs == of_two.logs
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in of_two.weights.items())
