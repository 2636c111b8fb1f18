"""Pairs by category and by distance: which pairs belong together, in which order, and what the groups are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from normbt_lab.data.formats import CATEGORY_SUBSETS

Pair = TypeVar("Pair")

ALL = "all pairs"
"""What all pairs together are called, and those of data without categories."""

UNCATEGORISED = "uncategorised"
"""Where pairs without a category are counted when others have one."""


def group_names(categories: Iterable[str | None], among: Iterable[str | None] | None = None) -> list[str]:
    """What the group of each pair is called: its category, or what stands for it where it has none.

    Args:
        categories: One per pair.
        among: Categories of all pairs, where these are a part of them: the rest of the data decides whether a pair
            without a category is one of `ALL` or `UNCATEGORISED`.

    Example:
        >>> group_names(["safety", None]), group_names([None, None]), group_names([None], among=["safety", None])
        (['safety', 'uncategorised'], ['all pairs', 'all pairs'], ['uncategorised'])
    """
    categories = list(categories)
    rest = UNCATEGORISED if any(categories if among is None else among) else ALL
    return [name or rest for name in categories]


def grouped(
    pairs: Iterable[Pair], category: Callable[[Pair], str | None], among: Iterable[Pair] | None = None
) -> dict[str, list[Pair]]:
    """The pairs of each group, in the usual order; `group_names` says what it is called.

    Args:
        pairs: Pairs of any kind.
        category: What gives a pair's category.
        among: All pairs, where these are a part of them.

    Example:
        >>> grouped([1, 2, 3], {1: "safety", 2: None, 3: "chat"}.get)
        {'chat': [3], 'safety': [1], 'uncategorised': [2]}
    """
    pairs = list(pairs)
    names = group_names(map(category, pairs), None if among is None else map(category, among))
    groups: dict[str, list[Pair]] = {name: [] for name in in_usual_order(names)}
    for name, pair in zip(names, pairs, strict=True):
        groups[name].append(pair)
    return groups


def by_category(categories: Sequence[str | None]) -> dict[str, np.ndarray]:
    """Numbers of the pairs of each category, in the usual order; empty where no pair has one.

    Args:
        categories: One per pair.

    Example:
        >>> by_category(["safety", None, "chat", "safety"])
        {'chat': array([2]), 'safety': array([0, 3]), 'uncategorised': array([1])}
    """
    if not any(categories):
        return {}
    # As objects: a column of text would take the room of the longest name in every row, and cut NULs at the end.
    named = np.array(group_names(categories), dtype=object)
    return {name: np.flatnonzero(named == name) for name in in_usual_order(named.tolist())}


def by_distance(distances: np.ndarray, bins: int) -> list[tuple[float, float, np.ndarray]]:
    """Lower edge, upper edge and numbers of the pairs of each quantile bin, none of them empty.

    Args:
        distances: One per pair.
        bins: As in `quantile_bins`.

    Example:
        >>> by_distance(np.array([1.0, 4.0, 2.0, 8.0]), bins=2)
        [(1.0, 3.0, array([0, 2])), (3.0, 8.0, array([1, 3]))]
    """
    edges, bin_of = quantile_bins(distances, bins)
    members = [np.flatnonzero(bin_of == i) for i in range(len(edges) - 1)]
    return [(float(edges[i]), float(edges[i + 1]), found) for i, found in enumerate(members) if len(found)]


def quantile_bins(values: Sequence[float] | np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges of bins with about equally many values, and the bin of each value.

    Equal edges fall together, so there may be fewer bins; an inner edge belongs to the bin above it.

    Args:
        values: One or more.
        bins: Most bins.

    Example:
        >>> quantile_bins([1.0, 4.0, 2.0, 8.0], bins=2)
        (array([1., 3., 8.]), array([0, 1, 0, 1]))
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    return edges, np.searchsorted(edges[1:-1], values, side="right")


def bin_names(bins: int) -> list[str]:
    """What distance bins are called, from closest to farthest.

    Example:
        >>> bin_names(3)
        ['1 of 3 (closest)', '2 of 3', '3 of 3 (farthest)']
    """
    if bins == 1:
        return ["all distances"]
    names = [f"{i} of {bins}" for i in range(1, bins + 1)]
    return [f"{names[0]} (closest)", *names[1:-1], f"{names[-1]} (farthest)"]


def in_usual_order(categories: Iterable[str]) -> list[str]:
    """Categories in the order they always have: RewardBench's four, then others by name.

    Example:
        >>> in_usual_order(["poetry", "reasoning", "chat"])
        ['chat', 'reasoning', 'poetry']
    """
    known = list(CATEGORY_SUBSETS)
    return sorted(set(categories), key=lambda name: (known.index(name) if name in known else len(known), name))
