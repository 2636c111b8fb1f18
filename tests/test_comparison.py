"""Two models on the same pairs: counts worked out by hand, the test against a table of coin tosses, and the command."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from test_evaluation import scored_pair

from normbt_lab.cli import DONE, FAILURE, main
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation import evaluate_pairs
from normbt_lab.evaluation.comparison import compare_models, mcnemar_p_value
from normbt_lab.evaluation.comparison_files import compare_files
from normbt_lab.evaluation.comparison_tables import disagreement_rows, paired_rows, where_they_differ
from normbt_lab.evaluation.intervals import paired_difference


def scores(differences, distances=None, categories=None):
    """One scored pair per reward difference, of one set of pairs."""
    distances = distances or [1.0] * len(differences)
    categories = categories or [None] * len(differences)
    return [
        scored_pair(difference, distance=distance, category=category, index=i)
        for i, (difference, distance, category) in enumerate(zip(differences, distances, categories, strict=True))
    ]


# the test


@pytest.mark.parametrize(("model_only", "baseline_only"), list(itertools.product(range(6), range(5))))
def test_mcnemar_s_p_value_is_the_share_of_coin_tosses_at_least_as_one_sided(model_only, baseline_only):
    """The slow way: every sequence of tosses, counted."""
    tosses = model_only + baseline_only
    gap = abs(model_only - baseline_only)
    every = list(itertools.product((0, 1), repeat=tosses))
    as_one_sided = sum(abs(tosses - 2 * sum(sequence)) >= gap for sequence in every)
    assert mcnemar_p_value(model_only, baseline_only) == pytest.approx(as_one_sided / len(every))


def test_many_disagreements_overflow_nothing():
    """With 60 % of 2,000 the normal approximation gives z = (1200 - 1000 - 0.5) / sqrt(500) = 8.92, p = 4.6e-19."""
    assert mcnemar_p_value(1200, 800) == pytest.approx(4.6e-19, rel=0.1)
    assert mcnemar_p_value(20_000, 20_000) == 1.0
    assert mcnemar_p_value(20_000, 0) == 0.0  # 2^-19999, below the smallest float


# counts


def test_pairs_are_counted_by_who_ranks_them_right_and_a_tie_is_wrong():
    """Right for both, model alone (against a wrong one and against a tie), baseline alone, neither, tied for both."""
    model = scores([1.0, 1.0, 1.0, -1.0, -1.0, 0.0])
    baseline = scores([1.0, -1.0, 0.0, 2.0, -1.0, 0.0])
    overall = compare_models(model, baseline).overall
    counts = (overall.pairs, overall.both, overall.model_only, overall.baseline_only, overall.disagreements)
    assert counts == (6, 1, 2, 1, 3)
    assert (overall.model_accuracy, overall.baseline_accuracy) == (3 / 6, 2 / 6)
    assert overall.model_share == 2 / 3
    assert overall.p_value == 1.0  # two of three tosses: as one-sided as an odd number of tosses can be at least


def test_accuracies_and_gain_are_those_of_the_separate_evaluations():
    generator = np.random.default_rng(0)
    model, baseline = (scores(generator.normal(size=200).tolist()) for _ in range(2))
    overall = compare_models(model, baseline).overall
    assert overall.model_accuracy == evaluate_pairs(model).overall.strict
    assert overall.baseline_accuracy == evaluate_pairs(baseline).overall.strict
    assert overall.gain == paired_difference(model, baseline)
    assert overall.gain.low < overall.gain.mean < overall.gain.high


def test_swapping_the_models_turns_the_gain_round_and_leaves_the_p_value():
    generator = np.random.default_rng(1)
    model, baseline = (scores(generator.normal(size=99).tolist()) for _ in range(2))
    ours, theirs = compare_models(model, baseline).overall, compare_models(baseline, model).overall
    assert ours.gain.mean == pytest.approx(-theirs.gain.mean)
    assert (ours.model_only, ours.p_value) == (theirs.baseline_only, theirs.p_value)


def test_categories_are_compared_apart():
    categories = ["reasoning", "reasoning", "chat", None]
    model, baseline = scores([1, 1, -1, 1], categories=categories), scores([-1, 1, 1, 1], categories=categories)
    found = compare_models(model, baseline).categories
    counts = {name: (one.model_only, one.baseline_only) for name, one in found.items()}
    assert list(counts.items()) == [("chat", (0, 1)), ("reasoning", (1, 0)), ("uncategorised", (0, 0))]


# distance


def test_disagreements_are_binned_by_the_distances_given_with_equally_many_pairs_in_each_bin():
    """Distances 1 to 100: the model alone is right up to 20, the baseline alone on 91 to 100, both elsewhere."""
    distances = [float(d) for d in range(1, 101)]
    model = scores([-1.0 if d > 90 else 1.0 for d in distances])
    baseline = scores([-1.0 if d <= 20 else 1.0 for d in distances])
    comparison = compare_models(model, baseline, distances=distances)
    bins = comparison.distance_bins
    assert [one.result.pairs for one in bins] == [20] * 5
    assert [one.result.model_only for one in bins] == [20, 0, 0, 0, 0]
    assert [one.result.baseline_only for one in bins] == [0, 0, 0, 0, 10]
    assert [one.result.model_share for one in bins] == [1.0, None, None, None, 0.0]
    assert bins[-1].result.gain.mean == -0.5
    assert (bins[0].low, bins[-1].high) == (1, 100)


def test_without_distances_the_baseline_s_own_are_taken():
    model, baseline = scores([1, 1], distances=[7.0, 8.0]), scores([-1, -1], distances=[2.0, 1.0])
    comparison = compare_models(model, baseline, names=("NormBT", "BT"))
    assert [(one.distance, one.model.index) for one in comparison.disagreements] == [(1.0, 1), (2.0, 0)]
    assert comparison.distance_source == "BT"


def test_disagreements_are_listed_from_close_to_far_and_by_winner():
    model, baseline = scores([1, -1, 1, 1, 1]), scores([-1, 1, -1, 1, 0])
    comparison = compare_models(model, baseline, distances=[5.0, 4.0, 3.0, 2.0, 1.0])
    assert [one.model.index for one in comparison.disagreements] == [4, 2, 1, 0]
    assert [one.model.index for one in comparison.closest(2)] == [4, 2]
    assert [one.model.index for one in comparison.closest(9, model_is_right=False)] == [1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distances": [1.0]}, "one distance per pair, 2; got 1"),
        ({"distances": [1.0, float("nan")]}, "the distance of pair 1 is nan"),
    ],
)
def test_distances_of_other_pairs_or_without_a_number_are_refused(settings, message):
    with pytest.raises(NormBTError, match=message):
        compare_models(scores([1, 1]), scores([1, 1]), **settings)


def test_wrong_use_and_other_pairs_are_refused():
    with pytest.raises(UsageError, match="bins must be 1 or more"):
        compare_models(scores([1]), scores([1]), bins=0)
    with pytest.raises(UsageError, match="both are 'BT'"):
        compare_models(scores([1]), scores([1]), names=("BT", "BT"))
    with pytest.raises(NormBTError, match="is not pair"):
        compare_models(scores([1, 0]), scores([1, 0])[::-1])
    with pytest.raises(NormBTError, match="same pairs"):
        compare_models([], [])


# tables


def test_close_responses_are_shown_where_they_differ():
    code = "".join(f"line {n} of a program that both responses share; " for n in range(40))
    chosen, rejected = where_they_differ(code + "return n + 1  # done", code + "return n - 1  # done", width=30)
    assert "return n + 1" in chosen and "return n - 1" in rejected
    assert len(chosen) <= 30 + 2 * len("... ")
    assert where_they_differ("yes", "no") == ("yes", "no")
    assert where_they_differ("a\n  b", "a\n\nc") == ("a b", "a c")
    assert where_they_differ("x" * 50 + "y", "x" * 50, width=10) == ("... xxxxxxxxxy", "... xxxxxxxxx")


def test_the_table_names_both_models_and_every_group_lines_up():
    categories = ["chat", "chat", "reasoning", "reasoning"]
    model, baseline = scores([1, 1, 1, -1], categories=categories), scores([-1, 1, -1, -1], categories=categories)
    comparison = compare_models(model, baseline, distances=[1.0, 2.0, 3.0, 4.0], names=("NormBT", "BT"), bins=2)
    rows = paired_rows(comparison)
    assert [row[0] for row in rows[1:]] == [
        *("all pairs", "chat", "reasoning", "distance 1 of 2 (closest)", "distance 2 of 2 (farthest)")
    ]
    assert rows[0][2:4] + rows[0][5:7] == ["NormBT", "BT", "only NormBT", "only BT"]
    assert rows[1][1:4] + rows[1][5:] == ["4", "75.0 %", "25.0 %", "2", "0", "0.5"]
    text = comparison.table()
    assert len({len(line) for line in text.split("\n")[: len(rows) + 1]}) == 1
    assert "NormBT minus BT over the same 4 pairs: +50.0 points" in text
    assert "NormBT alone is right on 2, BT alone on 0 (McNemar's exact test, p = 0.5)" in text
    header, *listed = disagreement_rows(comparison.disagreements)
    assert [len(row) for row in listed] == [len(header)] * 2
    assert [row[:3] for row in listed] == [["0", "chat", "1"], ["2", "reasoning", "3"]]


def test_the_json_form_is_json_and_holds_the_texts_of_the_disagreements():
    comparison = compare_models(scores([1, 1, -1]), scores([-1, 1, 1]), distances=[1.0, 2.0, 3.0])
    stored = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert stored["disagreements"] == {"model_only": 1, "baseline_only": 1, "model_share": 0.5}
    assert [(pair["prompt"], pair["right"]) for pair in stored["disagreeing_pairs"]] == [
        *(("question 0", "model"), ("question 2", "baseline"))
    ]


# files and the command, on random two-layer models


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two tiny random reward models of different seeds, and 24 sums, one of them without anything to choose."""
    from normbt_lab.backbones import load_tokenizer, resolve_backbone
    from normbt_lab.model import build_reward_model

    folder = tmp_path_factory.mktemp("compare")
    backbone = resolve_backbone("tiny-random")
    for seed, name in enumerate(("normbt", "bt")):
        model = build_reward_model(backbone, seed=seed)
        model.save_pretrained(folder / name)
        load_tokenizer(backbone).save_pretrained(folder / name)
    rows = [{"prompt": f"{n} + 1?", "chosen": f"It is {n + 1}.", "rejected": f"It is {n}."} for n in range(23)]
    rows.append({"prompt": "1 + 1?", "chosen": "2"})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_a_comparison_of_files_agrees_with_scoring_each_model_alone(folder):
    from normbt_lab.model import load_reward_model
    from normbt_lab.scoring import score_pairs

    comparison = compare_files(str(folder / "normbt"), str(folder / "bt"), str(folder / "pairs.jsonl"))
    assert comparison.layouts == {"normbt": "shared_prefix", "bt": "shared_prefix"}
    assert (comparison.model, comparison.baseline, comparison.distance_source) == ("normbt", "bt", "bt")
    pairs = [PreferencePair(f"{n} + 1?", f"It is {n + 1}.", f"It is {n}.") for n in range(23)]
    right = {}
    for name in ("normbt", "bt"):
        scored = list(score_pairs(load_reward_model(str(folder / name)), pairs))
        right[name] = [pair.is_correct for pair in scored]
    only = sum(ours and not theirs for ours, theirs in zip(right["normbt"], right["bt"], strict=True))
    assert comparison.overall.pairs == 23
    assert comparison.overall.model_only == only
    assert comparison.overall.baseline_accuracy == sum(right["bt"]) / 23


def test_a_model_compared_with_itself_gains_nothing(folder):
    comparison = compare_files(str(folder / "bt"), str(folder / "bt"), str(folder / "pairs.jsonl"))
    assert comparison.overall.gain == (0, 0, 0)
    assert comparison.baseline == f"{comparison.model} (baseline)"


def test_distances_of_a_base_model_are_those_of_its_untrained_representations(folder):
    """By the library's other way to representations, `represent_pairs`."""
    from normbt_lab.backbones import load_tokenizer, resolve_backbone
    from normbt_lab.model import build_reward_model
    from normbt_lab.represent import represent_pairs

    comparison = compare_files(
        *(str(folder / "normbt"), str(folder / "bt"), str(folder / "pairs.jsonl")),
        base_model="tiny-random",
        bins=1,
        layout="padded",
    )
    assert comparison.to_json()["layouts"] == {"normbt": "padded", "bt": "padded", "tiny-random": "padded"}
    assert comparison.distance_source == "tiny-random"
    backbone = resolve_backbone("tiny-random")
    pairs = [PreferencePair(f"{n} + 1?", f"It is {n + 1}.", f"It is {n}.") for n in range(23)]
    outputs = represent_pairs(build_reward_model(backbone).eval(), load_tokenizer(backbone), pairs)
    distances = (outputs.h_chosen - outputs.h_rejected).norm(dim=-1)
    (only_bin,) = comparison.distance_bins
    assert only_bin.low == pytest.approx(distances.min().item(), rel=1e-4)
    assert only_bin.high == pytest.approx(distances.max().item(), rel=1e-4)


def test_the_command_prints_one_json_object_and_writes_a_page_that_needs_nothing_else(folder, tmp_path, capsys):
    page = tmp_path / "report.html"
    models = ["--model", str(folder / "normbt"), "--baseline", str(folder / "bt")]
    command = ["compare", *models, "--input", str(folder / "pairs.jsonl"), "--output", str(page), "--bins", "3"]
    assert main([*command, "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["pairs"], len(found["distance_bins"])) == (23, 3)
    text = page.read_text(encoding="utf-8")
    assert "normbt minus bt over the same 23 pairs" in text
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    assert main(command) == DONE
    assert "McNemar's exact test" in capsys.readouterr().out


def test_an_empty_input_is_one_line_and_exit_code_1(folder, tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    models = ["--model", str(folder / "normbt"), "--baseline", str(folder / "bt")]
    assert main(["compare", *models, "--input", str(empty)]) == FAILURE
    assert "empty" in capsys.readouterr().err
