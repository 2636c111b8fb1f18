"""Which pairs a run that nobody has changed learns from: the share of the update of each category or source.

At the score head the size of a pair's update is its prediction error times its distance (paper eq. 6). A callback reads
both off the forward passes that the run makes anyway, so that the bias shows before anything is changed.
"""

from __future__ import annotations

import heapq
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from normbt_lab.data.batches import PairBatch
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.representations import representation_distance, score_head

logger = logging.getLogger(__name__)

STRONGEST = 10
"""Pairs in the list of those that pulled most."""

UNKNOWN = "not in the data set"


@dataclass(frozen=True)
class PulledPair:
    """One pair at the moment of its strongest pull.

    Attributes:
        pull: prediction error * distance, the norm of its gradient at the score head (paper eq. 6).
        prediction_error: 1 - sigmoid(reward difference, less the margin where the run uses one).
        distance: Representation distance.
        group: Its category or source.
        step: Optimizer steps done when it was seen.
        chosen_ids: Token ids of the chosen side.
        rejected_ids: Token ids of the rejected side.
    """

    pull: float
    prediction_error: float
    distance: float
    group: str
    step: int
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]


@dataclass(frozen=True)
class GroupShare:
    """A group's part in what happened between two logs: of the pairs, and of the update."""

    of_pairs: float
    of_update: float


@dataclass(frozen=True)
class ShareRecord:
    """The shares of all groups between two logs.

    Attributes:
        step: Optimizer steps done.
        shares: Group -> its share; each of the two adds up to 1.
    """

    step: int
    shares: Mapping[str, GroupShare]


class UpdateShareCallback(TrainerCallback):
    """Shows whose gradients make the update, in TRL's ``RewardTrainer`` or any transformers ``Trainer`` of pairs.

    At each log the shares are printed, join the log's record (``update_share/chat``), and the page is written anew. The
    training itself is untouched: nothing is computed but a norm and a sigmoid per pair. Under several processes the
    first one's pairs are shown. Norms of single pairs are added up, so directions that cancel count fully.

    The pull is that of plain Bradley-Terry: the weights of a mixin are left out. `NormBTTrainer` is watched where it
    trains so, with ``layout="padded"``, ``weighting="uniform"`` and ``objective="bradley_terry"``; what else it does to
    a pair does not show in what its model is fed.

    Args:
        dataset: The trainer's own data, ``trainer.train_dataset``: columns ``chosen_ids``, ``rejected_ids`` and `by`.
        by: Column that names the group, such as ``category`` or ``source``; None for no groups.
        page: HTML page to write; None for none.

    Raises:
        UsageError: The data has not the columns.

    Example:
        trainer.add_callback(UpdateShareCallback(trainer.train_dataset, by="source", page="update_share.html"))
    """

    def __init__(self, dataset: Any, by: str | None = "category", page: str | Path | None = None) -> None:
        self.records: list[ShareRecord] = []
        self._groups = _groups(dataset, by)
        self._page = Path(page) if page is not None else None
        self._since_log = _Sums()
        self._over_run = _Sums()
        self._strongest: dict[tuple[tuple[int, ...], tuple[int, ...]], PulledPair] = {}
        self._hooks: list[Any] = []
        self._inputs: dict[str, Any] = {}
        self._step = 0
        self._tokenizer: Any = None

    @property
    def total(self) -> Mapping[str, GroupShare]:
        """The shares over the whole run so far."""
        return self._over_run.shares()

    @property
    def strongest(self) -> list[PulledPair]:
        """The ten pairs that pulled most, each at its strongest, strongest first."""
        return sorted(self._strongest.values(), key=lambda pair: -pair.pull)

    # ---- what the trainer calls

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start to listen to the forward passes.

        Raises:
            UsageError: The run shares prefixes, weighs its pairs or has another loss.
        """
        _require_plain_run(args)
        model: nn.Module = kwargs["model"]
        self._tokenizer = kwargs.get("processing_class")
        self._step = state.global_step
        self._remove_hooks()
        self._hooks = [
            model.register_forward_pre_hook(self._remember_inputs, with_kwargs=True),
            score_head(model).register_forward_hook(self._read_pairs),
        ]
        self._pad_token_id = model.config.get_text_config().pad_token_id  # type: ignore[operator, union-attr]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the steps."""
        self._step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Close the records since the last log."""
        is_of_training = logs is None or "loss" in logs or "train_loss" in logs
        if not self._since_log.pairs or not is_of_training:
            return
        shares = self._since_log.shares()
        self._since_log = _Sums()
        self.records.append(ShareRecord(state.global_step, shares))
        numbers = {f"update_share/{name}": share.of_update for name, share in shares.items()}
        state.log_history[-1].update(numbers)
        if logs is not None:
            logs.update(numbers)
        if not state.is_world_process_zero:
            return
        named = ", ".join(
            f"{name} {share.of_update:.0%} (of the pairs {share.of_pairs:.0%})" for name, share in shares.items()
        )
        logger.info("step %d, share of the update: %s", state.global_step, named)
        self.write_page()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop listening."""
        self._remove_hooks()

    def write_page(self) -> None:
        """Write the page as of now, if there is one to write."""
        if self._page is not None:
            from normbt_lab.drop_in.update_share_page import write_update_share_page

            write_update_share_page(self._page, self.total, self.records, self.strongest, self._texts())

    # ---- reading the forward pass

    def _remember_inputs(self, model: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        # Without gradients it is an evaluation, or a trainer that measures before it trains.
        self._inputs = inputs if model.training and torch.is_grad_enabled() else {}

    @torch.no_grad()
    def _read_pairs(self, head: nn.Module, args: tuple[Tensor, ...], scores: Tensor) -> None:
        inputs, self._inputs = self._inputs, {}
        # Checkpointing runs a forward pass again in the backward pass; inputs are taken once.
        if not inputs:
            return
        if inputs.get("input_ids") is None or len(inputs["input_ids"]) % 2:
            raise NormBTError(
                "UpdateShareCallback needs batches of input_ids in TRL's order, all chosen responses and then all "
                "rejected ones; this run feeds its model something else"
            )
        batch = PairBatch.from_padded(inputs, self._pad_token_id)
        reward_chosen, reward_rejected = batch.pool(scores.squeeze(-1).float())
        difference = reward_chosen - reward_rejected
        if batch.margin is not None:
            difference = difference - batch.margin
        error = torch.sigmoid(-difference).tolist()
        distance = representation_distance(*batch.pool(args[0])).tolist()
        rows = _unpadded(batch)
        for index in range(batch.pairs):
            chosen, rejected = rows[index], rows[index + batch.pairs]
            group = self._groups.get(_key(chosen, rejected), UNKNOWN) if self._groups is not None else "all pairs"
            pull = error[index] * distance[index]  # eq. 6
            self._since_log.add(group, pull)
            self._over_run.add(group, pull)
            self._keep_if_strong(PulledPair(pull, error[index], distance[index], group, self._step, chosen, rejected))

    def _keep_if_strong(self, pair: PulledPair) -> None:
        key = (pair.chosen_ids, pair.rejected_ids)
        if key in self._strongest and self._strongest[key].pull >= pair.pull:
            return
        self._strongest[key] = pair
        if len(self._strongest) > STRONGEST:
            weakest = heapq.nsmallest(1, self._strongest, key=lambda name: self._strongest[name].pull)[0]
            del self._strongest[weakest]

    def _texts(self) -> list[tuple[str, str]]:
        """Both responses of the strongest pairs, without what they begin with in common."""
        return [_ends(self._tokenizer, pair.chosen_ids, pair.rejected_ids) for pair in self.strongest]

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


class _Sums:
    """Pairs and pull of each group, added up."""

    def __init__(self) -> None:
        self.pairs: dict[str, int] = defaultdict(int)
        self.pull: dict[str, float] = defaultdict(float)

    def add(self, group: str, pull: float) -> None:
        self.pairs[group] += 1
        self.pull[group] += pull

    def shares(self) -> dict[str, GroupShare]:
        pairs, pull = sum(self.pairs.values()), sum(self.pull.values())
        return {
            name: GroupShare(self.pairs[name] / pairs, self.pull[name] / pull if pull else 0.0)
            for name in sorted(self.pairs)
        }


def _require_plain_run(args: Any) -> None:
    wanted = {"layout": "padded", "weighting": "uniform", "objective": "bradley_terry"}  # TRL's arguments have none
    changed = {name: getattr(args, name) for name, value in wanted.items() if getattr(args, name, value) != value}
    if changed:
        got = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        needed = ", ".join(f"{name}={wanted[name]!r}" for name in changed)
        raise UsageError(
            f"UpdateShareCallback shows the update of plain Bradley-Terry, one row per response; this run has {got}. "
            f"Set {needed}, or leave the callback out"
        )


def _groups(dataset: Any, by: str | None) -> dict[int, str] | None:
    """Group of each pair, found by its token ids, because batches carry nothing else."""
    if by is None:
        return None
    columns = getattr(dataset, "column_names", None) or []
    missing = {"chosen_ids", "rejected_ids", by} - set(columns)
    if missing:
        raise UsageError(
            f"UpdateShareCallback found no column {', '.join(sorted(missing))} in the data, which has "
            f"{', '.join(columns) or 'none'}: pass trainer.train_dataset, and name the column of the groups with by="
        )
    rows = dataset.select_columns(["chosen_ids", "rejected_ids", by])
    return {_key(row["chosen_ids"], row["rejected_ids"]): str(row[by] or "none") for row in rows}


def _key(chosen: Iterable[int], rejected: Iterable[int]) -> int:
    return hash((tuple(chosen), tuple(rejected)))


def _unpadded(batch: PairBatch) -> list[tuple[int, ...]]:
    ids, mask = batch.input_ids.cpu(), batch.attention_mask.bool().cpu()
    return [tuple(row[kept].tolist()) for row, kept in zip(ids, mask, strict=True)]


def _ends(tokenizer: Any, chosen: Sequence[int], rejected: Sequence[int]) -> tuple[str, str]:
    common = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False)))
    if tokenizer is None:
        return str(list(chosen[common:])), str(list(rejected[common:]))
    return tokenizer.decode(list(chosen[common:])), tokenizer.decode(list(rejected[common:]))
