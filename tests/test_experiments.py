"""Suites on a random model: what is done is skipped, what was killed goes on, and the report holds every row."""

import json
import statistics
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from normbt_lab.cli import main
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.experiments import list_suites, load_suite, run_suite, write_reports
from normbt_lab.experiments.disturb import disturb
from normbt_lab.experiments.printed import printed_row
from normbt_lab.experiments.results import SeedMean, collect, paired_gain
from normbt_lab.experiments.runner import Ledger, choose_rate, matched_rate
from normbt_lab.experiments.settings import TrialSettings, trial_settings
from normbt_lab.experiments.split_scores import SplitScores
from normbt_lab.experiments.suite import SCALES
from normbt_lab.experiments.suite_report import write_suite_report
from normbt_lab.experiments.summary import suite_summary, summary_text
from normbt_lab.experiments.trial import RESULT_FILE, TrialResult, run_trial
from normbt_lab.experiments.trial_data import HELD_OUT, VALIDATION, load_trial_data
from normbt_lab.trainer import NormBTTrainer

SMALL = TrialSettings(
    model="tiny-random",
    train_pairs=12,
    held_out_pairs=4,
    validation_pairs=4,
    test_pairs=6,
    batch_size=4,
    micro_batch_size=4,
    weighting="normbt",
)

SUITE = """
title: A small suite
question: Does everything run?
printed: {table: "2"}
figures: [categories, dynamics]
rows:
  - {name: BT, settings: {weighting: uniform}}
  - {name: NormBT, settings: {weighting: normbt}}
  - {name: BT (LayerNorm), settings: {weighting: uniform, head_layer_norm: true}}
  - {name: BT matched, settings: {weighting: uniform}, rate_matched_to: NormBT}
scales:
  smoke:
    learning_rates: [1e-3, 1e-2]
    settings: {train_pairs: 12, held_out_pairs: 4, validation_pairs: 4, test_pairs: 6,
      batch_size: 4, micro_batch_size: 4}
"""


@pytest.fixture(scope="module")
def suite_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "small.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def finished(suite_file, tmp_path_factory):
    """The small suite, run once: suite, ledger, folder."""
    folder = tmp_path_factory.mktemp("experiments")
    suite = load_suite(suite_file)
    return suite, run_suite(suite, folder, str(suite_file)), folder


def scores(*differences):
    return SplitScores([*differences], [1.0] * len(differences), [None] * len(differences))


def result_with(settings=SMALL, failure=None, history=(), **splits):
    return TrialResult(settings, "", splits, [*history], {}, 0, {}, failure)


# runs


def test_a_finished_run_is_not_run_again_and_a_changed_setting_is(tmp_path, monkeypatch):
    trained = Counter()
    original = NormBTTrainer.train
    monkeypatch.setattr(NormBTTrainer, "train", lambda self, **k: (trained.update(["run"]), original(self, **k))[1])
    data = load_trial_data(SMALL)
    first = run_trial(SMALL, data, tmp_path)
    assert run_trial(SMALL, data, tmp_path) == first
    assert trained["run"] == 1
    changed = replace(SMALL, norm_alpha=0.5)
    assert run_trial(changed, data, tmp_path).settings.norm_alpha == 0.5
    assert trained["run"] == 2


def test_other_pairs_under_the_same_settings_are_another_run():
    data = load_trial_data(SMALL)
    other = load_trial_data(replace(SMALL, label_noise=0.5))
    assert data.digest != other.digest
    assert SMALL.fingerprint(data.digest) != SMALL.fingerprint(other.digest)


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_where_an_unbroken_one_does(tmp_path, monkeypatch):
    settings = replace(SMALL, save_steps=1)
    data = load_trial_data(settings)
    unbroken = run_trial(settings, data, tmp_path / "unbroken")
    original, steps = NormBTTrainer.training_step, []

    def stops_in_the_third_step(self, *arguments, **named):
        steps.append(self.state.global_step)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return original(self, *arguments, **named)

    monkeypatch.setattr(NormBTTrainer, "training_step", stops_in_the_third_step)
    with pytest.raises(KeyboardInterrupt):
        run_trial(settings, data, tmp_path / "killed")
    assert not (tmp_path / "killed" / RESULT_FILE).exists()
    resumed = run_trial(settings, data, tmp_path / "killed")
    assert steps == [0, 1, 2, 2]  # only the interrupted step was done again
    assert resumed.splits == unbroken.splits
    assert [record.get("running_mean") for record in resumed.history] == [
        record.get("running_mean") for record in unbroken.history
    ]
    assert not list((tmp_path / "killed").glob("checkpoint-*"))


def test_a_result_cut_short_while_written_counts_as_not_run(tmp_path):
    (tmp_path / RESULT_FILE).write_text('{"settings": {')
    assert TrialResult.read(tmp_path) is None


def test_a_run_that_leaves_the_numbers_is_a_result_without_any(tmp_path):
    overflowing = replace(SMALL, learning_rate=1e30, max_grad_norm=0.0)
    result = run_trial(overflowing, load_trial_data(overflowing), tmp_path)
    assert "too high a learning rate" in result.failure
    assert TrialResult.read(tmp_path).splits == {}


def test_a_full_disk_is_no_result(tmp_path, monkeypatch):
    def fails(self, **named):
        raise NormBTError("cannot write the checkpoint")

    monkeypatch.setattr(NormBTTrainer, "train", fails)
    with pytest.raises(NormBTError, match="cannot write the checkpoint"):
        run_trial(SMALL, load_trial_data(SMALL), tmp_path)
    assert TrialResult.read(tmp_path) is None


def test_margins_scaled_to_mean_one_train_other_heads_than_plain_ones(tmp_path):
    plain = replace(SMALL, objective="margin")
    data = load_trial_data(plain)
    scaled = replace(plain, margin_scale="mean1")
    runs = [run_trial(settings, data, tmp_path / settings.fingerprint("")) for settings in (plain, scaled)]
    assert runs[0].splits["test"].reward_difference != runs[1].splits["test"].reward_difference


def test_a_setting_that_nobody_reads_is_refused():
    with pytest.raises(UsageError, match="did you mean weighting"):
        trial_settings({"weightin": "normbt"})
    with pytest.raises(UsageError, match="a tenth write 0.1"):
        trial_settings({"label_noise": 10.0})


# data


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 4), (0.25, 10), (1.0, 40)])
def test_a_noise_fraction_exchanges_exactly_that_share(share, expected):
    pairs = load_bundled_pairs("train", limit=40)
    noisy = disturb(pairs, label_noise=share)
    flipped = [(a.chosen, a.rejected) == (b.rejected, b.chosen) for a, b in zip(pairs, noisy, strict=True)]
    assert sum(flipped) == expected
    assert sum(a == b for a, b in zip(pairs, noisy, strict=True)) == 40 - expected


def test_a_larger_noise_fraction_exchanges_the_same_pairs_and_more():
    pairs = load_bundled_pairs("train", limit=40)
    few, many = ({i for i, pair in enumerate(disturb(pairs, share)) if pair != pairs[i]} for share in (0.1, 0.3))
    assert few < many


def test_near_duplicates_differ_in_a_blank_and_are_exactly_that_share():
    pairs = load_bundled_pairs("train", limit=40)
    copies = [pair for pair in disturb(pairs, near_duplicates=0.25) if pair.chosen.split() == pair.rejected.split()]
    assert len(copies) == 10
    assert all(pair.chosen != pair.rejected and pair.margin == 0.01 for pair in copies)
    wider = sum(len(pair.chosen) > len(pair.rejected) for pair in copies)
    assert 0 < wider < 10  # the wide blank is no label of its own


def test_both_shares_together_fall_on_different_pairs():
    pairs = load_bundled_pairs("train", limit=40)
    both = disturb(pairs, label_noise=0.5, near_duplicates=0.5)
    assert sum(pair.margin == 0.01 for pair in both) == 20
    assert all(a != b for a, b in zip(pairs, both, strict=True))


def test_a_conversation_gets_its_blank_in_the_last_turn():
    turns = [{"role": "assistant", "content": "yes indeed"}]
    pair = disturb([PreferencePair("?", turns, turns)], near_duplicates=1.0)[0]
    assert sorted([pair.chosen[0]["content"], pair.rejected[0]["content"]]) == ["yes  indeed", "yes indeed"]


def test_held_out_pairs_share_no_problem_with_training_pairs_and_noise_spares_them():
    data = load_trial_data(replace(SMALL, train_pairs=200, held_out_pairs=50, label_noise=0.5))
    trained = {pair.row["problem"] for pair in data.train}
    assert not trained & {pair.row["problem"] for pair in data.splits[HELD_OUT]}
    clean = load_bundled_pairs("train")
    assert all(pair in clean for pair in data.splits[HELD_OUT])
    assert sum(pair not in clean for pair in data.train) == 100


def test_too_few_pairs_are_named_before_anything_trains():
    with pytest.raises(NormBTError, match="too few pairs"):
        load_trial_data(replace(SMALL, train_pairs=3000))


# choosing and matching rates


def test_the_rate_is_chosen_by_validation_accuracy_then_by_loss():
    results = {
        1e-3: result_with(**{VALIDATION: scores(1.0, -1.0)}),
        1e-2: result_with(**{VALIDATION: scores(2.0, -1.0)}),  # as accurate, lower loss
        1e-1: result_with(**{VALIDATION: scores(-1.0, -1.0), "test": scores(9.0, 9.0)}),  # tests play no part
        1.0: result_with(failure="the loss became nan"),
    }
    assert choose_rate(results) == 1e-2
    with pytest.raises(UsageError, match="no learning rate of the grid"):
        choose_rate({1.0: results[1.0]})


def test_a_matched_rate_is_the_rate_times_the_mean_weight_over_the_steps():
    history = [{"weight_mean": 1.5}, {"weight_mean": 2.5}, {"train_runtime": 1.0}]
    result = result_with(replace(SMALL, learning_rate=0.003), history=history)
    assert matched_rate(result) == pytest.approx(0.006)


def test_the_matched_row_trained_at_the_rate_of_the_run_it_matches_seed_by_seed(finished):
    _, ledger, folder = finished
    matched, model = ledger.line("all runs", "BT matched"), ledger.line("all runs", "NormBT")
    for seed, path in matched.seeds.items():
        logged = TrialResult.read(folder / model.seeds[seed])
        weights = [record["weight_mean"] for record in logged.history if "weight_mean" in record]
        expected = logged.settings.learning_rate * statistics.mean(weights)
        run = TrialResult.read(folder / path)
        assert run.settings.learning_rate == pytest.approx(expected)
        assert (run.settings.weighting, run.settings.seed) == ("uniform", int(seed))


# suites


def test_every_suite_is_valid_at_every_scale():
    assert list(list_suites()) == ["controls", "dynamics", "noise", "seeds", "table1", "table2"]
    for name in list_suites():
        for scale in SCALES:
            assert load_suite(name, scale).rows
        assert len(load_suite(name, "cpu").seeds) >= 3


def test_table_2_has_every_row_that_the_paper_prints_and_one_of_ours():
    suite = load_suite("table2")
    printed = [row.name for row in suite.rows if printed_row(suite.conditions[0], row.name)]
    assert len(printed) == 15
    assert [row.name for row in suite.rows if row.name not in printed] == ["NormBT + centring"]
    assert str(printed_row(suite.conditions[0], "NormBT").accuracies["reasoning"]) == "80.71"


def test_no_row_of_a_suite_is_clipped_but_those_that_say_so():
    """Our default of 1.0 would clip harder than the rows clip 3.0 and clip 5.0 do."""
    suite = load_suite("table2", "cpu")
    clipped = {
        row.name: suite.trial(suite.conditions[0], row, 1e-3, 0).max_grad_norm for row in suite.rows
    }  # fmt: skip
    assert {name: bound for name, bound in clipped.items() if bound} == {"BT (clip 3.0)": 3.0, "BT (clip 5.0)": 5.0}


def test_table_1_measures_margins_only_where_the_data_has_ratings():
    suite = load_suite("table1", "gpu")
    assert [len(condition.rows) for condition in suite.conditions] == [5, 2, 5, 2]
    assert [suite.trial(c, suite.rows[0], 1e-3, 0).train_data.split("/")[0] for c in suite.conditions] == [
        "llm-blender", "Skywork", "llm-blender", "Skywork",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: x\nquestion: y\nrows: [{name: BT, settings: {weightin: uniform}}]", "did you mean weighting"),
        ("title: x\nquestion: y\nrows: [{name: BT}]\nreference: NormBT", "no row is called 'NormBT'"),
        ("title: x\nquestion: y\nrows: [{name: A, rate_matched_to: B}]", "no row is called 'B'"),
        ("title: x\nquestion: y\nrows: [{name: A}, {name: A}]", "two rows have one name"),
        ("title: x\nquestion: y\nrows: [{name: A, settings: {seed: 1}}]", "give learning_rates and seeds"),
        ("title: x", "lacks question, rows"),
        ("just text", "not a suite"),
    ],
)
def test_a_wrong_suite_is_refused_before_its_first_run(tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_suite(path)


def test_a_row_that_needs_margins_is_refused_with_its_reason_where_there_are_none(tmp_path):
    pairs = [{"prompt": f"{i}?", "chosen": f"{i}", "rejected": f"{i + 1}"} for i in range(40)]
    source = tmp_path / "pairs.jsonl"
    source.write_text("\n".join(map(json.dumps, pairs)))
    content = SUITE.replace("settings: {train_pairs: 12,", f"settings: {{train_data: '{source}', train_pairs: 12,")
    content = content.replace("head_layer_norm: true", "objective: margin").replace("[1e-3, 1e-2]", "[1e-3]")
    (tmp_path / "small.yaml").write_text(content.replace("question:", "question:", 1))
    suite = load_suite(tmp_path / "small.yaml")
    ledger = run_suite(replace(suite, seeds=[0]), tmp_path / "out", str(tmp_path / "small.yaml"))
    assert "margin" in ledger.line("all runs", "BT (LayerNorm)").refused
    text = write_suite_report(ledger, tmp_path / "out").with_suffix(".md").read_text()
    assert "BT (LayerNorm) was not run" in text and "needs a column 'margin'" in text


# the whole way


def test_a_second_run_of_a_suite_trains_nothing(finished, monkeypatch):
    suite, ledger, folder = finished
    monkeypatch.setattr(NormBTTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run_suite(suite, folder, ledger.suite) == ledger


def test_the_report_holds_every_row_in_both_forms(finished):
    suite, _, folder = finished
    (page,) = write_reports(folder)
    for text in (page.read_text(), page.with_suffix(".md").read_text()):
        for row in suite.rows:
            assert text.count(row.name) >= 3  # tests, held out, learning rates
        for heading in ("test", "held out", "printed numbers", "Learning rates", "Settings", "distances under NormBT"):
            assert heading in text
        assert "73.57" in text and "tiny-random" in text


def test_a_line_of_the_table_is_its_runs_in_words(finished):
    suite, ledger, folder = finished
    write_reports(folder)
    runs = [TrialResult.read(folder / path) for path in ledger.line("all runs", "NormBT").seeds.values()]
    accuracies = [100 * np.mean(np.array(run.splits["test"].reward_difference) > 0) for run in runs]
    error = statistics.stdev(accuracies) / len(accuracies) ** 0.5
    expected = f"{statistics.mean(accuracies):.1f} ± {error:.1f}"
    lines = (folder / "small-smoke.md").read_text().splitlines()
    line = next(line for line in lines if line.startswith("| NormBT |"))
    assert line.split(" | ")[1] == expected


def test_the_summary_is_json_with_a_line_of_text_per_row_and_split(finished):
    suite, ledger, folder = finished
    write_reports(folder)
    text = (folder / "small-smoke-summary.json").read_text()
    summary = suite_summary(suite, collect(suite, ledger, folder))
    assert json.loads(text) == json.loads(json.dumps(summary))
    rows = [line for line in text.splitlines() if '"row": ' in line]
    assert [json.loads(line.strip().rstrip(","))["row"] for line in rows] == [line["row"] for line in summary["lines"]]
    assert len(rows) == 8  # four rows, test and held out


def test_an_empty_summary_is_json_too():
    assert json.loads(summary_text({"suite": "x", "lines": []})) == {"suite": "x", "lines": []}


def test_a_suite_that_was_stopped_half_way_still_has_a_report_with_every_row(finished):
    suite, ledger, folder = finished
    half = Ledger(ledger.suite, ledger.scale, ledger.lines[:1])
    results = collect(suite, half, folder)
    assert [result.row for result in results] == [row.name for row in suite.rows]
    assert [result.runs.refused for result in results] == [None, *["not run yet"] * 3]


def test_a_suite_killed_in_its_second_run_reports_the_first_and_goes_on(suite_file, tmp_path, monkeypatch):
    original, started = NormBTTrainer.train, []

    def killed_in_the_second(self, **named):
        started.append(self.args.learning_rate)
        if len(started) == 2:
            raise KeyboardInterrupt
        return original(self, **named)

    monkeypatch.setattr(NormBTTrainer, "train", killed_in_the_second)
    suite = load_suite(suite_file)
    suite = replace(suite, rows=suite.rows[:1], conditions=[replace(suite.conditions[0], rows=["BT"])], seeds=[0])
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, tmp_path, str(suite_file))
    (page,) = write_reports(tmp_path)
    assert "NormBT was not run: not run yet" in page.with_suffix(".md").read_text()
    run_suite(suite, tmp_path, str(suite_file))
    assert started == [1e-3, 1e-2, 1e-2]


def test_a_layer_norm_row_is_measured_although_such_a_model_cannot_be_saved(finished):
    _, ledger, folder = finished
    run = TrialResult.read(folder / ledger.line("all runs", "BT (LayerNorm)").seeds["0"])
    assert len(run.splits["test"].reward_difference) == 6
    # After a LayerNorm over 64 dimensions no two representations are farther apart than 2 sqrt(64), gains near 1 aside.
    assert max(run.splits["test"].representation_distance) < 20


# intervals


def test_the_gain_over_pairs_is_the_difference_of_mean_accuracies_and_its_interval_holds_it(finished):
    suite, ledger, folder = finished
    reference, normbt, *_ = collect(suite, ledger, folder)
    gain = paired_gain(normbt, reference, "test")
    difference = normbt.accuracy("test").mean - reference.accuracy("test").mean
    assert gain.mean == pytest.approx(difference)
    assert gain.low <= gain.mean <= gain.high
    assert paired_gain(reference, reference, "test") == (0.0, 0.0, 0.0)


def test_a_standard_error_is_the_deviation_over_the_root_of_the_number_of_seeds():
    """Values 1, 2, 3, 4 thousandths: variance 5/3, so the error is sqrt(5/3/4)."""
    assert SeedMean.of([0.001, 0.002, 0.003, 0.004]).error == pytest.approx(0.001 * (5 / 12) ** 0.5, rel=1e-6)
    assert SeedMean.of([0.5]) == SeedMean(0.5, None)


def test_the_loss_of_scores_is_plain_bradley_terry():
    assert scores(0.0, 0.0).loss() == pytest.approx(0.6931, abs=1e-4)
    assert scores(0.0, 1.0).accuracy() == 0.5 and scores(0.0, 1.0).tie_rate() == 0.5


# command line


def test_the_command_runs_a_suite_and_reports_it_again(suite_file, finished, capsys):
    _, _, folder = finished
    assert main(["experiment", "run", str(suite_file), "--scale", "smoke", "--output-dir", str(folder)]) == 0
    assert "done before" in capsys.readouterr().out
    (folder / "small-smoke.html").unlink()
    assert main(["experiment", "report", str(folder)]) == 0
    assert (folder / "small-smoke.html").is_file()


def test_the_command_lists_the_suites_and_says_what_was_not_run(capsys):
    assert main(["experiment", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in list_suites()) and "not run by us" in out


def test_wrong_use_of_the_command_is_one_line(tmp_path, capsys):
    assert main(["experiment"]) == 2
    assert main(["experiment", "run", "tabel1"]) == 2
    assert main(["experiment", "report", str(tmp_path)]) == 2
    assert "did you mean table1" in capsys.readouterr().err
