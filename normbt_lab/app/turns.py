"""First come, first served: a lock that nobody who works in many small steps can keep from the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class Turns:
    """One at a time, in the order of asking.

    Python's own lock lets the one who has just released it take it again at once, so a data set scored batch by batch
    would hold up every single pair until it is done.

    Example:
        >>> turns = Turns()
        >>> with turns.turn():
        ...     print("alone here")
        alone here
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._waiting: deque[Event] = deque()  # the first one is at work

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and hand on to the next at the end."""
        mine = Event()
        with self._guard:
            self._waiting.append(mine)
            if self._waiting[0] is mine:
                mine.set()
        mine.wait()
        try:
            yield
        finally:
            with self._guard:
                self._waiting.popleft()
                if self._waiting:
                    self._waiting[0].set()
