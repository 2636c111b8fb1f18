"""The reward models of a page: a closed list unless its owner opens it, each loaded when it is first needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from normbt_lab.app.turns import Turns
from normbt_lab.errors import UsageError
from normbt_lab.figures import COLORS, SPARE_COLORS
from normbt_lab.shipped.registry import available_models
from normbt_lab.state import STATE_FILE

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel

DEMO_MODELS = ("runs/demo/bt", "runs/demo/normbt")
"""Where `make demo` leaves its two reward models."""

MOST_LOADED = 4
"""Models in memory at a time; beyond it the one that was not used for longest is let go."""


def default_paths() -> tuple[str, ...]:
    """The models of a page that was given none: the shipped ones, or else the demo's, where they exist."""
    if shipped := available_models():
        return tuple(shipped)
    return tuple(path for path in DEMO_MODELS if (Path(path) / STATE_FILE).is_file())


class Models:
    """The page's reward models by the names it shows; one model computes at a time.

    A name is the folder's own, unless two would share it. The demo's folders are shown as *BT* and *NormBT*, which have
    their colours everywhere.

    Args:
        paths: Names, folders or hub ids.
        allow_more: A name that is none of the page's is taken for a folder or hub id itself.

    Raises:
        UsageError: The same model is given twice.

    Example:
        >>> Models(["runs/demo/bt", "runs/mine"]).names
        ['BT', 'mine']
        >>> Models(["a/rm", "b/rm"]).names
        ['a/rm', 'b/rm']
    """

    def __init__(self, paths: Sequence[str] = (), allow_more: bool = False) -> None:
        if repeated := next((path for path in paths if list(paths).count(path) > 1), None):
            raise UsageError(f"the model {repeated} is given twice: name each once")
        short = [_short_name(path) for path in paths]
        names = [name if short.count(name) == 1 else path for name, path in zip(short, paths, strict=True)]
        self._paths = dict(zip(names, paths, strict=True))
        self._turns = Turns()
        self._loaded: OrderedDict[str, RewardModel] = OrderedDict()
        self.allow_more = allow_more

    @property
    def names(self) -> list[str]:
        """The page's own models, in the order given."""
        return list(self._paths)

    def path(self, name: str) -> str:
        """Where the model of this name is.

        Raises:
            UsageError: It is none of the page's, and the owner allows no others.
        """
        if name in self._paths:
            return self._paths[name]
        if self.allow_more and isinstance(name, str) and name.strip():
            return name.strip()
        offered = ", ".join(self._paths) or "none"
        raise UsageError(f"no model {name!r} on this page: it offers {offered}")

    def color(self, name: str) -> str:
        """The model's colour, the same whichever models are shown beside it.

        Example:
            >>> Models(["runs/demo/normbt", "runs/mine"]).color("mine")
            '#7f8c8d'
        """
        if color := _own_color(name):
            return color
        others = [other for other in self._paths if not _own_color(other)]
        return SPARE_COLORS[others.index(name) % len(SPARE_COLORS)] if name in others else SPARE_COLORS[-1]

    @contextmanager
    def use(self, name: str) -> Iterator[RewardModel]:
        """The loaded model, for the caller alone: nobody else computes meanwhile.

        Take it for one batch of work at a time, not for a data set: others wait. A failure to load is not kept, so that
        it can be mended while the page is open.

        Raises:
            UsageError: No such model on this page.
            NormBTError: It does not load; the message says why.
        """
        path = self.path(name)
        with self._turns.turn():
            yield self._load(path)

    def _load(self, path: str) -> RewardModel:
        from normbt_lab.model import load_reward_model

        if path not in self._loaded:
            while len(self._loaded) >= MOST_LOADED:
                self._loaded.popitem(last=False)
            self._loaded[path] = load_reward_model(path)
        self._loaded.move_to_end(path)
        return self._loaded[path]


def _own_color(name: str) -> str | None:
    """The colour that a name has everywhere, or that of the objective which it ends in: *smollm2-135m-normbt*."""
    ending = {"bt": "BT", "normbt": "NormBT"}.get(name.lower().rpartition("-")[2], name)
    return COLORS.get(ending)


def _short_name(path: str) -> str:
    name = Path(path).resolve().name if path.startswith(".") else Path(path).name
    return {"bt": "BT", "normbt": "NormBT"}.get(name.lower(), name)
