"""JudgeBench (arXiv 2410.12784): which of two answers to a hard question is right, decided by fact, not taste."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from normbt_lab.data.rejects import BadRow, Reason
from normbt_lab.evaluation.benchmarks.benchmark import Benchmark, Rendered, Scores
from normbt_lab.evaluation.benchmarks.credits import Credit, Resampler, pairwise_credit
from normbt_lab.evaluation.benchmarks.items import BenchmarkItem, ScoredItem, prompt_of, text_of

CATEGORY_PREFIXES = {
    "Knowledge": "mmlu-pro",
    "Reasoning": "livebench-reasoning",
    "Math": "livebench-math",
    "Coding": "livecodebench",
}
"""What the names of a category's sources begin with."""

A_IS_RIGHT, B_IS_RIGHT = "A>B", "B>A"


def read_item(row: Mapping[str, Any], origin: str | None = None) -> BenchmarkItem:
    """The item in a row with ``pair_id``, ``source``, ``question``, ``response_A``, ``response_B`` and ``label``.

    Raises:
        BadRow: The row is none of JudgeBench.
    """
    source = text_of(row, "source")
    categories = [name for name, prefix in CATEGORY_PREFIXES.items() if source.startswith(prefix)]
    if not categories:
        known = ", ".join(f"{prefix}..." for prefix in CATEGORY_PREFIXES.values())
        raise BadRow(Reason.WRONG_TYPE, f"'source' is {source!r}, expected one of {known}", row)
    first, second = text_of(row, "response_A"), text_of(row, "response_B")
    label = text_of(row, "label")
    if label not in (A_IS_RIGHT, B_IS_RIGHT):
        raise BadRow(Reason.WRONG_TYPE, f"'label' is {label!r}, expected {A_IS_RIGHT} or {B_IS_RIGHT}", row)
    if label == B_IS_RIGHT:
        first, second = second, first
    return BenchmarkItem(
        id=str(row.get("pair_id", "")),
        group=categories[0],
        prompt=prompt_of(row, "question"),
        chosen=(first,),
        rejected=(second,),
        origin=origin,
        row=row,
    )


def score(scored: Sequence[ScoredItem]) -> Scores:
    """Accuracy over all pairs, by category, and by the model that wrote the answers where there are several."""
    resampler = Resampler()
    found = [resampler.mean(map(_credit, scored)).named("overall", "overall")] if scored else []

    def add(name: str, level: str, members: Sequence[ScoredItem]) -> None:
        if members:
            found.append(resampler.mean(map(_credit, members)).named(name, level))

    for category in CATEGORY_PREFIXES:
        add(category, "section", [one for one in scored if one.item.group == category])
    writers = sorted({_writer(one) for one in scored})
    for writer in writers if len(writers) > 1 else []:
        add(f"answers by {writer}", "subset", [one for one in scored if _writer(one) == writer])
    present = {one.item.group for one in scored}
    missing = [category for category in CATEGORY_PREFIXES if category not in present]
    return Scores(found, notes=[f"no pairs of {', '.join(missing)}"] if missing else [])


def _credit(scored: ScoredItem) -> Credit:
    """A tie is taken for B, as in JudgeBench's own code: right where B is."""
    credit = pairwise_credit(scored)
    return credit._replace(score=credit.strict + credit.tie_rate * (scored.item.row["label"] == B_IS_RIGHT))


def _writer(scored: ScoredItem) -> str:
    return str(scored.item.row.get("response_model", "unknown"))


def files(scored: Sequence[ScoredItem], rendered: Rendered) -> dict[str, Any]:
    """JudgeBench's outputs: its rows with a judgment, one file for each model that wrote answers."""
    judge = rendered.model.replace("/", "_")
    written: dict[str, Any] = {}
    for one in scored:
        # The name comes with the data: nothing in it may lead out of the folder, or be too long for a file.
        writer = re.sub(r"[^\w.-]+", "_", _writer(one), flags=re.ASCII)[:100]
        name = f"dataset=judgebench,response_model={writer},judge_name=reward_model,judge_model={judge}.jsonl"
        written.setdefault(f"outputs/{name}", []).append(_judged(one, rendered.model))
    return written


def _judged(scored: ScoredItem, model: str) -> dict[str, Any]:
    right, wrong = scored.rewards
    first, second = (right, wrong) if scored.item.row["label"] == A_IS_RIGHT else (wrong, right)
    return {
        **scored.item.row,
        "judge_name": "reward_model",
        "judgments": [
            {
                "judgment": {"judge_model": model, "scores": [first, second]},
                "decision": A_IS_RIGHT if first > second else B_IS_RIGHT,
            }
        ],
    }


JUDGEBENCH = Benchmark(
    name="judgebench",
    title="JudgeBench",
    hub_id="ScalerLab/JudgeBench",
    splits=("gpt",),  # the leaderboard's; the other one is "claude", with 270 pairs
    items=350,
    rule="the right answer has the higher reward; a tie is taken for B>A, as in JudgeBench's own code",
    read=read_item,
    score=score,
    files=files,
)
