"""Audits: arithmetic by hand on made-up pairs, and the whole command on real ones."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from normbt_lab.audit import audit_pairs, verdict, word_overlap, write_audit_report
from normbt_lab.audit.files import sample_pairs
from normbt_lab.audit.loading import load_for_audit
from normbt_lab.audit.tables import audit_table
from normbt_lab.cli import main
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError
from normbt_lab.gradients.measured_pair import MeasuredPair
from normbt_lab.scoring.scored_pair import ScoredPair


def measured_pair(index, distance, gradient, error=0.5, difference=1.0, category=None, chosen="a b", rejected="c d"):
    scored = ScoredPair(
        index=index, origin=None, category=category, prompt="p", chosen=chosen, rejected=rejected,
        reward_chosen=difference, reward_rejected=0.0, reward_difference=difference, preference_probability=1 - error,
        prediction_error=error, representation_distance=distance, weight=None, tokens_chosen=2, tokens_rejected=2,
        truncated_chosen=False, truncated_rejected=False,
    )  # fmt: skip
    return MeasuredPair(scored, gradient, {"score head": distance}, {"score": distance})


def close_and_far(close=1.0, far=9.0):
    """Ten close pairs, all ranked wrong, and ten far ones, all right, at equal error; gradient = 2 x distance."""
    near = [measured_pair(i, close, 2 * close, difference=-1.0, category="reasoning") for i in range(10)]
    return near + [measured_pair(10 + i, far, 2 * far, category="chat") for i in range(10)]


def test_shares_of_the_update_by_hand():
    """Updates 0.5 x 2 and 0.5 x 18, ten of each: 10 % and 90 %. Weights 5/1 and 5/9 make them equal."""
    audit = audit_pairs(close_and_far())
    assert audit.categories["reasoning"].share_of_update == pytest.approx(0.1)
    assert audit.categories["reasoning"].share_of_update_normbt == pytest.approx(0.5)
    assert [*audit.categories] == ["chat", "reasoning"]
    assert audit.overall.misranked == 0.5
    assert audit.ratio == (2.0, 2.0, 2.0)
    assert audit.head_share == pytest.approx(0.25)
    assert audit.distance_spread == pytest.approx(9.0)


def test_weights_by_hand():
    """Mean distance 5: weights 5 and 5/9, mean 2.78; none above 10."""
    audit = audit_pairs(close_and_far())
    assert audit.weight_max == pytest.approx(5.0)
    assert audit.weight_mean == pytest.approx((5 + 5 / 9) / 2)
    assert audit.bounded_share == 0.0


def test_misranked_close_pairs_that_are_held_back_make_normbt_likely():
    audit = audit_pairs(close_and_far())
    assert audit.misranked_in_closest == 1.0
    assert audit.update_of_misranked_closest == pytest.approx(0.1)
    assert verdict(audit).answer == "likely"
    assert verdict(audit).settings["weighting"] == "normbt"


def test_pairs_at_like_distances_make_it_unlikely():
    judged = verdict(audit_pairs(close_and_far(close=8.0)))
    assert judged.answer == "unlikely"
    assert judged.settings == {"weighting": "uniform"}


def test_close_pairs_that_are_ranked_right_leave_it_open():
    pairs = [replace(pair, scored=replace(pair.scored, reward_difference=1.0)) for pair in close_and_far()]
    assert verdict(audit_pairs(pairs)).answer == "possible"


def test_a_distance_of_zero_is_counted_and_bounded():
    pairs = [*close_and_far(), measured_pair(20, 0.0, 0.0, chosen="x y", rejected="x y")]
    audit = audit_pairs(pairs)
    assert (audit.zero_distance, audit.near_duplicates, audit.closest) == (1, 1, [20])
    assert verdict(audit).settings["max_weight"] == 10.0
    assert "At distance 0" in " ".join(verdict(audit).reasons)


def test_a_distance_that_says_little_of_the_gradient_suggests_exact_weights():
    pairs = [replace(pair, gradient_distance=10.0 + (i % 3)) for i, pair in enumerate(close_and_far())]
    assert verdict(audit_pairs(pairs)).settings["weighting"] == "exact"


def test_an_untrained_head_is_said():
    assert any(
        "untrained" in reason for reason in verdict(audit_pairs(close_and_far(), has_trained_head=False)).reasons
    )


def test_too_few_pairs_are_an_error():
    with pytest.raises(NormBTError, match="at least 20"):
        audit_pairs(close_and_far()[:19])


def test_pairs_that_are_all_the_same_are_an_error_with_its_cause():
    with pytest.raises(NormBTError, match="all 20 pairs are at distance 0"):
        audit_pairs([measured_pair(i, 0.0, 0.0) for i in range(20)])


def test_a_file_that_cannot_be_written_does_not_cost_the_result(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    words = "audit --model tiny-random --input bundled:test --pairs 20 --max-length 64 --output"
    assert main([*words.split(), str(tmp_path / "file" / "pairs.jsonl")]) == 1
    out, err = capsys.readouterr()
    assert "Start with: normbt train" in out and "cannot write" in err


def test_overlap_counts_words_in_order():
    assert word_overlap("a b c d", "a b c d") == 1.0
    assert word_overlap("a b c d", "d c b a") == 0.25
    assert word_overlap("return x + 1", "return x - 1") == 0.75


def test_a_sample_keeps_the_order_and_draws_from_everywhere():
    pairs = [PreferencePair(str(i), "a", "b") for i in range(1000)]
    drawn = [int(pair.prompt) for pair in sample_pairs(iter(pairs), 100, seed=0)]
    assert drawn == sorted(drawn) and len(set(drawn)) == 100
    assert 350 < sum(drawn) / 100 < 650
    assert [pair.prompt for pair in sample_pairs(pairs[:5], 100, seed=0)] == list("01234")


def test_a_fresh_backbone_says_so_and_a_trained_adapter_asks_for_its_own_gradients(backbone, tmp_path):
    assert not load_for_audit("tiny-random").has_trained_head
    command = "train --config cpu-lora --model tiny-random --train-pairs 40 --max-steps 1 --output-dir"
    assert main([*command.split(), str(tmp_path / "run"), "--per-device-train-batch-size", "2"]) == 0
    loaded = load_for_audit(str(tmp_path / "run"))
    assert loaded.has_trained_head
    trained = {name for name, p in loaded.reward_model.model.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name or "modules_to_save" in name for name in trained)


def test_the_folder_of_a_language_model_is_audited_with_a_fresh_head(backbone):
    assert not load_for_audit(backbone.path).has_trained_head


def test_the_command_prints_words_or_json_and_writes_records_and_a_page(tmp_path, capsys):
    words = ["audit", "--model", "tiny-random", "--input", "bundled:test", "--pairs", "24", "--max-length", "128"]
    records, page = tmp_path / "out" / "pairs.jsonl", tmp_path / "out" / "page.html"
    assert main([*words, "--json", "--output", str(records), "--report", str(page)]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = [json.loads(line) for line in records.read_text().splitlines()]
    assert printed["overall"]["pairs"] == len(rows) == 24
    assert {"prompt", "gradient_distance", "score_head_share", "gradient_by_layer", "reward_difference"} <= set(rows[0])
    assert rows[0]["gradient_distance"] >= rows[0]["representation_distance"]
    assert printed["verdict"]["answer"] in ("likely", "possible", "unlikely")
    assert "plotly" in page.read_text() and "How good is the proxy?" in page.read_text()
    assert main(words) == 0
    assert "Start with: normbt train" in capsys.readouterr().out


def test_the_table_and_the_page_are_written_for_pairs_without_categories(tmp_path):
    pairs = [replace(pair, scored=replace(pair.scored, category=None)) for pair in close_and_far()]
    audit = audit_pairs(pairs)
    assert audit.categories == {}
    assert "all pairs" in audit_table(audit)
    assert write_audit_report(tmp_path / "page.html", audit, pairs, "made up").stat().st_size > 1000
