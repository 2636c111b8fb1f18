"""Claim by claim: what the paper says, what was measured here, and whether that speaks for it.

``claims.yaml`` has the claims, ``measured/`` the measurements as the commands wrote them. A verdict is a rule, not a
judgement: a difference replicates when its whole 95 % interval lies on the claimed side.

    python -m normbt_lab.paper.claims > docs/claims.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

REPLICATES = "replicates"
OPPOSITE = "does not: the opposite"
NOT_SEEN = "not seen: chance would do"
EXACT = "holds exactly, by test"
MEASURED = "measured"
UNTESTED = "untested here"


@dataclass(frozen=True)
class Measurement:
    """A measured number with its 95 % interval, where it has one.

    Attributes:
        value: The number.
        low: Lower end; None without an interval.
        high: Upper end.
        unit: ``points`` for differences of accuracies, else empty.
    """

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def text(self) -> str:
        """As the ledger shows it.

        Example:
            >>> Measurement(1.25, -0.5, 3.0, "points").text(), Measurement(0.951).text()
            ('+1.2 [-0.5, +3.0] points', '0.95')
        """
        form = "{:+.1f}" if self.unit else "{:.2f}"
        interval = "" if self.low is None else f" [{form.format(self.low)}, {form.format(self.high)}]"
        return f"{form.format(self.value)}{interval}{' ' if self.unit else ''}{self.unit}"


@dataclass(frozen=True)
class Claim:
    """One claim with what speaks for or against it.

    Attributes:
        claim: In our words.
        where: Its place in the paper.
        command: What measures it.
        printed: The paper's number, as text; empty for none.
        at: What our number was measured on.
        note: What to know beside the verdict.
        holds_if: ``above X`` or ``below X``; empty where a number is only reported.
        test: A test that shows it exactly; empty for none.
        measurement: Our number; None where nothing was measured.
    """

    claim: str
    where: str
    command: str
    printed: str = ""
    at: str = ""
    note: str = ""
    holds_if: str = ""
    test: str = ""
    measurement: Measurement | None = None

    @property
    def verdict(self) -> str:
        """One of the six verdicts of this module."""
        if self.test:
            return EXACT
        if self.measurement is None:
            return UNTESTED
        return judge(self.measurement, self.holds_if) if self.holds_if else MEASURED


def judge(measurement: Measurement, holds_if: str) -> str:
    """Whether a measurement speaks for a claim: its whole interval, or the number itself where it has none.

    Args:
        measurement: What was measured.
        holds_if: ``above X`` or ``below X``.

    Raises:
        ValueError: Another rule.

    Example:
        >>> judge(Measurement(1.0, -0.5, 2.5), "above 0"), judge(Measurement(1.0, 0.5, 1.5), "above 0")
        ('not seen: chance would do', 'replicates')
    """
    side, _, bound = holds_if.partition(" ")
    if side not in ("above", "below"):
        raise ValueError(f"a rule is 'above X' or 'below X'; got {holds_if!r}")
    low = measurement.value if measurement.low is None else measurement.low
    high = measurement.value if measurement.high is None else measurement.high
    is_above, is_below = low > float(bound), high < float(bound)
    if is_above or is_below:
        return REPLICATES if is_above == (side == "above") else OPPOSITE
    return NOT_SEEN


@cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the paper, with what was measured so far."""
    import yaml

    rows = yaml.safe_load(files("normbt_lab.paper").joinpath("claims.yaml").read_text(encoding="utf-8"))
    return tuple(_claim(row) for row in rows)


def measured_file(name: str) -> dict[str, Any] | None:
    """What a command wrote, as it is kept in ``measured/``; None for one that was not run yet."""
    path = files("normbt_lab.paper").joinpath("measured", name)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _claim(row: Mapping[str, Any]) -> Claim:
    row = dict(row)
    source = row.pop("measured", None)
    content = measured_file(source["file"]) if source else None
    return Claim(**row, measurement=None if content is None else _measurement(content, source))


def _measurement(content: Mapping[str, Any], source: Mapping[str, Any]) -> Measurement | None:
    return _of_suite(content, source) if "row" in source else _of_path(content, source)


def _of_suite(content: Mapping[str, Any], source: Mapping[str, Any]) -> Measurement | None:
    """A gain of one row over another, from a suite's summary; None while one of the two has not run."""
    wanted = {name: source[name] for name in ("condition", "row", "split") if name in source}
    for line in content["lines"]:
        if wanted.items() <= line.items() and source["over"] in line["gains"]:
            gain = line["gains"][source["over"]][source.get("category", "all")]
            return Measurement(gain["mean"], gain["low"], gain["high"], "points")
    return None


def _of_path(content: Mapping[str, Any], source: Mapping[str, Any]) -> Measurement:
    found = _follow(content, source["path"])
    if isinstance(found, Mapping):
        value = next(found[name] for name in ("mean", "value", "r", "difference") if name in found)
        return Measurement(value, found["low"], found["high"])
    if isinstance(found, list):
        return Measurement(found[1], found[0], found[2])
    return Measurement(found - _follow(content, source["minus"]) if "minus" in source else found)


def _follow(content: Any, path: str) -> Any:
    for name in path.split("."):
        content = content[name]
    return content


def ledger(found: tuple[Claim, ...] | None = None) -> str:
    """The claims as a Markdown page: verdicts counted, then a table."""
    found = claims() if found is None else found
    counts = {verdict: sum(claim.verdict == verdict for claim in found) for verdict in _ORDER}
    lines = [
        "# The paper's claims, one by one",
        "",
        "Generated by `python -m normbt_lab.paper.claims`: do not edit. Claims are in our words, measurements are what",
        "the commands wrote. A claim *replicates* when the whole 95 % interval lies on its side, and is *not seen* when",
        "the interval holds the bound, which also happens when a study is too small for an effect that is there. Our scale",
        "is small: a 135M backbone, LoRA, a few hundred synthetic pairs. It says little about 2B and 3B models on 80,000",
        "real pairs; the `gpu` scale of each suite is that experiment, written down and not run.",
        "",
        *(f"- {verdict}: {count}" for verdict, count in counts.items() if count),
        "",
        "| Claim | Paper | Printed | Measured here | Verdict |",
        "|---|---|---|---|---|",
        *(_row(claim) for claim in found),
        "",
        "## Commands",
        "",
        *(f"- {_place(claim)}{claim.claim}: `{claim.command}`" for claim in found),
        "",
    ]
    return "\n".join(lines)


_ORDER = (EXACT, REPLICATES, NOT_SEEN, OPPOSITE, MEASURED, UNTESTED)


def _row(claim: Claim) -> str:
    if claim.test:
        ours = f"`{claim.test}`"
    elif claim.measurement is None:
        ours = "-"
    else:
        ours = claim.measurement.text() + (f"; {claim.at}" if claim.at else "")
    note = f". {claim.note}" if claim.note and claim.measurement else ""
    return f"| {claim.claim} | {claim.where} | {claim.printed or '-'} | {ours}{note} | {claim.verdict} |"


def _place(claim: Claim) -> str:
    return "" if claim.where == "none" else f"{claim.where}. "


if __name__ == "__main__":
    print(ledger(), end="")
