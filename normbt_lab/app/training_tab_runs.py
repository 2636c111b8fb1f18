"""Runs of training under a folder: where they are and what their trainers logged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbt_lab.demo import NAMES
from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.names import distinct_names, last_part
from normbt_lab.state import STATE_FILE, NormBTState

LOG_FILE = "trainer_state.json"

DEEPEST = 4
"""Folders below the root that are looked into; what lies deeper is no run of ours."""

MOST_RUNS = 200


@dataclass(frozen=True)
class Run:
    """A finished or running training.

    Attributes:
        name: Its folder below the root, which is what the page calls it.
        log: One record per log, as ``trainer.state.log_history``.
        state: What it keeps of its weights; None for a run of another trainer.
    """

    name: str
    log: Sequence[Mapping[str, Any]]
    state: NormBTState | None

    @property
    def steps(self) -> int:
        """The last step that was logged."""
        return max((int(record.get("step", 0)) for record in self.log), default=0)

    def last(self, metric: str) -> float | None:
        """The metric's last logged value; None where it was never logged."""
        return next((record[metric] for record in reversed(self.log) if record.get(metric) is not None), None)

    def at_the_end(self, metric: str) -> float | None:
        """Mean of the metric over the last tenth of its logs: single steps jump."""
        values = [record[metric] for record in self.log if record.get(metric) is not None]
        tail = values[-max(1, len(values) // 10) :]
        return sum(tail) / len(tail) if tail else None


def find_runs(root: Path) -> list[str]:
    """Names of the runs under a folder, the latest first; none where there is no such folder.

    A run is a folder with a trainer's log, its own or in checkpoints, of which the newest counts.
    """
    found: dict[str, float] = {}
    for folder, below, files in os.walk(root):
        path = Path(folder)
        depth = len(path.relative_to(root).parts)
        if LOG_FILE in files:
            name = _run_name(path, root)
            found[name] = max(found.get(name, 0.0), (path / LOG_FILE).stat().st_mtime)
        below[:] = [] if depth >= DEEPEST else [name for name in below if not name.startswith(".")]
    return sorted(found, key=lambda name: (-found[name], name))[:MOST_RUNS]


def _run_name(path: Path, root: Path) -> str:
    run = path.parent if path.name.startswith("checkpoint-") and path != root else path
    return run.relative_to(root).as_posix()


def read_run(root: Path, name: str) -> Run:
    """The run of this name, one that `find_runs` gives.

    Raises:
        NormBTError: There is none of this name, or its log is damaged.
    """
    if name not in find_runs(root):  # a name comes from a visitor: nothing but the runs under the root is read
        raise NormBTError(f"there is no run {name!r} under {root} any more: look again")
    folder = _newest(root / name)
    path = folder / LOG_FILE
    try:
        log = json.loads(path.read_text(encoding="utf-8"))["log_history"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NormBTError(
            f"the log of the run {name} cannot be read ({type(error).__name__}): is it being written?"
        ) from error
    return Run(name, log, NormBTState.read(folder) if (folder / STATE_FILE).is_file() else None)


def _newest(folder: Path) -> Path:
    """The folder with the log: the run's own, or its last checkpoint."""
    if (folder / LOG_FILE).is_file():
        return folder
    checkpoints = [path.parent for path in folder.glob(f"checkpoint-*/{LOG_FILE}")]
    return max(checkpoints, key=lambda path: (path / LOG_FILE).stat().st_mtime)


def shown_names(names: Sequence[str]) -> dict[str, str]:
    """Run -> what figures call it: *BT* and *NormBT*, which have their colours, where a folder's name says so.

    Example:
        >>> shown_names(["demo/bt", "demo/normbt", "mine/rm"])
        {'demo/bt': 'BT', 'demo/normbt': 'NormBT', 'mine/rm': 'mine/rm'}
        >>> shown_names(["a/bt", "b/bt"])
        {'a/bt': 'a/bt', 'b/bt': 'b/bt'}
    """
    called = distinct_names(names, lambda name: NAMES.get(last_part(name).lower(), name))
    return dict(zip(names, called, strict=True))


def first_choice(names: Sequence[str]) -> list[str]:
    """The runs shown at first: a Bradley-Terry and a NormBT run of one folder where there are such, else the latest.

    Example:
        >>> first_choice(["exact", "demo/normbt", "demo/bt"])
        ['demo/bt', 'demo/normbt']
    """
    for name in names:
        beside = name.removesuffix("normbt") + "bt"
        if name.endswith("normbt") and beside in names:
            return [beside, name]
    return list(names[:1])
