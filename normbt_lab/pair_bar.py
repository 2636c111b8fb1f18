"""The bar over pairs that scoring, measuring, representing and checking show."""

from __future__ import annotations

import sys
from collections.abc import Sized
from typing import Any

from tqdm import tqdm

SECONDS_BEFORE = 2
"""A bar appears only where there is time to read it."""


def pair_bar(what: str, pairs: Any, shown: bool = True, done: int = 0) -> tqdm:
    """A bar that counts pairs and shows itself after two seconds; a context manager, and an iterator over `pairs`.

    On stderr, which leaves stdout to results; in a notebook on stdout, because a notebook shows stderr on red, as if
    something were wrong.

    Args:
        what: Verb in front of the bar, such as ``Scoring``.
        pairs: What is counted. Without a length there is no total.
        shown: False for no bar at all.
        done: Pairs counted before this run.

    Example:
        >>> list(pair_bar("Scoring", ["a", "b"]))
        ['a', 'b']
    """
    return tqdm(
        pairs,
        desc=what,
        unit=" pairs",
        total=len(pairs) if isinstance(pairs, Sized) else None,
        initial=done,
        disable=not shown,
        delay=SECONDS_BEFORE,
        file=sys.stdout if "ipykernel" in sys.modules else sys.stderr,
    )
