"""`normbt audit`: a model and pairs in; a summary, one record per pair and a page out."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from normbt_lab.audit.summary import Audit, audit_pairs
from normbt_lab.audit.tables import audit_rows, facts
from normbt_lab.audit.verdict import verdict
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.gradients.measured_pair import MeasuredPair
from normbt_lab.whole_files import whole_file

logger = logging.getLogger(__name__)


def audit_file(
    model: str,
    input: str,
    *,
    pairs: int = 200,
    adapter: str = "none",
    num_layers: int | None = None,
    batch_size: int = 4,
    max_length: int = 1024,
    layout: str = "auto",
    seed: int = 0,
    rejects: str | None = None,
    progress: bool = True,
) -> tuple[Audit, list[MeasuredPair]]:
    """The audit of a model on a sample of a file of pairs, and the measured pairs behind it.

    Args:
        model: A reward model (folder or hub id), or a backbone, which gets a fresh score head.
        input: What `read_pairs` reads.
        pairs: How many to measure; drawn at random where the input has more.
        adapter: For a backbone: the parameters that training would move (``none``: all; ``lora``; ``head``).
        num_layers: For a backbone: use only so many layers.
        batch_size: Most pairs in one pass.
        max_length: Most tokens of a response with its prompt; what is longer is cut on the right.
        layout: As in `measure_pairs`: whether what both responses share is computed once.
        seed: Seed of the sample and of a fresh head.
        rejects: File for rows that could not be read.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: Fewer than 20 pairs, or a model that cannot be read.
    """
    from normbt_lab.audit.loading import load_for_audit
    from normbt_lab.gradients.measure import measure_pairs
    from normbt_lab.layouts import layout_used
    from normbt_lab.representations import score_head

    with RejectLog(rejects) as log:
        sample = sample_pairs(read_pairs(input, rejects=log), pairs, seed)
        loaded = load_for_audit(model, adapter, num_layers, seed)
        measured = measure_pairs(
            loaded.reward_model,
            sample,
            batch_size=batch_size,
            max_length=max_length,
            layout=layout,
            rejects=log,
            progress=progress,
        )
        if log.total:
            logger.warning("%s", log.summary())
    trained = sum(p.numel() for p in loaded.reward_model.model.parameters() if p.requires_grad)
    audit = audit_pairs(
        measured,
        model=loaded.reward_model.name,
        has_trained_head=loaded.has_trained_head,
        head_norm=score_head(loaded.reward_model.model).weight.norm().item(),
        trained_parameters=trained,
        layout=layout_used(loaded.reward_model.model, layout),
    )
    return audit, measured


def sample_pairs(pairs: Iterable[PreferencePair], size: int, seed: int) -> list[PreferencePair]:
    """At most `size` pairs, each as likely as any other, in the order of the input (reservoir sampling)."""
    draw = random.Random(seed)
    kept: list[tuple[int, PreferencePair]] = []
    for position, pair in enumerate(pairs):
        if len(kept) < size:
            kept.append((position, pair))
        elif (place := draw.randrange(position + 1)) < size:
            kept[place] = (position, pair)
    return [pair for _, pair in sorted(kept, key=lambda item: item[0])]


def write_measured(path: str | Path, measured: Sequence[MeasuredPair]) -> Path:
    """Path of a file with one JSON record per pair, once it is written, whole or not at all."""
    path = Path(path)
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        for pair in measured:
            file.write(json.dumps(_record(pair), ensure_ascii=False) + "\n")
    return path


def _record(pair: MeasuredPair) -> dict[str, Any]:
    scored = pair.scored
    texts = {"prompt": scored.prompt, "chosen": scored.chosen, "rejected": scored.rejected, "category": scored.category}
    return {**texts, **pair.computed()}


def write_audit_report(path: str | Path, audit: Audit, measured: Sequence[MeasuredPair], source: str) -> Path:
    """Path of a self-contained page with the verdict, the tables and the figures, once it is written."""
    from normbt_lab.figures import weight_against_distance_figure
    from normbt_lab.gradients import figures
    from normbt_lab.report import Section, write_report

    judged = verdict(audit)
    scored = [pair.scored for pair in measured]
    sections = [
        Section(judged.headline, "\n\n".join([*judged.reasons, _settings_text(judged.settings)]), table=facts(audit)),
        Section("By category", figure=figures.gradient_by_category_figure(measured), table=audit_rows(audit)),
        Section(
            "How good is the proxy?",
            "The representation distance is the score head's part of the exact gradient norm; the rest is the "
            "backbone's. NormBT divides by the first in the place of the second.",
            figure=figures.proxy_against_exact_figure({audit.model: measured}),
        ),
        Section("Where a pair pulls", figure=figures.norm_by_layer_figure(measured)),
        Section(
            "Update size at a fixed reward difference", figure=figures.update_size_at_fixed_difference_figure(measured)
        ),
    ]
    if any(pair.weight for pair in scored):
        sections.append(Section("Weights", figure=weight_against_distance_figure(scored)))
    return write_report(path, f"Audit of {audit.model} on {len(measured)} pairs of {source}", sections)


def _settings_text(settings: Any) -> str:
    return "Start with " + ", ".join(f"{name}={value!r}" for name, value in settings.items()) + "."
