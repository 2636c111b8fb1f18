"""Every notebook runs, is built as readers expect, shows what it showed, and notices when the mathematics breaks."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from normbt_lab.notebook_runner import main, run_notebook
from normbt_lab.project import colab_url, repository_url

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

MOST_BYTES = 3_000_000

pytestmark = pytest.mark.filterwarnings(
    # jupyter_client 8.10 warns of kernels on TCP, the default on every system.
    "ignore:.*without encryption.*",
)

BREAKS = {
    "the distance is a tenth too large": """
import normbt_lab, normbt_lab.representations as representations, normbt_lab.weights as weights
true_distance = representations.representation_distance
def broken(h_chosen, h_rejected):
    return 1.1 * true_distance(h_chosen, h_rejected)
normbt_lab.representation_distance = representations.representation_distance = weights.representation_distance = broken
""",
    "the weight carries a gradient": """
import normbt_lab.weights as weights
def broken(distance, running_mean=1.0, norm_alpha=1.0, norm_eps=1e-8, max_weight=None):
    return (running_mean / (distance + norm_eps)) ** norm_alpha
weights.normbt_weight = broken
""",
    "chosen and rejected are swapped": """
from normbt_lab.data.batches import PairBatch
true_pool = PairBatch.pool
PairBatch.pool = lambda self, values: true_pool(self, values)[::-1]
""",
}
"""What is broken -> code that breaks it in the kernel, before the first cell."""

TEACHES = {
    "01_bradley_terry": set(BREAKS),
    "02_gradient_decomposition": {"the distance is a tenth too large", "chosen and rejected are swapped"},
    "03_representation_distance": {"the distance is a tenth too large", "chosen and rejected are swapped"},
    "04_normbt": set(BREAKS),
    "05_train_full": set(BREAKS),
    "06_train_lora": {"the distance is a tenth too large", "chosen and rejected are swapped"},
    "07_evaluate": {"the distance is a tenth too large", "chosen and rejected are swapped"},
    "08_ablations": set(BREAKS),
    "09_best_of_n": {"chosen and rejected are swapped"},
    "10_beyond_the_paper": {"the distance is a tenth too large", "chosen and rejected are swapped"},
    "11_your_own_data": {"the distance is a tenth too large", "chosen and rejected are swapped"},
}
"""Notebook -> the breaks that one of its checkpoints has to notice."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def sections(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    """Heading of the second level -> the cells under it, its own first."""
    found: dict[str, list[NotebookNode]] = {}
    for cell in notebook.cells:
        heading = re.match(r"## (.+)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            found[heading[1]] = []
        if found:
            found[list(found)[-1]].append(cell)
    return found


def lessons(notebook: NotebookNode) -> dict[str, list[NotebookNode]]:
    return {name: cells for name, cells in sections(notebook).items() if re.match(r"\d+\. ", name)}


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


# it runs


def test_a_notebook_runs_from_top_to_bottom_in_a_fresh_kernel(notebook: NotebookNode, path: Path) -> None:
    executed = run_notebook(notebook, path.parent, "smoke")
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    noise = [out.text for cell in code for out in cell.outputs if out.output_type == "stream" and out.name == "stderr"]
    assert noise == []


@pytest.mark.parametrize("broken", BREAKS)
def test_a_checkpoint_notices_when_the_mathematics_is_broken(notebook: NotebookNode, path: Path, broken: str) -> None:
    if broken not in TEACHES.get(path.stem, set()):
        pytest.skip("another notebook teaches it")
    changed = nbformat.from_dict({**notebook, "cells": [new_code_cell(BREAKS[broken]), *notebook.cells]})
    with pytest.raises(CellExecutionError) as failure:
        run_notebook(changed, path.parent, "smoke")
    assert failure.value.ename == "AssertionError"
    assert "# Checkpoint" in str(failure.value)


def test_every_break_is_taught_somewhere() -> None:
    assert set().union(*TEACHES.values()) == set(BREAKS)


# it is built as readers expect


def test_the_badge_opens_this_notebook_and_the_title_asks_a_question(notebook: NotebookNode, path: Path) -> None:
    first = notebook.cells[0].source
    assert f"]({colab_url(f'notebooks/{path.name}')})" in first
    assert re.search(r"^# \S", first, re.MULTILINE)
    assert "?" in first


def test_objectives_name_three_verbs_what_is_needed_and_how_long_it_takes(notebook: NotebookNode) -> None:
    objectives = sections(notebook)["Objectives"][0].source
    assert len(re.findall(r"^- \*\*\w+\*\*", objectives, re.MULTILINE)) == 3
    assert "**You need**" in objectives
    assert "minutes" in objectives


def test_the_first_code_cell_installs_the_package_only_where_it_is_missing(notebook: NotebookNode) -> None:
    first = next(cell for cell in notebook.cells if cell.cell_type == "code").source
    attempt, _, otherwise = first.partition("except ImportError:")
    assert "%pip" not in attempt
    assert re.search(rf'%pip install -q "normbt-lab\[notebooks\] @ git\+{re.escape(repository_url())}"', otherwise)


def test_one_cell_holds_the_parameters_with_all_three_profiles(notebook: NotebookNode) -> None:
    (cell,) = tagged(notebook, "parameters")
    assert 'PROFILE = os.environ.get("NORMBT_PROFILE", "cpu")' in cell.source
    assert all(f'"{profile}": ' in cell.source for profile in ("smoke", "cpu", "gpu"))


def test_every_section_has_a_figure_what_is_seen_and_a_checkpoint(notebook: NotebookNode) -> None:
    assert 3 <= len(lessons(notebook)) <= 6
    for name, cells in lessons(notebook).items():
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        assert "show(figure)" in code, name
        assert "**What we see.**" in prose, name
        checkpoints = [cell for cell in cells if "# Checkpoint: " in cell.source]
        assert checkpoints, name
        assert all("checkpoint" in cell.metadata.get("tags", []) for cell in checkpoints), name


def test_a_checkpoint_asserts_something(notebook: NotebookNode) -> None:
    for cell in tagged(notebook, "checkpoint"):
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert any(isinstance(node, ast.Assert) or getattr(node, "id", "") == "assert_close" for node in nodes)


def test_exercises_have_a_hint_an_empty_answer_a_folded_solution_and_a_check(notebook: NotebookNode) -> None:
    cells = sections(notebook)["Exercises"]
    text = "\n".join(cell.source for cell in cells)
    numbers = re.findall(r"### Exercise (\d\.\d)", text)
    assert 2 <= len(numbers) <= 4
    assert text.count("<details><summary>Hint</summary>") == len(numbers)
    assert len(re.findall(r"^your_\w+ = None$", text, re.MULTILINE)) == len(numbers)
    assert text.count("print(check_answer(your_") == len(numbers)
    solutions = tagged(notebook, "solution")
    assert [cell.source.splitlines()[0] for cell in solutions] == [f"# @title Solution {number}" for number in numbers]
    for cell in solutions:
        assert cell.metadata["cellView"] == "form"
        assert cell.metadata["jupyter"]["source_hidden"] is True


def test_it_ends_with_three_takeaways_that_name_an_equation_or_a_figure(notebook: NotebookNode) -> None:
    assert list(sections(notebook))[-1] == "Takeaways"
    takeaways = re.findall(r"^- (.+)", notebook.cells[-1].source, re.MULTILINE)
    assert len(takeaways) == 3
    assert all(re.search(r"equation \d|figure", takeaway) for takeaway in takeaways)


def test_links_to_files_of_the_repository_lead_somewhere(notebook: NotebookNode, path: Path) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", cell.source):
                assert (path.parent / target).exists(), target


# its saved outputs are those of one clean run


def test_saved_outputs_were_made_in_order_and_hold_no_error(notebook: NotebookNode, path: Path) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "error" not in kinds
    assert path.stat().st_size < MOST_BYTES


def test_saved_outputs_come_from_the_cpu_profile(notebook: NotebookNode) -> None:
    (cell,) = tagged(notebook, "parameters")
    assert "This run: cpu" in printed(cell)


def test_every_saved_figure_has_a_picture_with_words_beside_the_interactive_one(notebook: NotebookNode) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "show(figure)" in cell.source]
    for cell in cells:
        (shown,) = [output for output in cell.outputs if output.output_type == "display_data"]
        assert {"application/vnd.plotly.v1+json", "text/html", "image/png"} <= set(shown.data)
        assert len(shown.metadata["image/png"]["alt"]) > 40


def printed(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


# the page that lists them, and what runs them


def test_the_table_lists_every_notebook_with_its_badge(path: Path) -> None:
    table = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert f"]({path.name})" in table
    assert f"]({colab_url(f'notebooks/{path.name}')})" in table


def notation_rows() -> list[list[str]]:
    """Cells of the table of equations in notation.md, without its head."""
    _, _, table = (ROOT / "notebooks" / "notation.md").read_text(encoding="utf-8").partition("## Equations")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_every_function_and_test_of_the_notation_table_exists() -> None:
    assert len(notation_rows()) >= 13
    for equation, _, _, notebooks, functions, tests in notation_rows():
        for target in re.findall(r"\]\((.+?)\)", notebooks):
            assert (ROOT / "notebooks" / target).exists(), (equation, target)
        for name in re.findall(r"`(.+?)`", functions):
            module, _, attribute = name.rpartition(".")
            assert hasattr(import_module(f"normbt_lab.{module}"), attribute), (equation, name)
        for name in re.findall(r"`(.+?)`", tests):
            file, _, function = name.partition("::")
            assert f"def {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (equation, name)


def test_a_failing_notebook_is_named_and_keeps_its_outputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fails.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[new_code_cell("print(1)"), new_code_cell("assert 1 == 2")]), path)
    before = path.read_bytes()
    assert main([str(path), "--profile", "smoke"]) == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    assert "fails.ipynb" in capsys.readouterr().err


def test_a_run_writes_the_outputs_of_the_profile_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "says.ipynb"
    cell = new_code_cell("import os; print(os.environ['NORMBT_PROFILE'], os.getcwd())")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert main([str(path), "--profile", "smoke"]) == 0
    saved: Any = nbformat.read(path, as_version=4)
    assert printed(saved.cells[0]).split() == ["smoke", str(tmp_path)]
