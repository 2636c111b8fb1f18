"""The benchmarks by name, and the one function that runs any of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from normbt_lab.data.rejects import BadRow, Reason, RejectLog
from normbt_lab.data.rows import open_rows
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.benchmarks.benchmark import CHAT_TEMPLATE, Benchmark
from normbt_lab.evaluation.benchmarks.items import BenchmarkItem, ScoredItem
from normbt_lab.evaluation.benchmarks.judgebench import JUDGEBENCH
from normbt_lab.evaluation.benchmarks.outputs import write_outputs
from normbt_lab.evaluation.benchmarks.result import BenchmarkResult, Protocol
from normbt_lab.evaluation.benchmarks.rewardbench import PRIOR_HUB_ID, PRIOR_SETS, REWARDBENCH
from normbt_lab.evaluation.benchmarks.rewardbench2 import REWARDBENCH2
from normbt_lab.evaluation.benchmarks.rm_bench import RM_BENCH
from normbt_lab.evaluation.benchmarks.scoring import score_items
from normbt_lab.evaluation.calibration import calibration
from normbt_lab.scoring.score import longest_sequence

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel

logger = logging.getLogger(__name__)

BENCHMARKS: dict[str, Benchmark] = {one.name: one for one in (REWARDBENCH, REWARDBENCH2, RM_BENCH, JUDGEBENCH)}


def evaluate_benchmark(
    model: str | RewardModel,
    benchmark: str,
    input: str | None = None,
    *,
    split: str | None = None,
    prior_sets: str | None = None,
    dtype: str = "float32",
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    rejects: str | None = None,
    output: str | None = None,
    progress: bool = True,
) -> BenchmarkResult:
    """What a reward model scores on a benchmark, by the benchmark's own rule and with ties counted both ways.

    Args:
        model: Folder or hub id of a reward model, or one from `load_reward_model`.
        benchmark: A name in `BENCHMARKS`.
        input: A local file with the columns of the benchmark's data set, a folder, or another hub id; None for the
            data set itself.
        split: Which part of a hub data set or folder; the benchmark's own by default.
        prior_sets: RewardBench only: ``allenai/pref-test-sets``, or a file with those rows and the name of their set
            as ``subset``, for the leaderboard's fifth section.
        dtype: Arithmetic of the backbone where `model` is a name. Rewards in half precision depend on the batch in
            their last bits, and ties become common.
        batch_size: Most pairs of responses in one forward pass; changes speed only.
        max_length: Most tokens of a response with its prompt, 4,096 or the model's own limit by default.
        layout: As in `score_pairs`: whether what both responses share is computed once.
        rejects: File for rows that could not be scored.
        output: Folder for the benchmark's own result files and ``result.json``.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: No row of the benchmark in the input, or a reward that is not finite.
        UsageError: An unknown benchmark, or Prior Sets for another than RewardBench.
    """
    from normbt_lab.model import load_reward_model

    chosen = _benchmark(benchmark)
    sources = _sources(chosen, input, split, prior_sets)
    with RejectLog(rejects) as log:
        # Before the model: a wrong file is found in no time.
        items, rows_sha256 = _read(chosen, sources, log)
        reward_model = load_reward_model(model, dtype) if isinstance(model, str) else model
        scored = score_items(
            reward_model,
            items,
            batch_size=batch_size,
            max_length=max_length,
            layout=layout,
            rejects=log,
            progress=progress,
        )
        if log.total:
            logger.warning("%s", log.summary())
        if not scored:
            raise NormBTError(f"{chosen.title}: no item could be scored: {log.summary()}")
        rejected = log.total
    protocol = _protocol(reward_model, sources, rows_sha256, scored, rejected, batch_size, max_length, layout)
    result = benchmark_result(chosen.name, scored, protocol)
    if output is not None:
        write_outputs(output, chosen, result, reward_model)
    return result


def benchmark_result(benchmark: str, scored: Sequence[ScoredItem], protocol: Protocol) -> BenchmarkResult:
    """The result that scored items amount to, for rewards that come from elsewhere.

    Args:
        benchmark: A name in `BENCHMARKS`.
        scored: Items with rewards.
        protocol: How the rewards were measured.

    Raises:
        NormBTError: No score can be computed from these items.
        UsageError: An unknown benchmark.
    """
    known = _benchmark(benchmark)
    found = known.score(scored)
    if not found.scores:
        raise NormBTError(f"{known.title}: nothing to score. {'; '.join(found.notes)}")
    differences = [
        right - wrong for one in scored for right in one.chosen(one.rewards) for wrong in one.rejected(one.rewards)
    ]
    return BenchmarkResult(
        benchmark=known.name,
        title=known.title,
        rule=known.rule,
        scores=found.scores,
        details=found.details,
        notes=[*_completeness(known, scored, protocol.rejected), *found.notes],
        calibration=calibration(differences),
        protocol=protocol,
        items=scored,
    )


def _benchmark(name: str) -> Benchmark:
    if name not in BENCHMARKS:
        raise UsageError(f"unknown benchmark {name!r}: expected {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def _completeness(benchmark: Benchmark, scored: Sequence[ScoredItem], rejected: int) -> list[str]:
    notes = []
    own = sum(one.item.group not in PRIOR_SETS for one in scored)
    if own != benchmark.items:
        notes.append(f"{own:,} items, where the published {benchmark.title} has {benchmark.items:,}")
    if rejected:
        notes.append(f"{rejected:,} rows rejected, which no score contains")
    return notes


# ---- data ------------------------------------------------------------------------------------------------------------


class _Source(NamedTuple):
    """Where rows come from; `subset` is written into rows that do not say what they belong to."""

    place: str
    split: str | None = None
    subset: str | None = None


def _sources(benchmark: Benchmark, input: str | None, split: str | None, prior_sets: str | None) -> list[_Source]:
    if prior_sets is not None and benchmark is not REWARDBENCH:
        raise UsageError(f"Prior Sets belong to rewardbench, not to {benchmark.name}: leave them out")
    place = input or benchmark.hub_id
    splits = benchmark.splits if split is None and place == benchmark.hub_id else (split,)
    sources = [_Source(place, one) for one in splits]
    if prior_sets == PRIOR_HUB_ID:
        sources += [_Source(PRIOR_HUB_ID, name, name) for name in PRIOR_SETS]
    elif prior_sets is not None:
        sources.append(_Source(prior_sets))
    return sources


def _read(benchmark: Benchmark, sources: Sequence[_Source], rejects: RejectLog) -> tuple[list[BenchmarkItem], str]:
    """The items of all sources, and the hash of their rows."""
    digest = hashlib.sha256()
    items: list[BenchmarkItem] = []
    first_bad = ""
    for source in sources:
        for number, row in open_rows(source.place, source.split):
            origin = f"{source.place}:{number}"
            try:
                row = _record(row, source.subset)
                digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
                items.append(benchmark.read(row, origin))
            except BadRow as bad:
                rejects.reject(origin, bad.reason, bad.row, bad.detail)
                first_bad = first_bad or f" The first row rejected: {bad}."
    if not items:
        raise NormBTError(
            f"{sources[0].place} has no row of {benchmark.title}.{first_bad} "
            f"Expected the columns of {benchmark.hub_id}: is it the right file, and the right --benchmark?"
        )
    return items, digest.hexdigest()


def _record(row: Any, subset: str | None) -> Mapping[str, Any]:
    if isinstance(row, BadRow):
        raise row
    if not isinstance(row, Mapping):
        raise BadRow(Reason.WRONG_TYPE, "a record has named fields", row)
    return {**row, "subset": subset} if subset else row


# ---- protocol --------------------------------------------------------------------------------------------------------


def _protocol(
    reward_model: RewardModel,
    sources: Sequence[_Source],
    rows_sha256: str,
    scored: Sequence[ScoredItem],
    rejected: int,
    batch_size: int,
    max_length: int | None,
    layout: str,
) -> Protocol:
    from normbt_lab.layouts import PADDED, layout_used

    model: Any = reward_model.model
    return Protocol(
        model=reward_model.name,
        source=", ".join(_shown(source) for source in sources),
        rows_sha256=rows_sha256,
        file_sha256=_file_hash(Path(sources[0].place)),
        items=len(scored),
        rejected=rejected,
        dtype=str(model.get_input_embeddings().weight.dtype).removeprefix("torch."),
        device=reward_model.device.type,
        batch_size=batch_size,
        max_length=longest_sequence(reward_model, max_length),
        truncated=sum(sum(one.truncated) for one in scored),
        layout=layout_used(model, layout) or PADDED.name,
        padding="right, masked",
        chat_template=CHAT_TEMPLATE if reward_model.tokenizer.chat_template else "none",
        versions=_versions(),
    )


def _shown(source: _Source) -> str:
    """A file by its name alone: where it lies says something about a machine, not about the data."""
    path = Path(source.place)
    name = path.name if path.exists() else source.place
    return f"{name} ({source.split})" if source.split else name


def _file_hash(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    import torch
    import transformers

    from normbt_lab.project import version

    return {"normbt-lab": version(), "torch": torch.__version__, "transformers": transformers.__version__}
