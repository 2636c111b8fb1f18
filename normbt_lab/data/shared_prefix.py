"""Pairs laid out so that what chosen and rejected have in common is computed once.

A pair becomes ``[common prefix | rest of chosen | rest of rejected]``: the longest common prefix of the token ids,
which is the prompt and often much of the response. The position ids of the rejected rest start again where the prefix
ends, and `normbt_lab.data.tree_mask` hides each rest from the other, so each response is computed as if it stood alone:
the rewards and gradients are those of the padded layout up to rounding. Several pairs share a row, which takes the
padding out.

Dropout is the one thing that differs: a shared prefix is dropped out once, the two copies of a padded pair each by
themselves.

Which models honour such rows is decided in `normbt_lab.layouts`.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor

from normbt_lab.data.batches import PairBatch, require_responses
from normbt_lab.data.tree_mask import CHOSEN, PADDING, PREFIX, REJECTED, MaskForm

ROW_TOKENS = 1024
"""Most token slots of a row, unless one pair alone needs more."""

ATTENTION_LENGTH = 2200
"""Row length at which a token's attention costs as much as the rest of its work: in training on a CPU at width 576, a
slot costs 1 + row length / 2200."""

_SHARED_ROWS = "pairs that share rows are not taken apart again: ask the padded batch, before its prefixes are shared"


@dataclass(frozen=True, kw_only=True)
class SharedPrefixBatch(PairBatch):
    """A batch in which each pair's common prefix stands once.

    Built by `collate_shared_prefix` (from token ids) or `share_prefixes` (from a padded batch).

    Attributes:
        position_ids: Position of each token in its own sequence, shape (rows, tokens).
        pair_of_slot: Number of the pair that each slot belongs to, -1 for padding, same shape.
        branch: Whether a slot is in the prefix, the chosen or the rejected rest, same shape.
        slots_of_pair: Places of each pair's slots in the flattened rows, -1 where a pair has fewer, shape (pairs,
            longest pair).
        mask_form: How the model wants its attention mask.
    """

    position_ids: Tensor
    pair_of_slot: Tensor
    branch: Tensor
    slots_of_pair: Tensor
    mask_form: MaskForm

    def model_inputs(self) -> dict[str, Any]:
        """Keyword arguments for the model's forward pass.

        The mask is made here, on the model's device, from three small integer tensors: it has tokens² entries a row.
        """
        mask = self.mask_form.build(self.pair_of_slot, self.branch, self.position_ids)
        return {
            "input_ids": self.input_ids,
            "attention_mask": mask,
            "position_ids": self.position_ids,
            "use_cache": False,
        }

    def by_pair(self, states: Tensor) -> Tensor:
        """All token slots that belong to each pair, as one row per pair.

        Args:
            states: One vector per token, shape (rows, tokens, d).

        Returns:
            Shape (pairs, longest pair, d): prefix, rest of chosen, rest of rejected, then zeros.
        """
        gathered = states.flatten(0, 1)[self.slots_of_pair.clamp(min=0)]
        return gathered.masked_fill((self.slots_of_pair < 0).unsqueeze(-1), 0)

    def average_pool(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Means over all tokens of each response's sequence, the prefix included (decisions, point 17).

        Args:
            states: One vector per token, shape (rows, tokens, hidden).

        Returns:
            Two tensors of shape (pairs, hidden), float32.
        """
        branch = self.by_pair(self.branch.unsqueeze(-1))  # (pairs, slots, 1)
        is_slot = (self.slots_of_pair >= 0).unsqueeze(-1)
        of_pair = self.by_pair(states.float())  # (pairs, slots, hidden)
        means = []
        for own in (CHOSEN, REJECTED):
            mine = (is_slot & ((branch == PREFIX) | (branch == own))).float()
            means.append((of_pair * mine).sum(dim=1) / mine.sum(dim=1))
        return means[0], means[1]

    def token_pairs(self) -> NoReturn:
        """Refused, and with it what lays pairs out anew.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_SHARED_ROWS)

    def take(self, numbers: Sequence[int]) -> NoReturn:
        """Refused.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_SHARED_ROWS)


@dataclass(frozen=True)
class Packing:
    """Which row of this layout each pair stands in, found once for the decision and for the batch.

    Attributes:
        token_pairs: ``(chosen_ids, rejected_ids)`` of each pair.
        prefixes: Number of tokens that the two share, one per pair.
        rows: Numbers of the pairs in each row.
    """

    token_pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
    prefixes: Sequence[int]
    rows: Sequence[Sequence[int]]

    @classmethod
    def of(cls, token_pairs: Sequence[tuple[Sequence[int], Sequence[int]]], row_tokens: int = ROW_TOKENS) -> Packing:
        """The cheapest packing of these pairs.

        Args:
            token_pairs: ``(chosen_ids, rejected_ids)`` of each pair, neither empty.
            row_tokens: Most token slots that pairs share; one that alone needs more gets them.
        """
        prefixes = [common_prefix(*pair) for pair in token_pairs]
        return cls(token_pairs, prefixes, pack(_slots(token_pairs, prefixes), row_tokens))

    @property
    def slots(self) -> list[int]:
        """Token slots of each pair: the common prefix once, and both rests."""
        return _slots(self.token_pairs, self.prefixes)

    @property
    def width(self) -> int:
        """Token slots of the longest row."""
        slots = self.slots
        return max(sum(slots[pair] for pair in row) for row in self.rows)

    @property
    def is_cheaper(self) -> bool:
        """Whether these pairs cost less in this layout than in the padded one.

        Two long responses that share next to nothing do not: side by side in one row, each is hidden from the other,
        and the attention between them is computed all the same.

        Example:
            >>> alike, unlike = ([5] * 900 + [6], [5] * 900 + [7]), ([5] * 900, [6] * 900)
            >>> Packing.of([alike]).is_cheaper, Packing.of([unlike]).is_cheaper
            (True, False)
        """
        longest = max(len(response) for pair in self.token_pairs for response in pair)
        return row_cost(len(self.rows), self.width) < row_cost(2 * len(self.token_pairs), longest)


def collate_shared_prefix(
    token_pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    pad_token_id: int,
    mask_form: MaskForm,
    margin: Sequence[float] | None = None,
    row_tokens: int = ROW_TOKENS,
    packing: Packing | None = None,
) -> SharedPrefixBatch:
    """Pairs of token-id sequences as one batch with shared prefixes.

    Args:
        token_pairs: ``(chosen_ids, rejected_ids)`` of each pair, neither empty.
        pad_token_id: The model's pad id. A response must not end in it: the padded layout would pool one token early.
        mask_form: How the model wants its attention mask.
        margin: Rating differences, one per pair.
        row_tokens: Most token slots that pairs share; one that alone needs more gets them.
        packing: Of these pairs, where it is known already.

    Raises:
        ValueError: No pairs, or a response that is empty or ends in the pad token.

    Example:
        >>> batch = collate_shared_prefix([([5, 6, 7], [5, 8])], pad_token_id=0, mask_form=MaskForm(additive=True))
        >>> batch.input_ids.tolist(), batch.position_ids.tolist()
        ([[5, 6, 7, 8]], [[0, 1, 2, 1]])
        >>> batch.chosen_index.tolist(), batch.rejected_index.tolist()
        ([[0, 2]], [[0, 3]])
    """
    require_responses(token_pairs, pad_token_id)
    last = [(len(chosen) - 1, len(rejected) - 1) for chosen, rejected in token_pairs]
    margins = None if margin is None else torch.tensor(margin, dtype=torch.float32)
    return _lay_out(packing or Packing.of(token_pairs, row_tokens), last, pad_token_id, mask_form, margins)


def share_prefixes(
    batch: PairBatch,
    pad_token_id: int,
    mask_form: MaskForm,
    row_tokens: int = ROW_TOKENS,
    packing: Packing | None = None,
) -> SharedPrefixBatch:
    """A padded batch laid out with shared prefixes, pooled at the same tokens.

    That keeps transformers' choice of token where the pad token is also the end token: the one before the end.

    Args:
        batch: A batch in the padded layout.
        pad_token_id: Fills the slots that no pair needs.
        mask_form: How the model wants its attention mask.
        row_tokens: Most token slots that pairs share; one that alone needs more gets them.
        packing: Of the batch's pairs, where it is known already.
    """
    packing = packing or Packing.of(batch.token_pairs(), row_tokens)
    first = batch.attention_mask.argmax(dim=1)  # (rows,): where the text begins, whatever side the padding is on
    end_chosen, end_rejected = (
        (index[:, 1] - first[index[:, 0]]).tolist() for index in (batch.chosen_index, batch.rejected_index)
    )
    last = list(zip(end_chosen, end_rejected, strict=True))
    shared = _lay_out(packing, last, pad_token_id, mask_form, batch.margin)
    return shared.to(batch.input_ids.device)


def common_prefix(chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> int:
    """Number of leading tokens that both sequences share, leaving each at least one of its own.

    The last token of a response is where its reward is read, so each response keeps one even where one response is the
    beginning of the other, or both are the same.

    Example:
        >>> common_prefix([1, 2, 3, 4], [1, 2, 9]), common_prefix([1, 2], [1, 2]), common_prefix([1, 2, 3], [1])
        (2, 1, 0)
    """
    limit = min(len(chosen_ids), len(rejected_ids)) - 1
    for i in range(limit):
        if chosen_ids[i] != rejected_ids[i]:
            return i
    return limit


def shared_slots(chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> int:
    """Token slots of a pair in this layout: the common prefix once, and both rests.

    Example:
        >>> shared_slots([1, 2, 3, 4], [1, 2, 9])
        5
    """
    return len(chosen_ids) + len(rejected_ids) - common_prefix(chosen_ids, rejected_ids)


def pack(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Rows of pair numbers, evenly filled, as many as cost least; none longer than `row_tokens` or the longest pair.

    Many rows pad each pair to the longest; few rows are long and waste attention on pairs that must not see each other.
    The result depends on the lengths only.

    Example:
        >>> pack([3, 9, 5, 1], row_tokens=9)
        [[1], [2, 0, 3]]
    """
    limit = max(row_tokens, *lengths)
    best: list[list[int]] = []
    lowest = math.inf
    for count in range(math.ceil(sum(lengths) / limit), len(lengths) + 1):
        if count * max(lengths) >= lowest:  # no row is shorter, so this many cost more already, and so do all above
            break
        rows, width = _evenly_filled(lengths, count)
        cost = row_cost(count, width)
        if width <= limit and cost < lowest:
            best, lowest = rows, cost
    return best


def row_cost(rows: int, width: int) -> float:
    """What so many rows of this width cost to compute, in slots of very short rows."""
    return rows * width * (1 + width / ATTENTION_LENGTH)


def _evenly_filled(lengths: Sequence[int], count: int) -> tuple[list[list[int]], int]:
    """So many rows, each pair from long to short in the row that is shortest so far; and the length of the longest."""
    rows: list[list[int]] = [[] for _ in range(count)]
    filled = [(0, row) for row in range(count)]  # a heap: the shortest row comes first
    for pair in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length, row = filled[0]
        rows[row].append(pair)
        heapq.heapreplace(filled, (length + lengths[pair], row))
    return rows, max(filled)[0]


def _slots(token_pairs: Sequence[tuple[Sequence[int], Sequence[int]]], prefixes: Sequence[int]) -> list[int]:
    return [
        len(chosen) + len(rejected) - prefix for (chosen, rejected), prefix in zip(token_pairs, prefixes, strict=True)
    ]


def _lay_out(
    packing: Packing, last: Sequence[tuple[int, int]], pad_token_id: int, mask_form: MaskForm, margin: Tensor | None
) -> SharedPrefixBatch:
    """The batch; `last` says which token of each response is pooled."""
    lengths = packing.slots
    shape = len(packing.rows), packing.width
    input_ids = torch.full(shape, pad_token_id)
    pair_of_slot = torch.full(shape, PADDING)
    branch, position_ids = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    slots_of_pair = torch.full((len(lengths), max(lengths)), -1)
    pooled = torch.zeros((len(lengths), 2, 2), dtype=torch.long)  # pair, side, (row, column)
    for i, row in enumerate(packing.rows):
        start = 0
        for pair in row:
            (chosen, rejected), shared = packing.token_pairs[pair], packing.prefixes[pair]
            own = len(chosen) - shared, len(rejected) - shared
            slots = slice(start, start + lengths[pair])
            input_ids[i, slots] = torch.tensor([*chosen, *rejected[shared:]])
            pair_of_slot[i, slots] = pair
            branch[i, slots] = torch.tensor([PREFIX] * shared + [CHOSEN] * own[0] + [REJECTED] * own[1])
            position_ids[i, slots] = torch.tensor([*range(len(chosen)), *range(shared, len(rejected))])
            slots_of_pair[pair, : lengths[pair]] = torch.arange(lengths[pair]) + i * shape[1] + start
            end_chosen, end_rejected = last[pair]
            # A token of the prefix can be pooled for either side: it is in the row once, before the chosen rest. Two
            # equal responses are pooled at one token: each at its own could be rounded differently, and not tie.
            after = own[0] if end_rejected >= shared and chosen != rejected else 0
            pooled[pair] = torch.tensor([[i, start + end_chosen], [i, start + end_rejected + after]])
            start += lengths[pair]
    return SharedPrefixBatch(
        input_ids=input_ids,
        attention_mask=(pair_of_slot != PADDING).long(),
        chosen_index=pooled[:, 0],
        rejected_index=pooled[:, 1],
        margin=margin,
        position_ids=position_ids,
        pair_of_slot=pair_of_slot,
        branch=branch,
        slots_of_pair=slots_of_pair,
        mask_form=mask_form,
    )
