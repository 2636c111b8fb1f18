"""Move a finished run into the package: ``python -m normbt_lab.shipped.pack``.

What goes is what loading needs, as small as it can be: the adapter in float16 with its head in float32, its
configuration, the state of the run, a card, and a digest of each. The tokenizer is the backbone's, and the training
pairs stay behind.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.shipped import registry
from normbt_lab.shipped.card import write_shipped_card
from normbt_lab.shipped.make import EVALUATION_FILE, RECIPE_FILE
from normbt_lab.state import STATE_FILE
from normbt_lab.whole_files import whole_folder

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel

TOLERANCE = 5e-3
"""Largest reward difference that storing in float16 may make, in log-odds: it moves the probability of a preference by
at most a quarter of a point."""

COMPARED_PAIRS = 64
"""Bundled test pairs on which the run and the packed files are compared."""

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


def pack(run: Path, name: str) -> Path:
    """The folder of a shipped model, once a finished run is in it and gives the run's rewards.

    Args:
        run: A folder of ``python -m normbt_lab.shipped.make``.
        name: A key of `registry.SHIPPED`; its backbone and weighting must be the run's.

    Raises:
        UsageError: The run is not finished, not evaluated, or not what the name says.
        NormBTError: The packed files give other rewards than the run.
    """
    made = _read(run, RECIPE_FILE)
    expected = registry.SHIPPED[name]
    found = registry.ShippedModel(made["settings"]["backbone"], made["settings"]["weighting"])
    if found != expected:
        raise UsageError(
            f"{name} is {expected.weighting} on {expected.backbone}; {run} is {found.weighting} on {found.backbone}"
        )
    evaluation = _read(run, EVALUATION_FILE)
    folder = registry.ADAPTER_FOLDERS / name
    with whole_folder(folder, "the shipped model") as unfinished:
        _write_weights(run, unfinished)
        _write_config(run, unfinished, expected.backbone)
        (unfinished / STATE_FILE).write_bytes((run / STATE_FILE).read_bytes())
        difference = _largest_difference(run, unfinished)
        if not difference <= TOLERANCE:
            raise NormBTError(
                f"in float16 the rewards of {run} move by {difference:.1e}, more than {TOLERANCE}: nothing was packed"
            )
        write_shipped_card(unfinished, name, made, evaluation, _history(run), difference)
        registry.write_digests(unfinished)
    print(f"{name} is in {folder}; rewards within {difference:.1e} of the run's on {COMPARED_PAIRS} pairs.")
    return folder


def _write_weights(run: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(run / WEIGHTS_FILE)
    # Measured on a reward model of `make demo`: rewards move by up to 6e-3 in bfloat16, 4e-4 in float16, and 6e-5 where
    # the head, which is one row of numbers, keeps float32.
    stored = {key: value if _is_head(key) else value.to(torch.float16) for key, value in tensors.items()}
    save_file(stored, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors writes for its owner alone, and a wheel keeps that


def _is_head(key: str) -> bool:
    return "score" in key.split(".")


def _write_config(run: Path, folder: Path, backbone: str) -> None:
    config = _read(run, CONFIG_FILE)
    config["base_model_name_or_path"] = backbone  # the run has the path of a cache on one machine
    config["modules_to_save"] = sorted(set(config["modules_to_save"]))
    config["target_modules"] = sorted(config["target_modules"])
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _largest_difference(run: Path, folder: Path) -> float:
    """Largest difference of a reward between the run and the packed files, on bundled test pairs, float32."""
    rewards = [_rewards(str(path)) for path in (run, folder)]
    return max(abs(ours - theirs) for ours, theirs in zip(*rewards, strict=True))


def _rewards(path: str) -> list[float]:
    from normbt_lab.data.bundled import load_bundled_pairs
    from normbt_lab.model import load_reward_model
    from normbt_lab.scoring import score_pairs

    model: RewardModel = load_reward_model(path)
    scored = score_pairs(model, load_bundled_pairs("test", limit=COMPARED_PAIRS))
    return [reward for pair in scored for reward in (pair.reward_chosen, pair.reward_rejected)]


def _history(run: Path) -> list[dict[str, Any]]:
    return _read(run, "trainer_state.json")["log_history"]


def _read(run: Path, file: str) -> Any:
    try:
        return json.loads((run / file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{run} has no {file}: expected a finished run of 'python -m normbt_lab.shipped.make'. Run that to its end"
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m normbt_lab.shipped.pack``; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m normbt_lab.shipped.pack", description=__doc__, allow_abbrev=False)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of a finished run")
    parser.add_argument("--name", required=True, choices=list(registry.SHIPPED), help="what it is called from now on")
    options = parser.parse_args(arguments)
    try:
        pack(options.run, options.name)
    except NormBTError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
