"""A suite's table as one small JSON object: for notebooks, for the ledger of claims, for your own figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from normbt_lab.errors import NormBTError
from normbt_lab.experiments.results import RowResult, SeedMean, all_runs, paired_gain
from normbt_lab.experiments.suite import Suite
from normbt_lab.experiments.trial_data import VALIDATION


def suite_summary(suite: Suite, results: Sequence[RowResult]) -> dict[str, Any]:
    """What the tables of a suite's report say, in points, one entry per condition, row and split.

    ``gains`` has the accuracy minus that of every other row of the condition, each as mean, low and high of a 95 %
    interval over pairs (`paired_gain`), over all pairs and by category.
    """
    runs = all_runs(results)
    return {
        "suite": suite.name,
        "title": suite.title,
        "scale": suite.scale,
        "command": f"normbt experiment run {suite.name} --scale {suite.scale}",
        "seeds": list(suite.seeds),
        "runs": len(runs),
        "minutes": round(sum(sum(run.minutes.values()) for run in runs), 1),
        "versions": runs[0].versions if runs else {},
        "lines": [
            _line(result, results, split)
            for result in results
            if result.is_measured
            for split in next(iter(result.by_seed.values())).splits
            if split != VALIDATION  # the learning rate was chosen on it
        ],
    }


def summary_text(summary: Mapping[str, Any]) -> str:
    """The summary as JSON with a line of text per entry of ``lines``.

    Summaries are kept under version control. Like this a change shows as the rows that it touches; with one number per
    line the table of sixteen rows was twenty thousand lines.

    Example:
        >>> print(summary_text({"suite": "small", "lines": [{"row": "BT"}, {"row": "NormBT"}]}), end="")
        {
         "suite": "small",
         "lines": [
          {"row": "BT"},
          {"row": "NormBT"}
         ]
        }
    """
    others = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in summary.items() if name != "lines"]
    lines = ",\n".join(f"  {json.dumps(line)}" for line in summary["lines"])
    return "{\n" + ",\n".join([*others, f' "lines": [\n{lines}\n ]']) + "\n}\n"


def _line(result: RowResult, results: Sequence[RowResult], split: str) -> dict[str, Any]:
    categories = result.category_accuracies(split)
    average = result.category_average(split)
    others = [
        other for other in results if other.condition == result.condition and other.is_measured and other is not result
    ]
    return {
        "condition": result.condition,
        "row": result.row,
        "split": split,
        "pairs": len(next(iter(result.by_seed.values())).splits[split].category),
        "seeds": len(result.by_seed),
        "rate": result.rates(),
        "accuracy": _points(result.accuracy(split)),
        "average": None if average is None else _points(average),
        "categories": {name: _points(mean) for name, mean in categories.items()},
        "weight_mean": result.logged("weight_mean"),
        "gains": {other.row: _gains(result, other, split, list(categories)) for other in others},
    }


def _points(mean: SeedMean) -> dict[str, float | None]:
    return {
        "mean": round(100 * mean.mean, 2),
        "standard_error": None if mean.error is None else round(100 * mean.error, 2),
    }


def _gains(result: RowResult, other: RowResult, split: str, categories: Sequence[str]) -> dict[str, Any]:
    try:
        return {name or "all": _gain(result, other, split, name) for name in (None, *categories)}
    except NormBTError as error:  # no seed in common
        return {"not compared": str(error)}


def _gain(result: RowResult, other: RowResult, split: str, category: str | None) -> dict[str, float]:
    gain = paired_gain(result, other, split, category)
    return {name: round(100 * value, 2) for name, value in gain._asdict().items()}
