"""The ledger of claims: verdicts follow from intervals, and every line points at something that exists."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from normbt_lab.cli import main
from normbt_lab.experiments.suite import load_suite
from normbt_lab.experiments.trial_data import HELD_OUT
from normbt_lab.paper import claims as module
from normbt_lab.paper.claims import (
    EXACT,
    MEANINGS,
    NOT_SEEN,
    OPPOSITE,
    REPLICATES,
    UNTESTED,
    Claim,
    Measurement,
    claims,
    judge,
    ledger,
    measured_file,
)

PACKAGE = Path(module.__file__).parent
ROOT = PACKAGE.parents[1]
ROWS = yaml.safe_load((PACKAGE / "claims.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("interval", "rule", "verdict"),
    [
        ((2, 1, 3), "above 0", REPLICATES),
        ((2, -1, 5), "above 0", NOT_SEEN),
        ((-2, -3, -1), "above 0", OPPOSITE),
        ((-2, -3, -1), "below 0", REPLICATES),
        ((0.95, 0.93, 0.96), "above 0.9", REPLICATES),
        ((0.95, 0.85, 0.99), "above 0.9", NOT_SEEN),
        ((0, 0, 0), "above 0", NOT_SEEN),
        ((-0.3, None, None), "below 0", REPLICATES),
    ],
)
def test_a_claim_replicates_when_the_whole_interval_is_on_its_side(interval, rule, verdict):
    assert judge(Measurement(*interval), rule) == verdict


def test_a_rule_that_is_none_is_refused():
    with pytest.raises(ValueError, match="above X"):
        judge(Measurement(1.0), "at least 0")


def test_a_claim_without_a_measurement_is_untested():
    assert Claim("c", "eq. 1", "true", holds_if="above 0").verdict == UNTESTED
    assert Claim("c", "eq. 1", "true", test="tests/test_gradients.py").verdict == EXACT


def suite_claims():
    return [row for row in ROWS if "row" in row.get("measured", {})]


@pytest.mark.parametrize("row", suite_claims(), ids=lambda row: f"{row['where']}-{row['measured']['row']}")
def test_a_claim_about_a_suite_names_rows_and_splits_that_it_has(row):
    """Else a typing error would stand in the ledger as 'untested here'."""
    measured = row["measured"]
    name, _, scale = measured["file"].removesuffix(".json").partition("-")
    suite = load_suite(name, scale)
    names = {suite_row.name for suite_row in suite.rows}
    assert {measured["row"], measured["over"]} <= names
    assert measured.get("condition", suite.conditions[0].name) in {condition.name for condition in suite.conditions}
    tests = suite.trial(suite.conditions[0], suite.rows[0], suite.learning_rates[0], 0).test_data
    assert measured["split"] in {*tests, HELD_OUT}
    lines = (measured_file(measured["file"]) or {"lines": []})["lines"]
    wanted = {name: measured[name] for name in ("condition", "row", "split") if name in measured}
    if any(wanted.items() <= line.items() and measured["over"] in line["gains"] for line in lines):
        claim = next(claim for claim in claims() if (claim.claim, claim.where) == (row["claim"], row["where"]))
        assert claim.measurement is not None


def test_tests_and_scripts_that_claims_name_exist():
    for row in ROWS:
        for word in [row.get("test", ""), *row["command"].split()]:
            if word.endswith(".py"):
                assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("command", sorted({row["command"] for row in ROWS if row["command"].startswith("normbt ")}))
def test_a_command_of_the_ledger_is_one_that_the_program_takes(command, capsys):
    name, *words = shlex.split(command)[1:]
    with pytest.raises(SystemExit) as ended:
        main([name, *([words[0]] if name == "experiment" else []), "--help"])
    assert ended.value.code == 0
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= options


def test_the_page_in_the_docs_is_the_one_that_is_generated():
    """Regenerate with: python -m normbt_lab.paper.claims > docs/claims.md."""
    assert (ROOT / "docs/claims.md").read_text(encoding="utf-8") == ledger()


def test_every_claim_has_its_line_and_the_verdicts_add_up():
    page = ledger()
    counts = [int(line.rpartition(": ")[2]) for line in page.splitlines() if line.startswith("- ") and "`" not in line]
    assert sum(counts) == len(claims()) == len(ROWS)
    assert page.count("\n| ") == len(ROWS) + 1


def test_every_verdict_that_a_claim_has_is_defined_where_it_is_counted():
    defined = ledger().partition("| Claim |")[0]
    for verdict in {claim.verdict for claim in claims()}:
        assert f"- **{verdict}** ({MEANINGS[verdict]}): " in defined


def test_replicating_without_an_interval_is_said_to_be_about_the_number_alone():
    assert any(claim.verdict == REPLICATES and claim.measurement.low is None for claim in claims())
    assert "the whole 95 % interval, or a number that has none, lies on the claim's side" in ledger()


def test_what_the_shipped_models_lose_in_safety_is_said_in_the_measured_numbers():
    found = measured_file("compare-test.json")["categories"]
    (note,) = [claim.note for claim in claims() if "safety loses" in claim.note]
    for name, in_words in (("safety", "loses 16.25 points (13 of its 80"), ("reasoning", "gains 10.6 (17 of its 160)")):
        gain, points, pairs, size = found[name]["gain"]["mean"], *map(float, re.findall(r"[\d.]+", in_words))
        assert in_words in note
        assert round(abs(gain) * size) == pairs and found[name]["pairs"] == size
        assert abs(100 * gain) == pytest.approx(points, abs=0.05)


def test_measured_files_are_read_whole():
    for path in (PACKAGE / "measured").glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8")), path.name
