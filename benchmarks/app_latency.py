"""What scoring a pair on the page costs, in the model's own forward passes over that pair.

    python benchmarks/app_latency.py                         # the default backbone
    python benchmarks/app_latency.py --backbone tiny-random  # a try

Against transformers' forward pass over the two padded sequences, in turns on the same pair:

    reading        the one pass that gives rewards, the head along the tokens and the distance by layer
    shown          the same and all that a press of Score shows: figures, table, differing tokens, both cards
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import torch

from normbt_lab.app.models import Models
from normbt_lab.app.pair_tab import PairTab
from normbt_lab.app.pair_view import view_pair
from normbt_lab.backbones import load_tokenizer, resolve_backbone
from normbt_lab.data.batches import collate_pairs
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.tokenization import tokenize_pair
from normbt_lab.model import RewardModel, build_reward_model, save_reward_model
from normbt_lab.state import NormBTState


def main() -> None:
    """Print the ratios over the pairs, as medians of several rounds each."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        models = Models([_saved_model(options.backbone, Path(folder) / "rm")])
        with gr.Blocks() as demo:
            tab = PairTab(demo, models)
        with models.use("rm") as reward_model:
            pass  # loaded before the clock starts, and the clock never runs inside a turn
        pairs = load_bundled_pairs("test", limit=options.pairs)
        ratios = {name: [] for name in ("reading", "shown")}
        seconds = []
        for pair in pairs:
            taken = _measured(_variants(tab, models, reward_model, pair), options.repeats)
            seconds.append(taken["forward"])
            for name, values in ratios.items():
                values.append(taken[name] / taken["forward"])
    print(
        f"{options.backbone}, {len(pairs)} pairs, medians of {options.repeats} rounds in turns; torch "
        f"{torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}"
    )
    print(f"\n{'':10} {'ratio':>7} {'lowest':>7} {'highest':>8}   (forward pass: {statistics.median(seconds):.3f} s)")
    for name, values in ratios.items():
        print(f"{name:10} {statistics.median(values):7.2f} {min(values):7.2f} {max(values):8.2f}")


def _variants(
    tab: PairTab, models: Models, reward_model: RewardModel, pair: PreferencePair
) -> dict[str, Callable[[], object]]:
    tokenizer, model = reward_model.tokenizer, reward_model.model
    tokens = tokenize_pair(pair, tokenizer)
    assert tokens is not None
    batch = collate_pairs([(tokens.chosen_ids, tokens.rejected_ids)], tokenizer.pad_token_id).to(reward_model.device)

    def forward() -> object:
        with torch.no_grad():
            return model(**batch.model_inputs()).logits.tolist()

    texts = (str(pair.prompt), str(pair.chosen), str(pair.rejected))
    return {
        "forward": forward,
        "reading": lambda: view_pair(models, *texts, ["rm"]),
        "shown": lambda: tab.show(*texts, "rm", "", None),
    }


def _measured(variants: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each, in turns, so that what else the machine does meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(repeats + 1):
        for name, variant in variants.items():
            start = time.perf_counter()
            variant()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _saved_model(backbone_name: str, folder: Path) -> str:
    backbone = resolve_backbone(backbone_name)
    state = NormBTState(1.0, 1, settings={"weighting": "normbt"})
    sample = [([20, 21, 22], [20, 21, 24])]
    save_reward_model(build_reward_model(backbone, "head"), load_tokenizer(backbone), folder, state, sample)
    return str(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
