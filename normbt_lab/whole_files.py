"""Files that appear whole or not at all: written beside their place, and moved there once they are complete.

A reader never meets half a file, and a run that is stopped or runs out of space leaves the older one as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from normbt_lab.errors import NormBTError


@contextmanager
def whole_file(path: Path, what: str = "") -> Iterator[Path]:
    """A place to write a file to; once the block ends without an error, the file stands at `path`.

    Args:
        path: Where the file goes; its folder is made, and an older file is replaced.
        what: What an error message calls it, such as ``the report``.

    Raises:
        NormBTError: It cannot be written there. What stood there before still does.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "new folder", "numbers.txt")
        >>> with whole_file(path) as unfinished:
        ...     _ = unfinished.write_text("1 2 3")
        ...     path.exists()
        False
        >>> path.read_text()
        '1 2 3'
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with explained_writing(path, what):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield unfinished
            # On the disk before it gets the name: after a power cut, the name could otherwise stand for an empty file.
            with unfinished.open("r+b") as stream:
                os.fsync(stream.fileno())
            os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def write_whole(path: Path, content: str | bytes, what: str = "") -> None:
    """Write a text (as UTF-8) or bytes to `path`, whole or not at all; see `whole_file`."""
    with whole_file(path, what) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_folder(folder: Path, what: str = "") -> Iterator[Path]:
    """A new folder to write files to; once the block ends without an error, they stand in `folder`.

    Each file is moved whole. Other files in `folder` stay; those of the same names are replaced.

    Args:
        folder: Where the files go; it is made where it does not exist.
        what: What an error message calls them, such as ``the model``.

    Raises:
        NormBTError: They cannot be written there.
    """
    is_new = not folder.exists()
    unfinished = folder / f".saving-{os.getpid()}"
    try:
        with explained_writing(folder, what):
            unfinished.mkdir(parents=True)
            yield unfinished
            for path in unfinished.iterdir():
                os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if is_new:
            with suppress(OSError):  # it holds the files
                folder.rmdir()


@contextmanager
def explained_writing(path: Path, what: str = "") -> Iterator[None]:
    """A block that writes to `path`: where the disk refuses, one line with cause and fix, whoever did the writing.

    Args:
        path: What the error message names.
        what: What it calls it, such as ``the checkpoint``.

    Raises:
        NormBTError: It cannot be written there.
    """
    try:
        yield
    except Exception as error:
        reason = _refusal_of_disk(error)
        if reason is None:
            raise
        named = f"{what} to {path}" if what else path
        raise NormBTError(f"cannot write {named} ({reason}): free space, or choose another place") from error


def _refusal_of_disk(error: Exception) -> str | None:
    """Why the disk would not take a file; None for an error of another kind.

    safetensors and torch have errors of their own for it, and torch's does not say what happened.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if type(error).__name__ == "SafetensorError" and "I/O error" in str(error):
        return str(error)
    if isinstance(error, RuntimeError) and "inline_container" in str(error):
        return "a file broke off, as on a full disk"
    return None
