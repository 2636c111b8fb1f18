"""The names of the shipped reward models, and the folder behind each, checked against its digests.

Light on purpose: the command line asks here for names before it imports torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.project import how_to_install


class ShippedModel(NamedTuple):
    """What a shipped model stands on, and how its pairs were weighed."""

    backbone: str
    weighting: str


SHIPPED = {
    "smollm2-135m-bt": ShippedModel("smollm2-135m", "uniform"),
    "smollm2-135m-normbt": ShippedModel("smollm2-135m", "normbt"),
}
"""Name of each reward model that comes with the package -> what it is."""

DIGESTS_FILE = "SHA256SUMS"
"""File of a model's folder with a line per other file, in the format of ``sha256sum``."""

ADAPTER_FOLDERS = Path(__file__).parent / "adapters"
"""One folder per shipped model."""


def is_shipped_name(name: str) -> bool:
    """Whether this is the name of a shipped model, rather than a folder or a hub id.

    Example:
        >>> is_shipped_name("smollm2-135m-normbt"), is_shipped_name("./smollm2-135m-normbt")
        (True, False)
    """
    return name in SHIPPED


def no_reward_model(name: str, why: str = "") -> UsageError:
    """The error for a name with no reward model behind it; `why` says what was looked for in vain."""
    reason = f" ({why})" if why else ""
    return UsageError(
        f"no reward model at {name}{reason}: expected a folder written by `normbt train`, a hub id, or one that comes "
        f"with the package: {', '.join(SHIPPED)}"
    )


def available_models() -> list[str]:
    """The names whose files are in this copy of the package."""
    return [name for name in SHIPPED if (ADAPTER_FOLDERS / name / DIGESTS_FILE).is_file()]


def shipped_folder(name: str) -> Path:
    """The folder of a shipped model, once every file in it is found to be the one that was packed.

    Args:
        name: A key of `SHIPPED`.

    Raises:
        UsageError: No shipped model has this name.
        NormBTError: Its files are missing or damaged.

    Example:
        >>> shipped_folder("smollm2-135m-dpo")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        normbt_lab.errors.UsageError: no shipped model is called 'smollm2-135m-dpo': there are smollm2-135m-bt, ...
    """
    if name not in SHIPPED:
        raise UsageError(f"no shipped model is called {name!r}: there are {', '.join(SHIPPED)}")
    folder = ADAPTER_FOLDERS / name
    if not (folder / DIGESTS_FILE).is_file():
        raise NormBTError(
            f"the files of {name} are not in this copy of normbt-lab: install it again, or train the model "
            "(docs/shipped_models.md has the command)"
        )
    for line in (folder / DIGESTS_FILE).read_text(encoding="utf-8").splitlines():
        digest, file = line.split(maxsplit=1)
        if not (folder / file).is_file() or _sha256(folder / file) != digest:
            raise NormBTError(
                f"{file} of the shipped model {name} is missing or not the file that was packed (SHA-256 {digest}): "
                f"the installation is damaged. {how_to_install(clone='a new clone')}"
            )
    return folder


def local_folder(name: str) -> Path:
    """Where the files of a reward model are: those of a shipped one, else the folder that the name is.

    Raises:
        NormBTError: The files of the shipped model are missing or damaged.
    """
    return shipped_folder(name) if is_shipped_name(name) else Path(name)


def write_digests(folder: Path) -> None:
    """Write ``SHA256SUMS`` for all other files of a folder."""
    files = sorted(path for path in folder.iterdir() if path.name != DIGESTS_FILE)
    lines = "".join(f"{_sha256(path)}  {path.name}\n" for path in files)
    (folder / DIGESTS_FILE).write_text(lines, encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
