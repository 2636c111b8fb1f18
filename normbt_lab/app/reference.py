"""Where the bundled reference pairs lie under a model: what a single pair is seen against.

Scoring them takes a minute on a CPU, so it is done once per model, in the background, and kept: in memory while the
page is open, and in the cache folder for the next time. A model folder may bring its own `REFERENCE_FILE`:

    python -m normbt_lab.app.reference MODEL
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from normbt_lab.backbones.cache import cache_dir
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.errors import NormBTError
from normbt_lab.scoring import score_pairs
from normbt_lab.shipped.registry import ADAPTER_FOLDERS, is_shipped_name
from normbt_lab.whole_files import write_whole

if TYPE_CHECKING:
    from normbt_lab.app.models import Models

REFERENCE_PAIRS = 80
"""The first so many of the bundled test pairs: 16 of each subset, since the file takes these in turn."""

CHUNK = 4
"""Pairs scored in one turn; a visitor who scores a pair meanwhile waits for no more than these."""

REFERENCE_FILE = "reference_points.json"


class ReferencePoint(NamedTuple):
    """One reference pair under one model."""

    category: str
    distance: float
    error: float

    @property
    def update(self) -> float:
        """Size of its Bradley-Terry update at the score head."""
        return self.distance * self.error


class ReferencePoints:
    """The points of each model of a page, as far as they are known."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._known: dict[str, list[ReferencePoint]] = {}
        self._begun: dict[str, list[ReferencePoint]] = {}

    def known(self, name: str) -> list[ReferencePoint]:
        """The points under this model; none until `compute` has run to its end."""
        path = self._models.path(name)
        if path not in self._known and (stored := _stored(path)):
            self._known[path] = stored
        return self._known.get(path, [])

    def compute(self, name: str) -> Iterator[int]:
        """Score the reference pairs where that is not done yet; yields how many are done, after each turn.

        Where it is left off, because the visitor went away, the next call goes on. One at a time.

        Raises:
            NormBTError: The model does not load.
        """
        if self.known(name):
            return
        path = self._models.path(name)
        points = self._begun.setdefault(path, [])
        pairs = load_bundled_pairs("test", limit=REFERENCE_PAIRS)
        for start in range(len(points), len(pairs), CHUNK):
            with self._models.use(name) as reward_model:
                scored = list(score_pairs(reward_model, pairs[start : start + CHUNK], batch_size=CHUNK))
            points += [
                ReferencePoint(pair.category or "", pair.representation_distance, pair.prediction_error)
                for pair in scored
            ]
            yield len(points)
        self._known[path] = self._begun.pop(path)
        with suppress(NormBTError):  # a cache that cannot be written costs time at the next start, nothing else
            _write(_cached_file(path), points)


def _stored(path: str) -> list[ReferencePoint]:
    for file in (_folder(path) / REFERENCE_FILE, _cached_file(path)):
        with suppress(OSError, ValueError, TypeError):
            return [ReferencePoint(*point) for point in json.loads(file.read_text(encoding="utf-8"))]
    return []


def _folder(path: str) -> Path:
    """Where the model's files are; a folder that does not exist for a hub id."""
    return ADAPTER_FOLDERS / path if is_shipped_name(path) else Path(path)


def _cached_file(path: str) -> Path:
    """Named after the model's files, so that a model trained anew in the same folder is scored anew."""
    files = sorted(file for file in _folder(path).glob("*") if file.is_file())
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    identity = json.dumps([os.path.abspath(path) if stats else path, stats, REFERENCE_PAIRS])
    return cache_dir() / "reference_points" / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"


def _write(file: Path, points: Sequence[ReferencePoint]) -> None:
    rounded = [(point.category, float(f"{point.distance:.5g}"), float(f"{point.error:.5g}")) for point in points]
    write_whole(file, json.dumps(rounded) + "\n", "the reference points")


def main() -> None:
    """Score the reference pairs with a model, and leave the points in its folder."""
    from normbt_lab.app.models import Models

    (path,) = sys.argv[1:]
    models = Models([path])
    (name,) = models.names
    reference = ReferencePoints(models)
    for done in reference.compute(name):
        print(f"{done} of {REFERENCE_PAIRS}", end="\r", flush=True)
    _write(_folder(path) / REFERENCE_FILE, reference.known(name))


if __name__ == "__main__":
    main()
