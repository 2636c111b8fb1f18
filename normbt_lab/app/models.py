"""The reward models of a page: a closed list unless its owner opens it, each loaded when it is first needed."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from normbt_lab.app.turns import Turns
from normbt_lab.demo import NAMES
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.names import distinct_names, last_part
from normbt_lab.figures import COLORS, SPARE_COLORS
from normbt_lab.shipped.registry import SHIPPED, available_models, is_shipped_name, local_folder, no_reward_model
from normbt_lab.state import STATE_FILE

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel

DEMO_MODELS = ("runs/demo/bt", "runs/demo/normbt")
"""Where `make demo` leaves its two reward models."""

OBJECTIVES = {"uniform": "BT", "normbt": "NormBT"}
"""How the pairs of a shipped model were weighed -> what the figures call it."""

MOST_LOADED = 4
"""Models in memory at a time; beyond it the one that was not used for longest is let go."""

CONFIGS = ("config.json", "adapter_config.json")
"""A reward model has one of these: stored whole, or as an adapter of its backbone."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def default_paths() -> tuple[str, ...]:
    """The models of a page that was given none: the shipped ones, or else the demo's, where they exist."""
    if shipped := available_models():
        return tuple(shipped)
    return tuple(path for path in DEMO_MODELS if (Path(path) / STATE_FILE).is_file())


def require_models(paths: Sequence[str]) -> None:
    """Refuse names with no reward model behind them; none is loaded, so that a mistyped name is said at once.

    Args:
        paths: Names, folders or hub ids. A hub id is asked for on the hub where it is not in its cache.

    Raises:
        UsageError: There is nothing by one of the names, or its folder holds no model.

    Example:
        >>> require_models(["smollm2-135m-bt"])
        >>> require_models(["nothing-there"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        normbt_lab.errors.UsageError: no reward model at nothing-there (no such folder): expected a folder ...
    """
    for path in paths:
        folder = local_folder(path)
        if folder.is_dir():
            why = "" if any((folder / name).is_file() for name in CONFIGS) else f"no {' or '.join(CONFIGS)} in it"
        else:
            why = _why_not_on_hub(path) if _HUB_ID.fullmatch(path) else "no such folder"
        if why:
            raise no_reward_model(path, why)


def _why_not_on_hub(name: str) -> str:
    """Nothing where the hub or its cache has a model of this name."""
    from huggingface_hub import repo_exists, try_to_load_from_cache

    if any(isinstance(try_to_load_from_cache(name, file), str) for file in CONFIGS):
        return ""
    try:
        return "" if repo_exists(name) else "no such folder here, and no such model on the Hugging Face hub"
    except Exception as error:  # the client's own errors and those of the HTTP library below it have no common class
        return f"no such folder here, and the Hugging Face hub cannot be reached: {type(error).__name__}"


class Models:
    """The page's reward models by the names it shows; one model computes at a time.

    A name is the folder's own, unless two would share it. The shipped models and the demo's folders are shown as *BT*
    and *NormBT*, which have their colours everywhere.

    Args:
        paths: Names, folders or hub ids.
        allow_more: A name that is none of the page's is taken for a folder or hub id itself.

    Raises:
        UsageError: The same model is given twice.

    Example:
        >>> Models(["smollm2-135m-bt", "runs/demo/normbt", "runs/mine"]).names
        ['BT', 'NormBT', 'mine']
        >>> Models(["a/rm", "b/rm"]).names
        ['a/rm', 'b/rm']
    """

    def __init__(self, paths: Sequence[str] = (), allow_more: bool = False) -> None:
        if repeated := next((path for path in paths if list(paths).count(path) > 1), None):
            raise UsageError(f"the model {repeated} is given twice: name each once")
        self._paths = dict(zip(distinct_names(paths, _short_name), paths, strict=True))
        self._turns = Turns()
        self._loaded: OrderedDict[str, RewardModel] = OrderedDict()
        self.allow_more = allow_more

    @property
    def names(self) -> list[str]:
        """The page's own models, in the order given."""
        return list(self._paths)

    def path(self, name: str) -> str:
        """Where the model of this name is; where it is, is taken for its name too.

        Raises:
            UsageError: It is none of the page's, and the owner allows no others.
        """
        if name in self._paths:
            return self._paths[name]
        if name in self._paths.values():
            return name
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
        if name in COLORS:
            return COLORS[name]
        others = [other for other in self._paths if other not in COLORS]
        return SPARE_COLORS[others.index(name) % len(SPARE_COLORS)] if name in others else SPARE_COLORS[-1]

    @contextmanager
    def use(self, name: str) -> Iterator[RewardModel]:
        """The loaded model, for the caller alone: nobody else computes meanwhile.

        Take it for one batch of work at a time, not for a data set: others wait. A failure to load is not kept, so that
        it can be mended while the page is open.

        Raises:
            UsageError: No such model on this page.
            NormBTError: It does not load, or cannot score; the message says why.
        """
        path = self.path(name)
        with self._turns.turn():
            yield self._load(path)

    def _load(self, path: str) -> RewardModel:
        from normbt_lab.model import load_reward_model

        if path not in self._loaded:
            while len(self._loaded) >= MOST_LOADED:
                self._loaded.popitem(last=False)
            self._loaded[path] = _with_pad_token(load_reward_model(path))
        self._loaded.move_to_end(path)
        return self._loaded[path]


def _with_pad_token(reward_model: RewardModel) -> RewardModel:
    """The model, once it is known that its answers can be told from padding."""
    if reward_model.tokenizer.pad_token_id is None:
        raise NormBTError(
            f"{reward_model.name} has no pad token, so transformers cannot tell where an answer ends: give "
            '"pad_token" in its tokenizer_config.json a token that no answer ends in (not the end-of-sequence token), '
            "then score again"
        )
    return reward_model


def _short_name(path: str) -> str:
    if is_shipped_name(path):
        return OBJECTIVES[SHIPPED[path].weighting]
    name = last_part(path)
    return NAMES.get(name.lower(), name)
