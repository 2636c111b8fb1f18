"""What scoring costs as pairs become more and longer: time by pair and token, and peak memory, which should not grow.

    python benchmarks/scale.py                       # a tiny model: 1,000 to 100,000 pairs, 64 to 1,024 tokens
    python benchmarks/scale.py --smoke               # does it run?

Each row is a process of its own that reads a file of pairs, tokenises and scores them. Seconds are without loading
the model; memory is the most that the process ever held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import described, peak_memory
from profiles import Profile, make_pairs, plain_tokenizer

from normbt_lab.backbones import load_tokenizer, resolve_backbone
from normbt_lab.data.readers import read_pairs
from normbt_lab.model import build_reward_model, load_reward_model
from normbt_lab.quiet import quiet_loading
from normbt_lab.scoring import score_pairs

DISTINCT = 1000
"""Pairs that are made; a larger file repeats them."""

TOKENS = 128
"""Tokens of a response with its prompt where the number of pairs varies; half of them prompt."""

PAIRS = 200
"""Pairs where the length varies."""


def write_pairs(path: Path, pairs: int, tokens: int, tokenizer: object) -> None:
    """A file of pairs with responses of so many tokens, give or take 30 %, of which the first half is the prompt."""
    profile = Profile("", prompt=tokens // 2, common=0, response=tokens // 2)
    lines = [
        json.dumps({"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}) + "\n"
        for pair in make_pairs(profile, min(pairs, DISTINCT), tokenizer)
    ]
    with path.open("w", encoding="utf-8") as file:
        for number in range(pairs):
            file.write(lines[number % len(lines)])


def save_model(folder: Path, options: argparse.Namespace) -> object:
    """A reward model with a random head in this folder; returns its tokenizer."""
    backbone = resolve_backbone(options.backbone, options.num_layers)
    tokenizer = plain_tokenizer(load_tokenizer(backbone))
    model = build_reward_model(backbone)
    with quiet_loading():
        model.save_pretrained(folder)  # type: ignore[operator]
    tokenizer.save_pretrained(folder)
    return tokenizer


def measured(folder: Path, pairs: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of scoring, and peak memory in MB, of one run in a process of its own."""
    words = ["--layout", options.layout, "--one-process", str(folder), str(pairs)]
    done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
    seconds, peak = done.stdout.splitlines()[-1].split()
    return float(seconds), float(peak)


def run_in_own_process(model: str, pairs: str, layout: str) -> None:
    """Score one file; prints the seconds and the peak memory in MB."""
    reward_model = load_reward_model(model)
    start = time.perf_counter()
    for _ in score_pairs(reward_model, read_pairs(pairs), layout=layout):
        pass
    print(time.perf_counter() - start, peak_memory())


def print_rows(sizes: list[tuple[int, int]], folder: Path, tokenizer: object, options: argparse.Namespace) -> None:
    """One row per number of pairs and length."""
    print(f"\n{'pairs':>8} {'tokens':>7} {'seconds':>9} {'ms a pair':>10} {'us a token':>11} {'peak MB':>8}")
    for pairs, tokens in sizes:
        path = folder / "pairs.jsonl"
        write_pairs(path, pairs, tokens, tokenizer)
        seconds, peak = measured(folder / "model", path, options)
        per_token = 1e6 * seconds / (2 * pairs * tokens)
        print(f"{pairs:8,} {tokens:7,} {seconds:9.1f} {1e3 * seconds / pairs:10.2f} {per_token:11.2f} {peak:8.0f}")


def main() -> None:
    """Print both tables."""
    options = _options()
    if options.one_process:
        run_in_own_process(*options.one_process, options.layout)
        return
    print(
        f"{options.backbone}, {options.num_layers or 'all'} layers, layout {options.layout}, batches of 8; "
        f"{described()}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = save_model(folder / "model", options)
        print_rows([(pairs, TOKENS) for pairs in options.pairs], folder, tokenizer, options)
        print_rows([(min(PAIRS, max(options.pairs)), length) for length in options.tokens], folder, tokenizer, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny-random")
    parser.add_argument("--num-layers", type=int)
    parser.add_argument("--layout", choices=["auto", "shared_prefix", "padded"], default="auto")
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--smoke", action="store_true", help="a few short pairs")
    parser.add_argument("--one-process", nargs=2, metavar=("MODEL", "PAIRS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.pairs, options.tokens = [20, 40], [32, 64]
    return options


if __name__ == "__main__":
    main()
