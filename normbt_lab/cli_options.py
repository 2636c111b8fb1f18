"""Options that several commands of ``normbt`` share: their names, types, defaults and help stand here once.

Imports the standard library alone, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import math
import re
from typing import Any, Literal


def add_model_and_input(parser: argparse.ArgumentParser, is_input_required: bool = True) -> None:
    """A reward model, the pairs it scores, and how it scores them."""
    add_reward_model(parser)
    add_input(parser, is_input_required)
    add_scoring(parser)


def add_reward_model(parser: argparse.ArgumentParser) -> None:
    """The reward model that a command is about."""
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="folder, Hugging Face id, or name of a shipped reward model"
    )


def add_input(parser: argparse.ArgumentParser, is_required: bool = True) -> None:
    """The pairs that a command reads."""
    parser.add_argument(
        "--input", required=is_required, metavar="PAIRS", help="file, hub id, bundled:test, or - for stdin"
    )


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """How a reward model scores; `scoring_arguments` takes the values up."""
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], default="float32", help="default: float32"
    )
    add_batch_size(parser, "PAIRS", 8)
    parser.add_argument(
        "--max-length",
        type=positive_or_none,
        metavar="TOKENS",
        help="most tokens of a response with its prompt, cut on the right beyond it "
        "(default: 4,096, or the model's own limit if lower)",
    )
    add_layout(parser)


def scoring_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The values of `add_scoring` under the names that every scoring function has for them."""
    return {name: getattr(options, name) for name in ("dtype", "batch_size", "max_length", "layout")}


def add_batch_size(parser: argparse.ArgumentParser, unit: str, default: int) -> None:
    """How much goes through the model at a time."""
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=default,
        metavar=unit,
        help=f"most pairs of responses in one forward pass (default: {default}; changes speed only)",
    )


def add_layout(parser: argparse.ArgumentParser) -> None:
    """Whether what both responses share is computed once."""
    parser.add_argument(
        "--layout",
        choices=["auto", "shared_prefix", "padded"],
        default="auto",
        help="compute what both responses share once (auto: where a check allows it) or each response by itself",
    )


def add_num_layers(parser: argparse.ArgumentParser, whose: str) -> None:
    """Depth at which a backbone is cut."""
    parser.add_argument("--num-layers", type=positive, metavar="K", help=f"use only {whose} first K layers")


def add_rejects(parser: argparse.ArgumentParser, rows: str = "are no pairs") -> None:
    """Where the rows go that cannot be used."""
    parser.add_argument("--rejects", metavar="FILE", help=f"where rows that {rows} are written, with the reason")


def add_json(parser: argparse.ArgumentParser, instead_of: str = "a table") -> None:
    """Output for programs."""
    parser.add_argument("--json", action="store_true", help=f"print one JSON object instead of {instead_of}")


def positive(text: str) -> int:
    """A whole number above 0."""
    if not re.fullmatch(r"[0-9]+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got '{text}'")
    return int(text)


def number(text: str) -> float:
    """A number that is finite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, got '{text}'")
    return value


def positive_or_none(text: str) -> int | None:
    """A whole number above 0, or ``none``."""
    return None if text.lower() == "none" else positive(text)


def text_or_none(text: str) -> str | None:
    """The text as it stands, or ``none``."""
    return None if text.lower() == "none" else text


def number_or_none(text: str) -> float | None:
    """A number, or ``none``."""
    return None if text.lower() == "none" else number(text)


def number_or_auto(text: str) -> float | Literal["auto"]:
    """A number, or ``auto``."""
    return "auto" if text == "auto" else number(text)
