"""Which pairs are computed together: like lengths within a token budget.

A training step is one *global batch*: a number of pairs drawn at random, whatever their lengths, so the learning and
the running mean stay what they are. Only inside it are pairs sorted and split, as often as the token budget asks for.
Sorting the whole data set instead would save more padding and make steps of one length each.
"""

from __future__ import annotations

from collections.abc import Sequence

TOKENS_PER_BATCH = 16_384
"""Most token slots of a forward pass without gradients, unless asked for otherwise."""


def split_by_tokens(
    lengths: Sequence[int],
    max_tokens_per_batch: int,
    max_pairs: int | None = None,
    shortest_share: float = 0.0,
) -> list[list[int]]:
    """All numbers of `lengths`, long to short, cut into batches whose longest times their count stays in the budget.

    Args:
        lengths: Token slots of each pair (`padded_slots`, or `shared_slots` of the shared-prefix layout).
        max_tokens_per_batch: Slots of a batch, padding included. A pair that alone has more is a batch of its own.
        max_pairs: Most pairs of a batch; None for no such limit.
        shortest_share: Least length in a batch as a share of its longest.

    Example:
        >>> split_by_tokens([10, 50, 20, 40, 10], max_tokens_per_batch=80)
        [[1], [3, 2], [0, 4]]
    """
    batches: list[list[int]] = []
    longest = 0
    for number in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        is_full = bool(batches) and (
            len(batches[-1]) == max_pairs
            or (len(batches[-1]) + 1) * longest > max_tokens_per_batch
            or lengths[number] < shortest_share * longest
        )
        if is_full or not batches:
            batches.append([])
            longest = lengths[number]
        batches[-1].append(number)
    return batches


def padded_slots(chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> int:
    """Token slots of a pair in the padded layout: both rows at the length of the longer."""
    return 2 * max(len(chosen_ids), len(rejected_ids))
