"""`normbt compare`: two reward models and a file of pairs in, their comparison and a page about it out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.comparison import Comparison, compare_models
from normbt_lab.evaluation.comparison_tables import disagreement_rows, notes, paired_rows, verdict
from normbt_lab.evaluation.names import distinct_names
from normbt_lab.scoring.score import score_pairs

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel
    from normbt_lab.scoring.scored_pair import ScoredPair

logger = logging.getLogger(__name__)

ON_PAGE = 20
"""Pairs that a page shows of each kind."""


def compare_files(
    model: str,
    baseline: str,
    input: str,
    *,
    base_model: str | None = None,
    dtype: str = "float32",
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    bins: int = 5,
    rejects: str | None = None,
    progress: bool = True,
) -> Comparison:
    """Comparison of two reward models on a file of pairs. One model is in memory at a time.

    A pair that one of the tokenizers refuses is left out for all, and counted in a warning.

    Args:
        model: Folder or hub id of a reward model.
        baseline: Folder or hub id of what it is compared with.
        input: What `read_pairs` reads; ``-`` for JSON lines on standard input.
        base_model: Backbone whose untrained representations give the distances, as in the paper's figure 4; None for
            those of the trained baseline.
        dtype: Arithmetic of the backbones: ``float32``, ``bfloat16`` or ``float16``.
        batch_size: Most pairs in one forward pass.
        max_length: Most tokens of a response with its prompt, 4,096 or the model's own limit by default.
        layout: As in `score_pairs`: whether what both responses share is computed once.
        bins: Number of distance bins.
        rejects: File for rows that could not be scored.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: No pair that all can score, or a reward that is not finite.
    """
    from normbt_lab.layouts import layout_used
    from normbt_lab.model import load_reward_model

    names = _names(model, baseline)
    layouts: dict[str, str] = {}
    with RejectLog(rejects) as log:
        pairs = list(read_pairs(input, rejects=log))
        if not pairs:
            raise NormBTError("nothing to compare: no pair. Is the input empty, or was every row rejected?")

        def scored_by(reward_model: RewardModel, name: str) -> dict[int, ScoredPair]:
            found = score_pairs(
                reward_model,
                pairs,
                batch_size=batch_size,
                max_length=max_length,
                layout=layout,
                rejects=log,
                progress=progress,
            )
            scored = {pair.index: pair for pair in found}
            if used := layout_used(reward_model.model, layout):
                layouts[name] = used
            return scored

        scores = []
        for name, place in zip(names, (model, baseline), strict=True):
            scores.append(scored_by(load_reward_model(place, dtype), name))
            gc.collect()  # before the next model asks for memory
        if base_model is not None:
            scores.append(scored_by(_untrained(base_model, dtype), base_model))
        if log.total:
            logger.warning("%s", log.summary())
    return replace(_comparison(scores, pairs, names, base_model, bins), layouts=layouts)


def write_comparison(path: str | Path, comparison: Comparison) -> Path:
    """Path of a page with the tables, the figure and the closest disagreements, once it is written."""
    from normbt_lab.evaluation.comparison_figures import disagreement_by_distance_figure
    from normbt_lab.report import Section, write_report

    figure = disagreement_by_distance_figure(comparison)
    sections = [
        Section("Accuracy over the same pairs", verdict(comparison), table=paired_rows(comparison)),
        Section("Disagreements by distance", notes(comparison).replace("\n", "\n\n"), figure=figure),
    ]
    for name, model_is_right in ((comparison.model, True), (comparison.baseline, False)):
        closest = comparison.closest(ON_PAGE, model_is_right=model_is_right)
        if closest:
            text = "From closest to farthest; texts are cut to where the two responses first differ."
            sections.append(Section(f"Pairs that only {name} ranks right", text, table=disagreement_rows(closest)))
    return write_report(path, f"{comparison.model} against {comparison.baseline}", sections)


def _names(model: str, baseline: str) -> tuple[str, str]:
    """What the two models are called; one that is compared with itself is told apart too."""
    first, second = distinct_names([model, baseline])
    return first, second if first != second else f"{second} (baseline)"


def _untrained(name: str, dtype: str) -> RewardModel:
    """The backbone under a head that no one trained: of its scores, only the distances mean anything."""
    import torch

    from normbt_lab.backbones import load_tokenizer, resolve_backbone
    from normbt_lab.model import RewardModel, build_reward_model

    backbone = resolve_backbone(name)
    # With the adapter `head` the frozen backbone takes the arithmetic asked for.
    model = build_reward_model(backbone, "head", dtype=getattr(torch, dtype))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return RewardModel(model.to(device).eval(), load_tokenizer(backbone), name)


def _comparison(
    scores: Sequence[dict[int, ScoredPair]],
    pairs: Sequence[PreferencePair],
    names: tuple[str, str],
    base_model: str | None,
    bins: int,
) -> Comparison:
    """The comparison over the pairs that every model could score."""
    shared = sorted(set.intersection(*(set(found) for found in scores)))
    if not shared:
        raise NormBTError("nothing to compare: no pair that all models can score. Do their chat templates refuse them?")
    if len(shared) < len(pairs):
        logger.warning("compared on %s of %s pairs: the others could not be scored", len(shared), len(pairs))
    ours, theirs, *base = ([found[i] for i in shared] for found in scores)
    distances = [pair.representation_distance for pair in base[0]] if base else None
    return compare_models(ours, theirs, distances=distances, names=names, distance_source=base_model, bins=bins)
