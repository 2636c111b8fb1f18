"""What the owner of the page decides, and the limits that hold for everyone who visits it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_TEXT = 20_000
"""Characters of a prompt or an answer that the page takes: beyond what one reads, little enough for many visitors."""

LARGEST_UPLOAD = "20mb"
"""Largest file that a visitor may send."""

LONGEST_QUEUE = 64
"""Requests that may wait; the next one is told that the page is busy."""

MOST_VISITORS = 200
"""Visitors whose pages are remembered; beyond it, the one who was away for longest begins anew."""

SCORING: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "scoring"}
"""For events that are done in a second or two: one at a time, whoever asks. Two at once on one CPU only slow both."""

LONG_WORK: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "long work"}
"""For events that take longer, such as scoring a data set: they have a queue of their own, so that a pair need not wait
for them. They take turns with the others at every `Models.use`."""

BACKGROUND_WORK: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "background work"}
"""For what the page does unasked, while nobody waits for it."""


@dataclass(frozen=True)
class Settings:
    """What ``normbt app`` was started with.

    Attributes:
        models: Names, folders or hub ids of the reward models that the page offers.
        runs: Folder under which the Training tab looks for runs.
        allow_models: Visitors may name a folder or hub id of their own.
    """

    models: tuple[str, ...] = ()
    runs: Path = Path("runs")
    allow_models: bool = False
