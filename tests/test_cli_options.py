"""What the options of several commands say is what the commands do."""

import re

import pytest

from normbt_lab.cli import main
from normbt_lab.scoring.score import LONGEST_DEFAULT


def shown_help(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The help of a command in one line."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.mark.parametrize("command", ["score", "evaluate", "compare", "best-of-n"])
def test_the_help_says_where_a_response_is_cut(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown_help(command, capsys)
    assert f"cut on the right beyond it (default: {LONGEST_DEFAULT:,}, or the model's own limit if lower)" in text


@pytest.mark.parametrize("command", ["score", "evaluate", "compare", "best-of-n", "audit"])
def test_a_batch_is_counted_in_what_its_help_explains(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--batch-size PAIRS most pairs of responses in one forward pass" in shown_help(command, capsys)


def test_the_help_of_audit_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown_help("audit", capsys)
    assert "how much NormBT would matter here. options:" in text
    assert not re.search(r"[?!.]\.", text.replace("...", ""))
