"""`normbt evaluate`: a reward model and a file of pairs in, its accuracy out."""

from __future__ import annotations

import logging
from dataclasses import replace

from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.evaluation.accuracy import Evaluation, evaluate_pairs
from normbt_lab.scoring.score import score_pairs

logger = logging.getLogger(__name__)


def evaluate_file(
    model: str,
    input: str,
    *,
    dtype: str = "float32",
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    bins: int = 5,
    rejects: str | None = None,
    progress: bool = True,
) -> Evaluation:
    """Accuracy of a reward model on a file of pairs. Over-long responses are cut on the right, as in `score_file`.

    Args:
        model: Folder or hub id of a reward model.
        input: What `read_pairs` reads; ``-`` for JSON lines on standard input.
        dtype: Arithmetic of the backbone: ``float32``, ``bfloat16`` or ``float16``.
        batch_size: Most pairs in one forward pass.
        max_length: Most tokens of a response with its prompt, 4,096 or the model's own limit by default.
        layout: As in `score_pairs`: whether what both responses share is computed once.
        bins: Number of distance bins.
        rejects: File for rows that could not be scored.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: Nothing to evaluate, or a reward that is not finite.
    """
    from normbt_lab.layouts import layout_used
    from normbt_lab.model import load_reward_model

    reward_model = load_reward_model(model, dtype)
    with RejectLog(rejects) as log:
        scored = score_pairs(
            reward_model,
            read_pairs(input, rejects=log),
            batch_size=batch_size,
            max_length=max_length,
            layout=layout,
            rejects=log,
            progress=progress,
        )
        evaluation = evaluate_pairs(scored, bins)
        if log.total:
            logger.warning("%s", log.summary())
    return replace(evaluation, layout=layout_used(reward_model.model, layout))
