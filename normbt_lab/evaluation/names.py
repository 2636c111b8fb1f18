"""What models and runs are called in tables, figures and the app: short, as long as that tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def last_part(place: str) -> str:
    """The name of a folder, or of a model on the hub without its owner.

    Example:
        >>> last_part("runs/demo/normbt/"), last_part("owner/model"), last_part("/")
        ('normbt', 'model', '/')
    """
    path = Path(place).resolve() if place.startswith(".") else Path(place)
    return path.name or place


def distinct_names(places: Sequence[str], short: Callable[[str], str] = last_part) -> list[str]:
    """A name for each place: its short one, or all of it where two would share that.

    Args:
        places: Folders, hub ids or names; one that is given twice has its name twice.
        short: What gives the short name of a place.

    Example:
        >>> distinct_names(["runs/demo/bt", "runs/demo/normbt"]), distinct_names(["a/rm", "b/rm", "runs/mine"])
        (['bt', 'normbt'], ['a/rm', 'b/rm', 'mine'])
    """
    names = [short(place) for place in places]
    return [name if names.count(name) == 1 else place for name, place in zip(names, places, strict=True)]
