"""`normbt score`: pairs in, one JSON record per pair out, whole or not at all, and resumable.

Records go to ``OUTPUT.partial`` line by line, beside ``OUTPUT.partial.json``, which says what they come from. Only a
complete file gets the final name. A run that was stopped goes on after its last whole line, as long as model, input and
settings are still the same.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.data.rows import STDIN
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.scoring.score import WeightRule, checked_running_mean, score_each, weight_rule
from normbt_lab.scoring.scored_pair import own_fields
from normbt_lab.shipped.registry import local_folder

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel

logger = logging.getLogger(__name__)

STDOUT = "-"
AUTO = "auto"


def score_file(
    model: str,
    input: str,
    output: str,
    *,
    running_mean: float | Literal["auto"] | None = None,
    dtype: str = "float32",
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    rejects: str | None = None,
    progress: bool = True,
) -> int:
    """Number of records written: one JSON line per good pair, in the order of the input.

    A record holds the input's own fields and the computed ones of `ScoredPair`; where both have a name, the computed
    one stands. Memory does not grow with the input. A rejected row is named, counted and skipped.

    Args:
        model: Folder or hub id of a reward model.
        input: What `read_pairs` reads; ``-`` for JSON lines on standard input.
        output: A file, replaced when all is done; ``-`` for standard output.
        running_mean: Mean distance that weights refer to: a number, ``auto`` for the mean over this input (weights are
            then filled in by a second pass over the records), None for the model's own. Without any, weights are null.
        dtype: Arithmetic of the backbone: ``float32``, ``bfloat16`` or ``float16``.
        batch_size: Most pairs in one forward pass.
        max_length: Most tokens of a response with its prompt, 4,096 or the model's own limit by default; longer ones
            are cut on the right and flagged.
        layout: As in `score_pairs`: whether what both responses share is computed once.
        rejects: File for rows that could not be scored.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: Nothing to score, a reward that is not finite, or an output that cannot be written.
        UsageError: Arguments out of range, or an output that would overwrite the input.
    """
    _check_places(input, output, rejects)
    if not isinstance(running_mean, str):
        checked_running_mean(running_mean)
    elif running_mean != AUTO:
        raise UsageError(f"running_mean is a number, auto or none; got {running_mean!r}")
    request = _Request(model, input, running_mean, dtype, batch_size, max_length, layout, rejects, progress)
    return _score_to_stdout(request) if output == STDOUT else _score_to_file(request, Path(output))


@dataclass(frozen=True)
class _Request:
    """What is to be scored and how: the arguments of `score_file` but for the output."""

    model: str
    input: str
    running_mean: float | Literal["auto"] | None
    dtype: str
    batch_size: int
    max_length: int | None
    layout: str
    rejects: str | None
    progress: bool

    @property
    def fills_weights_later(self) -> bool:
        return self.running_mean == AUTO

    def identity(self) -> dict[str, Any]:
        """What decides the records, as JSON holds it: equal for two runs whose records may stand in one file."""
        return {
            "model": [self.model, _fingerprint(self.model)],
            "input": [self.input, _fingerprint(self.input)],
            "running_mean": self.running_mean,
            "dtype": self.dtype,
            "max_length": self.max_length,
            "layout": self.layout,
        }


class _Lines:
    """JSON records going out line by line, each handed to the system at once, so that a stopped run keeps them."""

    def __init__(self, stream: IO[bytes], name: str, count: int = 0) -> None:
        self.stream = stream
        self.name = name
        self.count = count

    def write(self, record: dict[str, Any]) -> None:
        rest = memoryview(_json_line(record))
        try:
            while rest:
                rest = rest[self.stream.write(rest) :]  # a raw file may take a part
            self.stream.flush()
        except OSError as error:
            raise _unwritable(self.name, error) from error
        self.count += 1


def _score_to_stdout(request: _Request) -> int:
    out = _Lines(sys.stdout.buffer, "standard output")
    if not request.fills_weights_later:
        _score_into(out, request)
        return out.count
    with tempfile.TemporaryFile(buffering=0) as waiting:
        reward_model = _score_into(_Lines(waiting, f"the folder for temporary files, {tempfile.gettempdir()}"), request)
        _fill_weights(waiting, out, reward_model)
    return out.count


def _score_to_file(request: _Request, output: Path) -> int:
    partial = Path(f"{output}.partial")
    with _appended(partial, request) as lines:
        reward_model = _score_into(lines, request)
    weighted = Path(f"{partial}.weighted")
    try:
        if request.fills_weights_later:
            with partial.open("rb") as source, weighted.open("wb", buffering=0) as stream:
                _fill_weights(source, _Lines(stream, str(weighted)), reward_model)
        complete = weighted if request.fills_weights_later else partial
        with complete.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(complete, output)
        partial.unlink(missing_ok=True)
        _identity_file(partial).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(str(output), error) from error
    finally:
        weighted.unlink(missing_ok=True)
    return lines.count


def _score_into(lines: _Lines, request: _Request) -> RewardModel:
    """Append the records that are not there yet; returns the model that gave them."""
    from normbt_lab.model import load_reward_model

    reward_model = load_reward_model(request.model, request.dtype)
    rule = None if request.fills_weights_later else _announced_rule(reward_model, request.running_mean)
    done, without_distance = lines.count, 0
    with RejectLog(request.rejects) as rejects:
        scored = score_each(
            reward_model,
            read_pairs(request.input, rejects=rejects),
            batch_size=request.batch_size,
            max_length=request.max_length,
            layout=request.layout,
            rule=rule,
            rejects=rejects,
            progress=request.progress,
            skip=done,
        )
        for pair, record in scored:
            own, computed = own_fields(pair), record.computed()
            if lines.count == done:
                _announce_replaced(own.keys() & computed.keys())
            lines.write({**own, **computed})
            without_distance += record.representation_distance == 0
        if without_distance:
            logger.warning(
                "at distance 0, two equal sides: %s of the pairs; their weight means nothing, and training drops them",
                f"{without_distance:,}",
            )
        if rejects.total:
            logger.warning("%s", rejects.summary())
        if not lines.count:
            raise NormBTError(f"{request.input} has no pair that could be scored: {rejects.summary()}")
    return reward_model


def _announced_rule(reward_model: RewardModel, running_mean: Any) -> WeightRule | None:
    """The rule for weights; where there is none, a notice that says why."""
    rule = weight_rule(reward_model.state, running_mean)
    if rule is None:
        logger.warning(
            "weight is null: %s has no running mean of the representation distance. Give one with --running-mean, "
            "or --running-mean auto to take the mean over this input.",
            reward_model.name,
        )
    return rule


def _announce_replaced(names: set[str]) -> None:
    if names:
        logger.warning("the input's own %s gave way to what was computed", ", ".join(sorted(names)))


def _fill_weights(source: IO[bytes], target: _Lines, reward_model: RewardModel) -> None:
    """Copy the records with their weights, which refer to the mean distance over all of them."""
    source.seek(0)
    count = 0
    total = 0.0
    for line in source:
        total += json.loads(line)["representation_distance"]
        count += 1
    logger.info("running mean: %.6g, the mean distance of %d pairs", total / count, count)
    rule = weight_rule(reward_model.state, total / count)
    assert rule is not None
    source.seek(0)
    for line in source:
        record = json.loads(line)
        target.write({**record, "weight": rule(record["representation_distance"])})


# ---- the partial file ------------------------------------------------------------------------------------------------


@contextmanager
def _appended(partial: Path, request: _Request) -> Iterator[_Lines]:
    """The partial file, open after the last whole line that an equal run left in it."""
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        count = _lines_to_keep(partial, request)
        stream = partial.open("ab", buffering=0)  # a buffer would try a failed write again when it closes
    except OSError as error:
        raise _unwritable(str(partial), error) from error
    lines = _Lines(stream, str(partial), count)
    try:
        with stream:
            yield lines
    finally:
        if not lines.count:
            partial.unlink(missing_ok=True)
            _identity_file(partial).unlink(missing_ok=True)
        elif sys.exc_info()[0] is not None:
            logger.warning("%d records are in %s: the same command goes on from there", lines.count, partial)


def _lines_to_keep(partial: Path, request: _Request) -> int:
    """Whole lines of an earlier run with the same identity; without such a run, 0 and an empty partial file."""
    identity = request.identity()
    if request.input == STDIN:
        identity = {}  # nobody can tell whether the same comes in again
    elif partial.exists() and _read_identity(partial) == identity:
        count = _cut_to_whole_lines(partial)
        logger.info("going on after the %d records in %s", count, partial)
        return count
    if partial.exists():
        logger.warning("starting afresh: %s comes from another model, input or setting, or from stdin", partial)
    partial.write_bytes(b"")
    _identity_file(partial).write_text(json.dumps(identity), encoding="utf-8")
    return 0


def _cut_to_whole_lines(path: Path) -> int:
    count = end = 0
    with path.open("r+b") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break
            count += 1
            end += len(line)
        stream.truncate(end)
    return count


def _identity_file(partial: Path) -> Path:
    return Path(f"{partial}.json")


def _read_identity(partial: Path) -> Any:
    with suppress(OSError, ValueError):
        return json.loads(_identity_file(partial).read_text(encoding="utf-8"))
    return None


def _fingerprint(place: str) -> list[Any]:
    """Names, sizes and times of the files there, so that a changed model or input is not taken for the old one."""
    path = local_folder(place)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    stats = [(str(file.relative_to(path)), file.stat()) for file in files if file.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


# ---- helpers of this file --------------------------------------------------------------------------------------------


def _check_places(input: str, output: str, rejects: str | None) -> None:
    """Refuse an output that is a folder, or that would overwrite what is read or written beside it."""
    if output == STDOUT:
        return
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"the output {output} is a folder: name a file, for example {path / 'scored.jsonl'}")
    for name, other in (("input", input), ("reject file", rejects)):
        if other is not None and other != STDIN and Path(other).resolve() == path.resolve():
            raise UsageError(f"the output would overwrite the {name} {other}: name another file")


def _unwritable(name: str, error: OSError) -> NormBTError:
    if isinstance(error, BrokenPipeError):
        return NormBTError(
            f"what reads {name} has closed it: the records after that are lost. Write to a file instead."
        )
    return NormBTError(
        f"cannot write to {name} ({error.strerror or error}): free space, or choose another output. "
        "Nothing was written under the final name."
    )


def _json_line(record: dict[str, Any]) -> bytes:
    """The record as one line of strict JSON."""
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError):
        text = json.dumps(_as_json(record), ensure_ascii=False)
    return (text + "\n").encode()


def _as_json(value: Any) -> Any:
    """What JSON can hold of a value from the input: no NaN, dates as text."""
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
