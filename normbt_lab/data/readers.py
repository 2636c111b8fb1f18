"""From anything that holds preference data to a stream of `PreferencePair`, in order, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbt_lab.data.formats import FORMATS, check_format, pair_from_row
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.rejects import BadRow, Reason, RejectLog
from normbt_lab.data.rows import STDIN, Rows, open_rows
from normbt_lab.errors import NormBTError, UsageError

UNIFIED_FEEDBACK_STRIDES = {"400K": 2, "80K": 10, "40K": 20}
"""Every how manyeth pair of Unified-Feedback's ``all`` makes the subset of that name.

The reference code takes every 2nd and every 20th; the paper's 80K is every 10th as we read it (decisions, point 32).
"""

BUNDLED = "bundled"


def read_pairs(
    source: str | Path,
    *,
    format: str = "auto",
    split: str | None = None,
    stride: int = 1,
    rejects: RejectLog | None = None,
) -> Iterator[PreferencePair]:
    """The preference pairs of a file, folder, stream, hub data set or of the package itself, in their order.

    A row that is not a pair is named by file and line, counted in `rejects` and skipped; it never stops the rest.
    Memory does not grow with the source (except for JSON arrays).

    Args:
        source: A file (``.jsonl``, ``.json``, ``.csv``, each also with ``.gz``, or ``.parquet``), ``-`` for JSON lines
            on standard input, a folder written by ``datasets.save_to_disk``, a hub id ``owner/name``,
            ``owner/name:config`` or ``owner/name:config:split`` (``owner/name::split`` without configurations), or
            ``bundled``, ``bundled:test``, ... for the pairs that come with the package.
        format: How the columns are laid out: ``trl`` (prompt, chosen, rejected, margin; text or message lists),
            ``unified_feedback``, ``skywork``, ``rewardbench``, ``hh_rlhf``; ``auto`` goes by the columns.
        split: Which part of a folder, hub or bundled data set; ``train`` where it matters and none is given.
        stride: Take every stride-th pair, counted after pairs with equal ratings are left out.
            ``UNIFIED_FEEDBACK_STRIDES["80K"]`` gives the size the paper trains on.
        rejects: Where rejected rows are counted and written.

    Raises:
        NormBTError: No such source, a source that is not what its name says, or one without a single good row.
        UsageError: An unknown format, a split that does not exist, a stride below 1.

    Example:
        >>> import json, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "pairs.jsonl")
        >>> _ = path.write_text(json.dumps({"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "margin": 1}))
        >>> [(pair.chosen, pair.margin) for pair in read_pairs(path)]
        [('4', 1.0)]
    """
    check_format(format)
    if stride < 1:
        raise UsageError(f"stride is {stride}, expected 1 (every pair) or more")
    name = str(source)
    if name.partition(":")[0] == BUNDLED:
        return itertools.islice(_bundled_pairs(name, split), 0, None, stride)
    rejects = rejects or RejectLog()
    _refuse_to_overwrite(name, rejects)
    return _pairs(open_rows(name, split), name, format, stride, rejects)


def _bundled_pairs(name: str, split: str | None) -> Iterator[PreferencePair]:
    from normbt_lab.data.bundled import load_bundled_pairs

    named = name.partition(":")[2]
    if named and split and named != split:
        raise UsageError(f"{name} and split={split!r} ask for two different splits: give one")
    return iter(load_bundled_pairs(named or split or "train"))


def _pairs(rows: Rows, name: str, format: str, stride: int, rejects: RejectLog) -> Iterator[PreferencePair]:
    tally = _Tally(name)
    position = 0
    for line, row in rows:
        origin = f"{'stdin' if name == STDIN else name}:{line}"
        tally.see(row)
        pair = _pair_or_bad_row(row, format, origin)
        has_preference = not (isinstance(pair, BadRow) and pair.reason is Reason.EQUAL_RATINGS)
        taken = not has_preference or position % stride == 0
        position += has_preference
        if isinstance(pair, PreferencePair) and taken:
            tally.kept += 1
            yield pair
        elif isinstance(pair, BadRow) and taken:
            rejects.reject(origin, pair.reason, pair.row, pair.detail)
            tally.first_rejected = tally.first_rejected or f"{origin}: {pair}"
    if not tally.kept:
        raise NormBTError(tally.no_good_row())


@dataclass
class _Tally:
    """What was seen of a source, for the message when it held no pair at all."""

    name: str
    read: int = 0
    kept: int = 0
    columns: str = ""
    first_rejected: str = ""

    def see(self, row: Any) -> None:
        self.read += 1
        if not self.columns and isinstance(row, Mapping):
            self.columns = ", ".join(map(str, row))

    def no_good_row(self) -> str:
        if not self.read:
            return f"{self.name} holds no rows: is it empty, or still being written?"
        return (
            f"{self.name} has no good row among {self.read:,}; the first rejected: {self.first_rejected}. "
            "Expected 'chosen' and 'rejected', best with 'prompt', or the columns of another known layout "
            f"({', '.join(FORMATS)}); found {self.columns or 'no columns'}. Rename the column of the better response "
            "to 'chosen', of the worse to 'rejected' and of the question to 'prompt'."
        )


def _pair_or_bad_row(row: Any, format: str, origin: str) -> PreferencePair | BadRow:
    if isinstance(row, BadRow):
        return row
    try:
        return pair_from_row(row, format, origin)
    except BadRow as bad:
        return bad


def _refuse_to_overwrite(name: str, rejects: RejectLog) -> None:
    if rejects.path is not None and name != STDIN and rejects.path.resolve() == Path(name).resolve():
        raise UsageError(f"the reject file would overwrite the input {name}: name another file")
