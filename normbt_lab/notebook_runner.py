"""Run notebooks as a reader would, in a fresh kernel from top to bottom, and keep what they show.

python -m normbt_lab.notebook_runner                     all notebooks, profile cpu, outputs written
python -m normbt_lab.notebook_runner --profile smoke ...  named ones, on a tiny random model
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from normbt_lab.whole_files import whole_file

LONGEST_CELL = 1800
"""Seconds that one cell may take, on a slow machine."""


def run_notebook(notebook: NotebookNode, folder: Path, profile: str) -> NotebookNode:
    """The notebook with the outputs of one clean run.

    Args:
        notebook: As read by nbformat; stays as it is.
        folder: Working directory of the kernel: where the notebook lies.
        profile: ``smoke``, ``cpu`` or ``gpu``.

    Raises:
        CellExecutionError: A cell failed, a checkpoint among them; the message shows the cell.
    """
    fresh = nbformat.from_dict(notebook)
    client = NotebookClient(
        fresh,
        timeout=LONGEST_CELL,
        resources={"metadata": {"path": str(folder)}},
        coalesce_streams=True,  # a progress bar leaves its last line, not every one
        record_timing=False,  # times would make every run differ
    )
    return client.execute(env={**os.environ, "NORMBT_PROFILE": profile})


def rewrite_notebook(path: Path, profile: str) -> None:
    """Run a notebook and write its outputs, all or none: a failing run leaves the file as it was."""
    executed = run_notebook(nbformat.read(path, as_version=4), path.parent, profile)
    # What the kernel says of this machine would change with every run elsewhere.
    executed.metadata["language_info"] = {"name": "python"}
    with whole_file(path) as unfinished:
        nbformat.write(executed, unfinished)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named notebooks, or all of ``notebooks/``; exit code 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m normbt_lab.notebook_runner", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: notebooks/*.ipynb")
    parser.add_argument("--profile", default="cpu", choices=["smoke", "cpu", "gpu"])
    chosen = parser.parse_args(arguments)
    failed = 0
    for path in chosen.notebooks or sorted(Path("notebooks").glob("*.ipynb")):
        started = time.perf_counter()
        try:
            rewrite_notebook(path, chosen.profile)
        except CellExecutionError as error:
            failed = 1
            print(f"{path}: a cell failed, and the file stays as it was\n{error}", file=sys.stderr)
            continue
        minutes = (time.perf_counter() - started) / 60
        print(f"{path}: {minutes:.1f} minutes, {path.stat().st_size / 1e6:.2f} MB")
    return failed


if __name__ == "__main__":
    sys.exit(main())
