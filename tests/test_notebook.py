"""What notebooks lean on: the figure in three forms, its words, and the judgement of an answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from normbt_lab import notebook
from normbt_lab.notebook import check_answer, setup, show, show_table, titled_figure


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What reaches the notebook: (forms, metadata) of each figure."""
    calls: list[tuple[dict[str, Any], dict[str, Any]]] = []
    monkeypatch.setattr("IPython.display.display", lambda forms, raw, metadata: calls.append((forms, metadata or {})))
    return calls


def test_without_a_browser_a_figure_still_goes_out_interactive_with_its_words(
    shown: list[tuple[dict[str, Any], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "_browser_is_running", False)
    figure = titled_figure("Errors fall < by half", "step", "error (0 to 1)")
    figure.add_scatter(x=[0, 1], y=[1, 0.5])
    show(figure)
    ((forms, metadata),) = shown
    assert set(forms) == {"application/vnd.plotly.v1+json", "text/html", "text/plain"}
    assert forms["text/plain"] == "Figure: Errors fall < by half (axes: step, error (0 to 1))"
    assert forms["application/vnd.plotly.v1+json"]["data"][0]["y"] == [1, 0.5]
    assert len(forms["text/html"]) < 20_000  # plotly's library is 4.8 MB
    assert metadata == {}


def test_with_a_picture_the_page_shows_it_until_the_script_has_drawn(
    shown: list[tuple[dict[str, Any], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "_static_picture", lambda figure: "UE5H")
    show(titled_figure('A "finding"', "x", "y"))
    ((forms, metadata),) = shown
    assert forms["image/png"] == "UE5H"
    assert metadata["image/png"] == {"alt": 'A "finding" (axes: x, y)', "width": 760, "height": 400}
    page = forms["text/html"]
    assert 'alt="A &quot;finding&quot; (axes: x, y)" src="data:image/png;base64,UE5H"' in page
    assert page.index("<img") < page.index("Plotly.newPlot") < page.index(".remove()")


def test_setup_seeds_and_prints_the_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NORMBT_PROFILE", "smoke")  # no browser is started
    setup(seed=7)
    first = torch.rand(3)
    setup(seed=7)
    assert torch.equal(torch.rand(3), first)
    said = capsys.readouterr().out
    assert torch.__version__.partition("+")[0] in said  # a CUDA build from PyPI leaves +cu130 out of its metadata
    assert "static pictures" in said


@pytest.mark.parametrize("answer", [0.7, [0.845, 0.845], float("nan")])
def test_a_wrong_answer_fails(answer: Any) -> None:
    with pytest.raises(AssertionError):
        check_answer(answer, 0.845)


def test_an_answer_may_be_rounded_to_three_digits() -> None:
    assert check_answer(0.845, torch.tensor(0.84483)) == "Right."


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        show_table({"a": [1, 2], "b": [1.0]})
