"""Several responses to one prompt with their scores: read from a file, scored with reward models, written again.

A file of candidates holds one record per response, in any order of prompts:

    prompt      text, or a list of messages
    response    text, or a list of messages
    gold        number: how good the response really is
    ...         every other column of numbers is the score of a proxy of that name

Other columns (text, true and false) are passed over. Responses with one prompt belong together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from normbt_lab.data.pairs import Text
from normbt_lab.data.rejects import BadRow
from normbt_lab.data.rows import open_rows
from normbt_lab.errors import NormBTError
from normbt_lab.whole_files import whole_file

GOLD = "gold"
"""The column of gold scores."""

TEXTS = ("prompt", "response")
"""The columns of text, also where the text is a number."""


@dataclass(frozen=True)
class Candidates:
    """The responses to one prompt.

    Attributes:
        prompt: What they answer.
        responses: In the order of the file.
        scores: ``gold`` and the name of each proxy -> one number per response, shape (responses,).
    """

    prompt: Text
    responses: tuple[Text, ...]
    scores: Mapping[str, np.ndarray]

    def with_scores(self, name: str, scores: Sequence[float] | np.ndarray) -> Candidates:
        """The same with one column more, or with new numbers in one that was there."""
        return replace(self, scores={**self.scores, name: np.asarray(scores, dtype=float)})


def read_candidates(source: str) -> list[Candidates]:
    """The candidates of a file, one record per prompt, prompts in the order in which they first appear.

    Nothing is skipped: a response that is missing would change what best-of-n means.

    Args:
        source: What `open_rows` reads: .jsonl, .json, .csv (each also .gz), .parquet, or ``-`` for standard input.

    Raises:
        NormBTError: A row without prompt or response, a score that is no finite number, or a column that some rows of
            a prompt lack; the message names the line.
    """
    rows: dict[str, list[Mapping[str, Any]]] = {}
    is_csv = source.lower().removesuffix(".gz").endswith(".csv")
    for line, row in open_rows(source):
        checked = _checked_row(_with_numbers(row) if is_csv else row, f"{source}:{line}")
        rows.setdefault(json.dumps(checked["prompt"]), []).append(checked)
    return [_grouped(of_prompt, source) for of_prompt in rows.values()]


def write_candidates(path: str | Path, candidates: Iterable[Candidates]) -> Path:
    """Path of the file, once the candidates with all their scores are in it, one JSON line per response.

    Raises:
        NormBTError: It cannot be written.
    """
    path = Path(path)
    with whole_file(path, "the candidates") as unfinished, unfinished.open("w", encoding="utf-8") as stream:
        for found in candidates:
            for i, response in enumerate(found.responses):
                scores = {name: float(values[i]) for name, values in found.scores.items()}
                record = {"prompt": found.prompt, "response": response, **scores}
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return path


def _checked_row(row: Any, where: str) -> Mapping[str, Any]:
    if isinstance(row, BadRow):
        raise NormBTError(f"{where}: {row}")
    if not isinstance(row, Mapping):
        raise NormBTError(f"{where}: expected a record with prompt, response and scores, got {type(row).__name__}")
    for name in TEXTS:
        if not isinstance(row.get(name), str | list):
            raise NormBTError(
                f"{where}: {name!r} is {'missing' if row.get(name) is None else type(row[name]).__name__}, "
                "expected text or a list of messages. A file of candidates has one response a line."
            )
    scores = {name: _number(value, name, where) for name, value in row.items() if name == GOLD or _is_number(value)}
    return {"prompt": row["prompt"], "response": row["response"], "scores": scores, "where": where}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _with_numbers(row: Any) -> Any:
    """A row of CSV, where every cell is text, with the numbers in it read; what was said stays text."""
    if not isinstance(row, Mapping):
        return row
    return {name: cell if name in TEXTS else _as_number(cell) for name, cell in row.items()}


def _as_number(cell: Any) -> Any:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return cell


def _number(value: Any, name: str, where: str) -> float:
    number = float(value) if _is_number(value) else math.nan
    if not math.isfinite(number):
        raise NormBTError(f"{where}: the score {name!r} is {value!r}, expected a finite number")
    return number


def _grouped(rows: Sequence[Mapping[str, Any]], source: str) -> Candidates:
    names = list(rows[0]["scores"])
    for row in rows:
        different = sorted(set(names) ^ set(row["scores"]))
        if different:
            raise NormBTError(
                f"{row['where']}: the column {different[0]!r} holds a number in some rows of this prompt and none in "
                "others: every candidate needs the score of every proxy"
            )
    return Candidates(
        prompt=rows[0]["prompt"],
        responses=tuple(row["response"] for row in rows),
        scores={name: np.array([row["scores"][name] for row in rows]) for name in names},
    )
