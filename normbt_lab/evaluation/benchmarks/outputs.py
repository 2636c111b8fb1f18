"""A result on disk: the benchmark's own files, which its tools read, beside one with everything we measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbt_lab.evaluation.benchmarks.benchmark import Benchmark, Rendered
from normbt_lab.evaluation.benchmarks.result import BenchmarkResult
from normbt_lab.evaluation.benchmarks.scoring import response_texts
from normbt_lab.whole_files import write_whole

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel

RESULT_FILE = "result.json"


def write_outputs(
    folder: str | Path, benchmark: Benchmark, result: BenchmarkResult, reward_model: RewardModel
) -> list[Path]:
    """The files written: those of the benchmark's own format, and ``result.json``.

    Raises:
        NormBTError: The folder cannot be written to.
    """
    texts = [response_texts(reward_model, one.item, result.protocol.max_length) for one in result.items]
    rendered = Rendered(public_name(reward_model.name), result.protocol.chat_template, texts)
    contents: Mapping[str, Any] = {**benchmark.files(result.items, rendered), RESULT_FILE: result.to_json()}
    for name, content in contents.items():
        path = Path(folder) / name
        write_whole(path, _text(content, path.suffix), "the results")
    return [Path(folder) / name for name in contents]


def public_name(model: str) -> str:
    """Name of a model as ``owner/name``, which RewardBench's tools expect; a folder is ``local/`` and its last part.

    Example:
        >>> public_name("Ray2333/GRM-Gemma-2B-rewardmodel-ft"), public_name("./runs/demo/normbt/")
        ('Ray2333/GRM-Gemma-2B-rewardmodel-ft', 'local/normbt')
    """
    is_hub_id = model.count("/") == 1 and not model.startswith(".") and not Path(model).exists()
    return model if is_hub_id and all(model.split("/")) else f"local/{Path(model).name or 'model'}"


def _text(content: Any, suffix: str) -> str:
    if suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in content)
    return json.dumps(content, indent=4, sort_keys=isinstance(content, dict), ensure_ascii=False, default=str)
