"""How much faster pairs train and are scored than with TRL and with RewardBench's batches, and in how much memory.

    python benchmarks/pairs_per_second.py                       # times
    python benchmarks/pairs_per_second.py --memory              # peak memory, each variant in a process of its own
    python benchmarks/pairs_per_second.py --smoke               # a tiny model, one round: does it run?

Each variant gets the same model and the same pairs, in turns. A round of training is an epoch of a trainer that has
warmed up: data loader, forward and backward passes and optimizer steps, on pairs that are token ids already. A round of
scoring goes from texts to rewards. A ratio is a peer's time over ours; the first two variants of a table are the peers.

    TRL, random           TRL's RewardTrainer, pairs in random order
    TRL, grouped          the same, pairs of like length together (transformers' group_by_length)
    NormBT, padded        NormBTTrainer with layout="padded", random order: what the weights cost
    NormBT                NormBTTrainer, random order
    RewardBench           batches of 8 texts in their order, padded to the longest; chosen and rejected apart
    RewardBench, sorted   the same with the pairs sorted by length before
    padded                score_pairs with layout="padded"
    shared                score_pairs
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from machine import described, forget_peak_memory, peak_memory, synchronize
from profiles import PROFILES, make_pairs, plain_tokenizer
from transformers import PrinterCallback, TrainerCallback
from trl import RewardConfig, RewardTrainer

from normbt_lab.backbones import load_tokenizer, resolve_backbone
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.shared_prefix import shared_slots
from normbt_lab.data.tokenization import tokenize_pair
from normbt_lab.model import RewardModel, build_reward_model
from normbt_lab.quiet import quiet_loading
from normbt_lab.scoring import score_pairs
from normbt_lab.trainer import NormBTConfig, NormBTTrainer

PAIRS_PER_BATCH = 8
"""Of every variant: TRL's default, and what RewardBench's numbers are made with."""

TRAINING = {
    "TRL, random": (RewardTrainer, RewardConfig, {}),
    # The Trainer drops the column of lengths before it looks for it, unless told to keep all.
    "TRL, grouped": (
        RewardTrainer,
        RewardConfig,
        {"train_sampling_strategy": "group_by_length", "remove_unused_columns": False},
    ),
    "NormBT, padded": (NormBTTrainer, NormBTConfig, {"layout": "padded"}),
    "NormBT": (NormBTTrainer, NormBTConfig, {"layout": "shared_prefix"}),
}
SCORING = ("RewardBench", "RewardBench, sorted", "padded", "shared")
VARIANTS = {"training": tuple(TRAINING), "scoring": SCORING}

Round = Callable[[], float]
"""Runs a variant once and returns the seconds it took."""


@dataclass(frozen=True)
class Workload:
    """A model and the pairs of one profile, as text and as token ids."""

    reward_model: RewardModel
    pairs: list[PreferencePair]
    token_pairs: list[tuple[list[int], list[int]]]

    @classmethod
    def made(cls, options: argparse.Namespace, profile: str) -> Workload:
        """The workload that the command line asks for."""
        backbone = resolve_backbone(options.backbone, options.num_layers)
        tokenizer = plain_tokenizer(load_tokenizer(backbone))
        model: Any = build_reward_model(backbone, options.adapter)
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        pairs = make_pairs(PROFILES[profile], options.pairs, tokenizer)
        tokens = [tokenize_pair(pair, tokenizer) for pair in pairs]
        ids = [(one.chosen_ids, one.rejected_ids) for one in tokens if one is not None]
        return cls(RewardModel(model, tokenizer, options.backbone), pairs, ids)

    def described(self) -> str:
        """Lengths, and the share of tokens that are left where what is common stands once."""
        whole = sum(len(chosen) + len(rejected) for chosen, rejected in self.token_pairs)
        shared = sum(shared_slots(*pair) for pair in self.token_pairs)
        mean = whole / len(self.token_pairs) / 2
        return f"{len(self.pairs)} pairs, {mean:.0f} tokens a response, {shared / whole:.2f} of them with prefixes once"


# ---- training --------------------------------------------------------------------------------------------------------


class TrainTime(TrainerCallback):
    """Seconds from the start of the training loop to its end."""

    seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        synchronize()
        self.seconds = -time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        synchronize()
        self.seconds += time.perf_counter()


def training_round(name: str, workload: Workload, options: argparse.Namespace, folder: str) -> Round:
    """One epoch of a trainer, after two steps to warm up. All variants train the same model object."""
    trainer_class, config_class, settings = TRAINING[name]
    rows = [
        {"chosen_ids": chosen, "rejected_ids": rejected, "length": max(len(chosen), len(rejected))}
        for chosen, rejected in workload.token_pairs
    ]
    clock = TrainTime()
    with quiet_loading():
        config = config_class(
            output_dir=folder,
            per_device_train_batch_size=PAIRS_PER_BATCH,
            num_train_epochs=1,
            learning_rate=1e-6,
            activation_checkpointing=options.activation_checkpointing,
            bf16=options.dtype == "bfloat16",
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **settings,
        )
        trainer: Any = trainer_class(
            model=workload.reward_model.model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=workload.reward_model.tokenizer,
            callbacks=[clock],
        )
    trainer.remove_callback(PrinterCallback)

    def train(steps: int = -1) -> float:
        trainer.args.max_steps = steps
        trainer.train()
        trainer.model.zero_grad()
        trainer.optimizer = trainer.lr_scheduler = None
        return clock.seconds

    train(steps=2)
    return train


# ---- scoring ---------------------------------------------------------------------------------------------------------


def scoring_round(name: str, workload: Workload, options: argparse.Namespace) -> Round:
    """All pairs from text to rewards, once."""
    reward_model, pairs = workload.reward_model, list(workload.pairs)
    reward_model.model.eval()
    if name.endswith("sorted"):
        pairs.sort(key=lambda pair: max(len(pair.chosen), len(pair.rejected)) + len(pair.prompt or ""))

    def score() -> float:
        synchronize()
        start = time.perf_counter()
        with autocast(options):
            if name.startswith("RewardBench"):
                rewardbench_rewards(reward_model, pairs)
            else:
                normbt_rewards(reward_model, pairs, "padded" if name == "padded" else "shared_prefix")
        synchronize()
        return time.perf_counter() - start

    return score


@torch.no_grad()
def rewardbench_rewards(reward_model: RewardModel, pairs: Sequence[PreferencePair]) -> list[tuple[float, float]]:
    """Rewards as RewardBench's pipeline computes them: 8 texts at a time, in order, padded to the longest of the 8."""
    tokenizer, rewards = reward_model.tokenizer, []
    for start in range(0, len(pairs), PAIRS_PER_BATCH):
        batch = pairs[start : start + PAIRS_PER_BATCH]
        sides = []
        for responses in ([pair.chosen for pair in batch], [pair.rejected for pair in batch]):
            texts = [f"{pair.prompt}{text}{tokenizer.eos_token}" for pair, text in zip(batch, responses, strict=True)]
            inputs = tokenizer(texts, padding=True, truncation=True, max_length=2048, return_tensors="pt")
            sides.append(reward_model.model(**inputs.to(reward_model.device)).logits[:, 0].float().tolist())
        rewards += zip(*sides, strict=True)
    return rewards


def normbt_rewards(
    reward_model: RewardModel, pairs: Sequence[PreferencePair], layout: str
) -> list[tuple[float, float]]:
    """Rewards as this package scores pairs."""
    scored = score_pairs(reward_model, pairs, batch_size=PAIRS_PER_BATCH, layout=layout)
    return [(pair.reward_chosen, pair.reward_rejected) for pair in scored]


def require_equal_rewards(workload: Workload, options: argparse.Namespace) -> None:
    """Stop where the variants do not compute the same thing."""
    pairs = workload.pairs[: 2 * PAIRS_PER_BATCH]
    with autocast(options):
        expected = torch.tensor(rewardbench_rewards(workload.reward_model, pairs))
        found = torch.tensor(normbt_rewards(workload.reward_model, pairs, "shared_prefix"))
    apart = (found - expected).abs().max().item()
    if not apart <= (1e-3 if options.dtype == "float32" else 0.1):
        raise SystemExit(f"the variants' rewards differ by {apart:.2g}: they do not measure the same thing")


# ---- measuring -------------------------------------------------------------------------------------------------------


def measure_times(what: str, profile: str, options: argparse.Namespace) -> None:
    """Print the table of one profile."""
    workload = Workload.made(options, profile)
    print(f"\n{what}, {PROFILES[profile].title}: {workload.described()}")
    with tempfile.TemporaryDirectory() as folder:
        rounds = prepared_rounds(what, workload, options, folder)
        seconds: dict[str, list[float]] = {name: [] for name in rounds}
        for repeat in range(options.rounds):
            # In another order each time, so that what drifts on the machine favours none.
            for name in random.Random(repeat).sample(list(rounds), len(rounds)):
                gc.collect()
                seconds[name].append(rounds[name]())
    print_table(what, seconds, workload, options)


def prepared_rounds(what: str, workload: Workload, options: argparse.Namespace, folder: str) -> dict[str, Round]:
    """The variants, warmed up."""
    if what == "training":
        return {name: training_round(name, workload, options, folder) for name in TRAINING}
    rounds = {name: scoring_round(name, workload, options) for name in SCORING}
    require_equal_rewards(workload, options)
    return rounds


def print_table(what: str, seconds: dict[str, list[float]], workload: Workload, options: argparse.Namespace) -> None:
    """Pairs per second, and how many times as fast as each peer: median, lowest and highest of the rounds."""
    peers = VARIANTS[what][:2]
    columns = "".join(f"{'x ' + peer:>30}" for peer in peers)
    print(f"{'':20} {'pairs/s':>9}{columns}" + (f"{'flops used':>12}" if options.peak_tflops else ""))
    for name, own in seconds.items():
        line = f"{name:20} {len(workload.pairs) / statistics.median(own):9.2f}"
        for peer in peers:
            ratios = [theirs / ours for theirs, ours in zip(seconds[peer], own, strict=True)]
            interval = f"({min(ratios):.2f} to {max(ratios):.2f})"
            line += f"{statistics.median(ratios):15.2f} {interval:14}"
        if options.peak_tflops:
            line += f"{utilisation(what, name, statistics.median(own), workload, options):12.1%}"
        print(line, flush=True)


def utilisation(what: str, name: str, seconds: float, workload: Workload, options: argparse.Namespace) -> float:
    """Model flops over what the device could do: 2 per parameter and token forward, 6 with the backward pass.

    Counted are the tokens that a variant has to compute, without its padding. Attention and embedding are left out.
    """
    is_shared = name in ("NormBT", "shared")
    tokens = sum(shared_slots(*pair) if is_shared else len(pair[0]) + len(pair[1]) for pair in workload.token_pairs)
    model: Any = workload.reward_model.model
    parameters = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    flops = (6 if what == "training" else 2) * parameters * tokens
    return flops / seconds / (options.peak_tflops * 1e12)


def measure_memory(what: str, profile: str, options: argparse.Namespace) -> None:
    """Print the peak memory of each variant, from a process of its own."""
    print(f"\n{what}, {PROFILES[profile].title}")
    words = [word for word in sys.argv[1:] if word != "--memory"]
    peaks = {}
    for name in VARIANTS[what]:
        command = [sys.executable, __file__, *words, "--what", what, "--profile", profile, "--one-process", name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks[name] = tuple(map(float, done.stdout.splitlines()[-1].split()))
    loaded, own = peaks[VARIANTS[what][0]]
    print(f"{'':20} {'peak MB':>9} {'ratio':>7} {'beyond the loaded model, MB':>28} {'ratio':>7}")
    for name, (before, peak) in peaks.items():
        beyond = peak - before
        print(f"{name:20} {peak:9.0f} {peak / own:7.2f} {beyond:28.0f} {beyond / (own - loaded):7.2f}")


def run_in_own_process(what: str, profile: str, options: argparse.Namespace) -> None:
    """Two rounds of one variant; prints the memory before them and the most they held."""
    workload = Workload.made(options, profile)
    gc.collect()
    before = forget_peak_memory()  # loading a model takes more than it weighs
    with tempfile.TemporaryDirectory() as folder:
        name = options.one_process
        own = training_round(name, workload, options, folder) if what == "training" else None
        own = own or scoring_round(name, workload, options)
        for _ in range(2):
            own()
    print(before, peak_memory())


def autocast(options: argparse.Namespace) -> torch.autocast:
    """The arithmetic asked for, as the trainers use it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.autocast(device, getattr(torch, options.dtype), enabled=options.dtype != "float32")


def main() -> None:
    """Print the tables."""
    options = _options()
    what, chosen = options.what or list(VARIANTS), options.profile or list(PROFILES)
    if options.one_process:
        run_in_own_process(what[0], chosen[0], options)
        return
    print(
        f"{options.backbone}, {options.num_layers or 'all'} layers, adapter {options.adapter}, {options.dtype}, "
        f"batches of {PAIRS_PER_BATCH} pairs; {described()}"
    )
    if not options.memory:
        print(f"median (lowest to highest) of {options.rounds} rounds")
    for one in what:
        for profile in chosen:
            (measure_memory if options.memory else measure_times)(one, profile, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=VARIANTS, help="default: both")
    parser.add_argument("--profile", nargs="+", choices=PROFILES, help="default: all")
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--num-layers", type=int)
    parser.add_argument("--adapter", choices=["none", "head", "lora"], default="none")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the arithmetic")
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--peak-tflops", type=float, help="of the device in this arithmetic: prints the share used")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="a tiny random model, 16 pairs, one round")
    parser.add_argument("--one-process", metavar="VARIANT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.backbone, options.pairs, options.rounds = "tiny-random", 16, 1
    return options


if __name__ == "__main__":
    main()
