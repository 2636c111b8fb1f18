"""Pairs as tensors: what the model is fed, and where each pair's two pooled tokens are.

The layout is this module's own business: everything downstream asks a batch to `pool` what the model computed.
Derived in ``notebooks/01_bradley_terry.ipynb``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class PairBatch:
    """Token ids of `pairs` pairs and the positions at which the reward of each response is read.

    This class is the padded layout, the reference: one row per response. Built by `collate_pairs` (from token ids) or
    `PairBatch.from_padded` (from TRL's collator). `normbt_lab.data.shared_prefix` has the faster layout.

    Attributes:
        input_ids: Token ids, shape (rows, tokens); the padded layout has rows = 2 * pairs, chosen first (as TRL).
        attention_mask: 1 for real tokens, 0 for padding, same shape.
        chosen_index: Row and column of the pooled token of each chosen response, shape (pairs, 2).
        rejected_index: The same for the rejected responses.
        margin: Rating differences, shape (pairs,), or None where the data has none.
    """

    input_ids: Tensor
    attention_mask: Tensor
    chosen_index: Tensor
    rejected_index: Tensor
    margin: Tensor | None = None

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return self.chosen_index.shape[0]

    @classmethod
    def from_padded(cls, inputs: Mapping[str, Any], pad_token_id: int) -> PairBatch:
        """A batch in TRL's layout: all chosen rows, then all rejected rows, padded to one length.

        The pooled token is the one transformers pools at: the rightmost that is not `pad_token_id`
        (``GenericForSequenceClassification.forward``), whatever side the padding is on.

        Args:
            inputs: ``input_ids`` and ``attention_mask``, shape (2 * pairs, tokens); optionally ``margin``, (pairs,).
            pad_token_id: The model's own pad id, ``model.config.pad_token_id``.
        """
        input_ids = inputs["input_ids"]
        column = torch.arange(input_ids.shape[1], device=input_ids.device)
        last = (column * (input_ids != pad_token_id)).argmax(dim=-1)  # (rows,)
        index = torch.stack([torch.arange(len(last), device=last.device), last], dim=-1)  # (rows, 2)
        chosen_index, rejected_index = index.chunk(2)
        return cls(input_ids, inputs["attention_mask"], chosen_index, rejected_index, inputs.get("margin"))

    def model_inputs(self) -> dict[str, Any]:
        """Keyword arguments for the model's forward pass."""
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask, "use_cache": False}

    def pool(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """What the model computed at the pooled tokens: chosen, rejected.

        Args:
            states: One vector per token, shape (rows, tokens, ...).

        Returns:
            Two tensors of shape (pairs, ...).
        """
        return states[tuple(self.chosen_index.T)], states[tuple(self.rejected_index.T)]

    def by_pair(self, states: Tensor) -> Tensor:
        """All token slots that belong to each pair, as one row per pair.

        A parameter's gradient for one pair is a sum over just these slots, so exact per-pair gradients need them
        together.

        Args:
            states: One vector per token, shape (rows, tokens, d).

        Returns:
            Shape (pairs, tokens of a pair, d): the chosen row, then the rejected row.

        Example:
            >>> batch = collate_pairs([([5, 6], [5, 7]), ([8], [9])], pad_token_id=0)
            >>> batch.by_pair(batch.input_ids.unsqueeze(-1)).squeeze(-1).tolist()
            [[5, 6, 5, 7], [8, 0, 9, 0]]
        """
        return torch.cat([states[self.chosen_index[:, 0]], states[self.rejected_index[:, 0]]], dim=1)

    def average_pool(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Means over all real tokens of each response's sequence, prompt included (decisions, point 17).

        Args:
            states: One vector per token, shape (rows, tokens, hidden).

        Returns:
            Two tensors of shape (pairs, hidden), float32.
        """
        mask = self.attention_mask.unsqueeze(-1).float()  # (rows, tokens, 1)
        means = (states.float() * mask).sum(dim=1) / mask.sum(dim=1)  # (rows, hidden)
        return means[self.chosen_index[:, 0]], means[self.rejected_index[:, 0]]

    def token_pairs(self) -> list[tuple[list[int], list[int]]]:
        """Chosen and rejected token ids of each pair, without padding."""
        rows = zip(self.input_ids.cpu(), self.attention_mask.cpu().bool(), strict=True)
        ids = [row[is_token].tolist() for row, is_token in rows]
        places = zip(self.chosen_index[:, 0].tolist(), self.rejected_index[:, 0].tolist(), strict=True)
        return [(ids[chosen], ids[rejected]) for chosen, rejected in places]

    def take(self, numbers: Sequence[int]) -> PairBatch:
        """Some of the pairs as a batch of their own, without the columns that only the others need.

        Example:
            >>> batch = collate_pairs([([5, 6, 7], [5, 8]), ([5], [9])], pad_token_id=0)
            >>> batch.take([1]).input_ids.tolist()
            [[5], [9]]
        """
        chosen_index, rejected_index = self.chosen_index[numbers], self.rejected_index[numbers]
        rows = torch.cat([chosen_index[:, 0], rejected_index[:, 0]])
        used = self.attention_mask[rows].any(dim=0).nonzero()
        columns = slice(int(used.min()), int(used.max()) + 1)
        pooled = torch.cat([chosen_index, rejected_index])[:, 1] - columns.start
        index = torch.stack([torch.arange(len(rows), device=rows.device), pooled], dim=-1)  # (rows, 2)
        return PairBatch(
            input_ids=self.input_ids[rows, columns],
            attention_mask=self.attention_mask[rows, columns],
            chosen_index=index[: len(numbers)],
            rejected_index=index[len(numbers) :],
            margin=None if self.margin is None else self.margin[numbers],
        )

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def collate_pairs(
    token_pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    pad_token_id: int,
    margin: Sequence[float] | None = None,
) -> PairBatch:
    """Pairs of token-id sequences as one right-padded batch.

    Args:
        token_pairs: ``(chosen_ids, rejected_ids)`` of each pair, neither empty.
        pad_token_id: The model's pad id. A response must not end in it: the model would pool one token early.
        margin: Rating differences, one per pair.

    Raises:
        ValueError: No pairs, or a response that is empty or ends in the pad token.

    Example:
        >>> batch = collate_pairs([([5, 6, 7], [5, 8])], pad_token_id=0)
        >>> batch.input_ids.tolist()
        [[5, 6, 7], [5, 8, 0]]
        >>> batch.rejected_index.tolist()
        [[1, 1]]
    """
    require_responses(token_pairs, pad_token_id)
    rows = [chosen for chosen, _ in token_pairs] + [rejected for _, rejected in token_pairs]
    longest = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), longest), pad_token_id)
    attention_mask = torch.zeros_like(input_ids)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.tensor(row)
        attention_mask[i, : len(row)] = 1
    inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
    if margin is not None:
        inputs["margin"] = torch.tensor(margin, dtype=torch.float32)
    return PairBatch.from_padded(inputs, pad_token_id)


def require_responses(token_pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad_token_id: int) -> None:
    """Refuse pairs in which the reward of a response has no token to be read at.

    Raises:
        ValueError: No pairs, or a response that is empty or ends in the pad token.
    """
    if not token_pairs:
        raise ValueError("a batch needs at least one pair, got none")
    for pair in token_pairs:
        for row in pair:
            if not row or row[-1] == pad_token_id:
                raise ValueError(
                    f"a response is empty or ends in the pad token ({pad_token_id}), so the model would pool "
                    "elsewhere: is the pad token also the end-of-sequence token?"
                )
