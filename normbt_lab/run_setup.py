"""What is settled before the first step of a run: layout, objective, and whether the model can train as asked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from typing import Any

from datasets import Dataset, IterableDataset
from torch import Tensor, nn

from normbt_lab.data.batches import PairBatch
from normbt_lab.dropout import active_dropout
from normbt_lab.errors import UsageError
from normbt_lab.layouts import CHECKED_PAIRS, PADDED, Layout, choose_layout
from normbt_lab.objectives import OBJECTIVES, PairObjective
from normbt_lab.representations import pad_token_id, score_head

logger = logging.getLogger(__name__)


def choose_layout_of_run(
    model: nn.Module, data: Any, collate: Callable[[list[Any]], dict[str, Any]], layout: str, is_sharded: bool
) -> Layout:
    """The layout of a run, after a check on two of its pairs.

    Args:
        model: The model that trains.
        data: Tokenised pairs; where there are none to look at, the layout is padded.
        collate: Makes TRL's batch of them.
        layout: One of `LAYOUTS`.
        is_sharded: Parameters are spread over processes (FSDP, DeepSpeed).

    Raises:
        UsageError: ``shared_prefix`` was asked for and something stands in its way.
    """
    obstacle = _obstacle_to_shared_prefixes(model, is_sharded)
    if obstacle and layout == "shared_prefix":
        raise UsageError(f'no layout="shared_prefix" here: {obstacle}. Use layout="auto" or "padded".')
    if obstacle and layout == "auto":
        logger.warning("Padded layout: %s.", obstacle)
    if obstacle or layout == "padded" or not isinstance(data, Dataset | IterableDataset):
        return PADDED
    sample = collate(list(islice(data, CHECKED_PAIRS)))
    device = next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in sample.items() if isinstance(value, Tensor)}
    return choose_layout(model, PairBatch.from_padded(inputs, pad_token_id(model)), layout)


def _obstacle_to_shared_prefixes(model: nn.Module, is_sharded: bool) -> str | None:
    if is_sharded:
        return "under FSDP and DeepSpeed the layouts cannot be compared before the run"
    dropout = active_dropout(model)
    if dropout:
        name, rate = next(iter(dropout.items()))
        return f"dropout is on ({name}: {rate:g}), and a shared prefix would be dropped out once for both responses"
    return None


def choose_objective(name: str, has_margin: bool) -> PairObjective | None:
    """The objective of a run, or None for TRL's rule, which looks at each batch.

    Raises:
        UsageError: The objective needs margins and the data has none.
    """
    if name == "auto":
        return None
    objective = OBJECTIVES[name]
    if objective.needs_margin and not has_margin:
        raise UsageError(
            f"objective={name!r} needs a column 'margin' and the data has none: add ratings, or choose bradley_terry"
        )
    if has_margin and not objective.needs_margin:
        logger.warning("The data has a column 'margin'; objective=%r ignores it.", name)
    return objective


def require_exact_gradients(fp16: bool, is_sharded: bool) -> None:
    """Refuse a run in which ``weighting="exact"`` could not measure what it divides by."""
    if fp16:
        raise UsageError(
            'weighting="exact" measures gradients before the loss is scaled, and they would vanish in float16: '
            "use bf16, or float32"
        )
    if is_sharded:
        raise UsageError('weighting="exact" needs whole parameters on each process: use DDP, not FSDP or DeepSpeed')


def require_trainable_head(model: nn.Module) -> None:
    """Stop before a run whose score head would stay random: PEFT freezes it unless told otherwise."""
    weight = score_head(model).weight
    if not weight.is_floating_point():
        raise UsageError(
            "the score head is quantised and cannot train: quantise the backbone only (llm_int8_skip_modules=['score'])"
        )
    if not weight.requires_grad:
        raise UsageError(
            "the score head is frozen, so the rewards would stay random: pass "
            "LoraConfig(task_type='SEQ_CLS', modules_to_save=['score'])"
        )


def restore_float32_masters(model: nn.Module) -> None:
    """Trained parameters in float32 again: on a 4-bit backbone TRL casts them, the score head included, to bfloat16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
