"""The preference pairs that come with the package: four categories, four splits, every label true by construction.

They are made by ``normbt_lab.data.generator``; ``bundled/README.md`` says how, and what was measured on them.
"""

from __future__ import annotations

import gzip
import json
from typing import Literal, get_args

from normbt_lab.data.checksums import bundled_bytes
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import UsageError

Split = Literal["train", "validation", "test", "test_unseen_templates"]
SPLITS: tuple[Split, ...] = get_args(Split)
CATEGORIES = ("chat", "chat hard", "safety", "reasoning")


def load_bundled_pairs(
    split: str = "train", category: str | None = None, limit: int | None = None
) -> list[PreferencePair]:
    """The bundled pairs of one split, in their order.

    Args:
        split: ``train``, ``validation``, ``test`` (other problems of the templates in train) or
            ``test_unseen_templates`` (templates that occur nowhere else).
        category: Only this one of ``chat``, ``chat hard``, ``safety``, ``reasoning``.
        limit: Only so many, from the start. The file takes code, arithmetic, constraints, safety and chat in turn, so a
            smaller sample is made up like the whole split.

    Returns:
        Pairs with `margin`, `category`, and the whole record (`subset`, `template`, `flaw`, ...) in `row`.

    Raises:
        UsageError: No such split or category, or a negative limit.

    Example:
        >>> pairs = load_bundled_pairs("test", category="reasoning", limit=2)
        >>> [pair.row["subset"] for pair in pairs]
        ['code', 'arithmetic']
    """
    if split not in SPLITS:
        raise UsageError(f"expected a split of the bundled pairs, one of {', '.join(SPLITS)}; got {split!r}.")
    if category is not None and category not in CATEGORIES:
        raise UsageError(f"expected a category, one of {', '.join(CATEGORIES)}; got {category!r}.")
    if limit is not None and limit < 0:
        raise UsageError(f"expected a limit of 0 or more pairs, got {limit}. Leave it out for all of them.")
    pairs = [_pair(line, split, number) for number, line in enumerate(_lines(split), start=1)]
    return [pair for pair in pairs if category in (None, pair.category)][:limit]


def _lines(split: str) -> list[str]:
    return gzip.decompress(bundled_bytes(f"{split}.jsonl.gz")).decode("utf-8").splitlines()


def _pair(line: str, split: str, number: int) -> PreferencePair:
    record = json.loads(line)
    return PreferencePair(
        prompt=record["prompt"],
        chosen=record["chosen"],
        rejected=record["rejected"],
        margin=record["margin"],
        category=record["category"],
        origin=f"{split}.jsonl.gz:{number}",
        row=record,
    )
