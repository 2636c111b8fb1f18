"""Checkpoints that a run can be resumed from: whole, on the disk, and with all that the next step and log depend on.

A checkpoint is a folder of many files, and a run can be killed between any two of them. The last one written is the
seal, ``normbt_checkpoint.json``: names and sizes of all the others, which lie on the disk by then. A folder without a
seal, or with a file that is not what the seal says, is no checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import zipfile
from pathlib import Path

from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.whole_files import write_whole

logger = logging.getLogger(__name__)

SEAL_FILE = "normbt_checkpoint.json"

SET_ASIDE = "set-aside-"
"""What comes before the name of a checkpoint that does not belong to the run any more."""


def seal_checkpoint(folder: Path) -> None:
    """Declare a folder complete: what is in it now is the checkpoint.

    Every file is forced to the disk first, so that a power cut does not leave a seal on empty files.
    """
    break_seal(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    write_whole(folder / SEAL_FILE, json.dumps({"files": files}, indent=2) + "\n", "the checkpoint")


def break_seal(folder: Path) -> None:
    """Declare a folder incomplete, before anything in it is written over."""
    (folder / SEAL_FILE).unlink(missing_ok=True)


def damage(folder: Path) -> str | None:
    """What makes a folder unfit to resume from, in a few words; None for a whole checkpoint.

    Sizes are compared with the seal, JSON is parsed, the CRC-32 sums inside PyTorch's files and the headers of
    safetensors are checked. What resuming reads of PyTorch's files is read as it will be then, by the reader that makes
    tensors and numbers and runs no code. Tensors of a safetensors file carry no sum: a flipped bit among them goes
    unseen.

    Example:
        >>> damage(Path("no-such-folder"))
        'its writing was cut short, or NormBTTrainer did not write it: no normbt_checkpoint.json'
    """
    try:
        files = json.loads((folder / SEAL_FILE).read_text(encoding="utf-8"))["files"]
        expected = {folder / str(name): int(size) for name, size in files.items()}
    except FileNotFoundError:
        return f"its writing was cut short, or NormBTTrainer did not write it: no {SEAL_FILE}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{SEAL_FILE} is damaged"
    for path, size in expected.items():
        if wrong := _damage_of_file(path, size):
            return f"{path.relative_to(folder).as_posix()} {wrong}"
    if not any(path.name.startswith("rng_state") for path in expected):
        return "it holds a model and no optimizer: it was saved with save_only_model"
    return None


def checkpoint_to_resume(output_dir: Path, wish: str | bool | None) -> Path | None:
    """The whole checkpoint that a run goes on from; None for a run from the start.

    Args:
        output_dir: Where the run writes its checkpoints.
        wish: A checkpoint's folder, True for the newest whole one of `output_dir`, None or False for a new start.

    Raises:
        UsageError: True, and there are no checkpoints.
        NormBTError: The checkpoint, or every one there is, is damaged.
    """
    if wish is True:
        return last_complete_checkpoint(output_dir)
    if not wish:
        return None
    require_whole(Path(wish))
    return Path(wish)


def last_complete_checkpoint(output_dir: Path) -> Path:
    """The newest checkpoint of a run that was written to the end and is still as it was written.

    Newer ones that are not are named in a warning.

    Raises:
        UsageError: The run has no checkpoints.
        NormBTError: It has, and none of them is whole; says what is wrong with each.
    """
    found = _checkpoints(output_dir)
    if not found:
        raise UsageError(f"{output_dir} has no checkpoint to resume: start without resume_from_checkpoint")
    wrong = {}
    for _, folder in reversed(found):
        reason = damage(folder)
        if reason is None:
            return folder
        wrong[folder.name] = reason
        logger.warning("%s is passed over: %s", folder, reason)
    listed = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
    raise NormBTError(
        f"{output_dir} has no whole checkpoint to resume ({listed}). Start again without resume_from_checkpoint, or "
        "put back a copy of a checkpoint."
    )


def require_whole(folder: Path) -> None:
    """Refuse to resume from a folder that is no whole checkpoint.

    Raises:
        NormBTError: Says what is wrong with it.
    """
    if reason := damage(folder):
        raise NormBTError(
            f"cannot resume from {folder}: {reason}. Name an older checkpoint, or let True choose the newest whole one."
        )


def set_aside_after(output_dir: Path, step: int) -> None:
    """Rename the checkpoints after a step to ``set-aside-checkpoint-N``, because a run that starts there makes its own.

    They are damaged, or of an earlier run. Under their names they would be the newest ones: a later resume would
    continue from them, and the limit on the number of checkpoints would delete good ones in their place.
    """
    for number, folder in _checkpoints(output_dir):
        if number > step:
            aside = folder.with_name(SET_ASIDE + folder.name)
            shutil.rmtree(aside, ignore_errors=True)  # of an earlier interruption
            folder.rename(aside)
            logger.warning("%s is now called %s: delete it when you do not need it", folder, aside.name)


def _checkpoints(output_dir: Path) -> list[tuple[int, Path]]:
    """Step and folder of what is named as a checkpoint, oldest first."""
    named = [(re.fullmatch(r"checkpoint-(\d+)", path.name), path) for path in output_dir.glob("checkpoint-*")]
    return sorted((int(name.group(1)), path) for name, path in named if name)


def _damage_of_file(path: Path, size: int) -> str | None:
    """What is wrong with one file of a checkpoint, or None."""
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != size:
        return f"has {path.stat().st_size:,} bytes where {size:,} were written"
    try:
        _READERS.get(path.suffix, lambda _: None)(path)
    except Exception as error:  # each format has errors of its own, and all mean the same here
        return f"is damaged ({str(error).splitlines()[0]})"
    return None


def _read_json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _read_torch(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"the sum of {name} is wrong")
    if path.name.startswith(_RESUMED):
        _read_without_code(path)


def _read_without_code(path: Path) -> None:
    """Read as the Trainer will, which would fail in the middle of starting and say so in PyTorch's words."""
    import torch
    from transformers.trainer_pt_utils import safe_globals

    with safe_globals():  # of numpy, for its random state
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if foreign:
            raise ValueError(f"opening it would call {foreign[0]}, which no run has written there")
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # PyTorch's message is a page about how to switch the check off
            raise ValueError("it does not hold plain tensors and numbers") from error


def _read_safetensors(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt"):
        pass


_RESUMED = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state")
"""How the names of PyTorch's files begin that the Trainer opens itself; DeepSpeed opens its own."""

_READERS = {".json": _read_json, ".pt": _read_torch, ".pth": _read_torch, ".safetensors": _read_safetensors}
