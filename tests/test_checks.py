import json
import logging
import tracemalloc

import pytest
from small_tokenizers import STRICT, byte_level

from normbt_lab.data.checks import prepare_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError, UsageError

TOKENIZER = byte_level()
SPOKEN = {"role": "assistant", "content": "yes"}


def prepare(pairs, max_length=200, tokenizer=TOKENIZER, **arguments):
    return prepare_pairs(pairs, tokenizer, max_length=max_length, progress=False, **arguments)


def test_good_pairs_come_out_in_order_beside_their_tokens():
    pairs = [PreferencePair("hi", str(n), "no", category="chat") for n in range(5)]
    prepared = prepare(pairs)
    assert prepared.pairs == pairs
    decoded = [TOKENIZER.decode(tokenized.chosen_ids) for tokenized in prepared.tokenized]
    assert decoded == [f"<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n{n}<|im_end|>\n" for n in range(5)]
    assert (prepared.report.read, prepared.report.kept, prepared.report.rejected) == (5, 5, {})


def test_every_reason_to_leave_a_pair_out_is_counted_and_written(tmp_path):
    good = PreferencePair("hi", "yes", "no", origin="a:1")
    left_out = [
        PreferencePair("hi", "yes", "yes", origin="a:2"),
        PreferencePair("hi", "", "no", origin="a:3"),
        PreferencePair("hi", "yes", "the quick brown fox " * 100, origin="a:4"),
        PreferencePair("hi", "yes", "no", 0.0, origin="a:5", row={"score_chosen": 3, "score_rejected": 3}),
        PreferencePair(None, [SPOKEN], [SPOKEN, SPOKEN], origin="a:6"),
    ]
    with RejectLog(tmp_path / "rejects.jsonl") as rejects:
        prepared = prepare([good, *left_out], tokenizer=byte_level(STRICT), rejects=rejects)
    assert prepared.pairs == [good]
    assert prepared.report.rejected == rejects.counts
    records = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [(record["origin"], record["reason"]) for record in records] == [
        ("a:2", "identical after tokenising"),
        ("a:3", "empty response"),
        ("a:4", "over-long"),
        ("a:5", "equal ratings"),
        ("a:6", "refused by the tokenizer"),
    ]
    assert records[0]["row"]["chosen"] == "yes"  # a pair made by hand is written as its fields


def test_ten_megabytes_in_one_row_cost_that_row_and_no_more(tmp_path):
    huge = {"prompt": "hi", "chosen": "word " * 2_000_000, "rejected": "no", "id": "huge"}
    small = {"prompt": "hi", "chosen": "yes", "rejected": "no", "id": "small"}
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, [small, huge, small])))
    dropped = prepare(read_pairs(path), max_length=512)
    assert [pair.row["id"] for pair in dropped.pairs] == ["small", "small"]
    assert dropped.report.rejected == {"over-long": 1}
    cut = prepare(read_pairs(path), max_length=512, overlong="truncate_right")
    assert [len(tokenized.chosen_ids) == 512 for tokenized in cut.tokenized] == [False, True, False]
    assert cut.report.truncated == 1


def test_responses_of_one_token_are_kept():
    prepared = prepare([PreferencePair(None, "a", "b"), PreferencePair("hi", "a", "b")])
    assert len(prepared) == 2


def test_texts_that_differ_only_in_what_the_tokenizer_skips_are_identical():
    skipping = byte_level(initial_alphabet=[chr(code) for code in range(33, 127)])
    with pytest.raises(NormBTError, match="identical after tokenising"):
        prepare([PreferencePair(None, "yes☺", "yes☻")], tokenizer=skipping)


def test_pairs_that_are_cut_to_the_same_tokens_are_left_out():
    pairs = [PreferencePair("hi " * 30, "yes", "no"), PreferencePair("hi", "yes", "no")]
    prepared = prepare(pairs, max_length=30, overlong="truncate_right")
    assert prepared.pairs == pairs[1:]
    assert prepared.report.rejected == {"identical after tokenising": 1}
    assert prepare(pairs, max_length=30, overlong="truncate_left").report.truncated == 1  # there the answers survive


def test_a_response_that_ends_in_the_pad_token_is_left_out():
    # the model would read its reward at the token before
    pairs = [PreferencePair(None, "yes", "no"), PreferencePair(None, "the fox", "2 + 2<|pad|>")]
    cut = prepare(pairs, max_length=len(TOKENIZER("2 + 2<|pad|>")["input_ids"]), overlong="truncate_right")
    assert cut.pairs == pairs[:1]
    assert cut.report.rejected == {"ends in the pad token": 1}


def test_a_tokenizer_that_pads_with_its_end_token_is_an_error_that_says_so():
    tokenizer = byte_level()
    tokenizer.pad_token = tokenizer.eos_token
    with pytest.raises(NormBTError, match="ends in the pad token.*Give the tokenizer a pad token of its own"):
        prepare([PreferencePair(None, "yes", "no")], tokenizer=tokenizer)


def test_rows_rejected_while_reading_are_part_of_the_report(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "hi", "chosen": "yes", "rejected": "no"}, {"prompt": "hi"}, {"chosen": "a", "rejected": "a"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    rejects = RejectLog()
    for _ in range(2):  # the same log again, as for training and evaluation data: each report has its own counts
        report = prepare(read_pairs(path, rejects=rejects), rejects=rejects).report
        assert (report.read, report.kept) == (3, 1)
        assert report.rejected == {"missing field": 1, "identical after tokenising": 1}
    assert rejects.total == 4


def test_no_pair_left_is_an_error_that_says_why_and_what_to_do():
    with pytest.raises(NormBTError) as error:
        prepare([PreferencePair("hi", "yes", "no")] * 3, max_length=4)
    assert str(error.value) == (
        "0 of 3 pairs kept; dropped 3: over-long (a side above 4 tokens). "
        "Raise max_length, or set overlong to truncate_left or truncate_right."
    )
    with pytest.raises(NormBTError, match="there was nothing to check"):
        prepare([])


def test_a_limit_counts_the_pairs_that_are_kept_and_reads_no_further():
    read = []

    def stream():
        for n in range(12):
            read.append(n)
            yield PreferencePair("hi", "yes" if n in (0, 1, 4) else f"{n}", "yes")

    report = prepare(stream(), limit=6).report
    assert (report.kept, report.read, report.rejected) == (6, 9, {"identical after tokenising": 3})
    assert read == list(range(9))
    with pytest.raises(UsageError, match="expected 1 or more"):
        prepare([PreferencePair("hi", "yes", "no")], limit=0)


def test_a_wrong_rule_is_said_before_any_pair_is_read():
    with pytest.raises(UsageError, match="unknown overlong"):
        prepare(iter(()), overlong="cut")


def test_the_report_reads_as_a_person_would_say_it():
    pairs = [
        PreferencePair(None, "aa", "b", margin=1.0, category="chat"),
        PreferencePair(None, "a", "bb", margin=-0.5, category="safety"),
        PreferencePair(None, "a", "b", category="chat"),
        PreferencePair(None, "aaa", "b", category="chat"),
        PreferencePair(None, "a", "a"),
    ]
    # one token a letter and one at the end: longer sides 3, 3, 2, 4; chosen is longer, shorter, equal, longer
    assert prepare(pairs).report.lines() == [
        "4 of 5 pairs kept",
        "dropped 1: identical after tokenising",
        "tokens in the longer side: median 3, 90th percentile 4, longest 4",
        "length-only baseline: the longer side is the chosen one in 62.5%",
        "categories: chat 3, safety 1",
        "2 of 4 pairs have a margin: without all, none is used",
        "negative margins: 1 (the ratings contradict the labels)",
    ]


def test_the_data_set_has_trls_columns_and_the_place_of_each_pair():
    dataset = prepare(
        [PreferencePair(None, "yes", "no", margin=0.5), PreferencePair(None, "a", "b", margin=2)]
    ).to_dataset()
    end = TOKENIZER.eos_token_id
    assert dataset[1] == {
        "chosen_ids": [TOKENIZER.convert_tokens_to_ids("a"), end],
        "rejected_ids": [TOKENIZER.convert_tokens_to_ids("b"), end],
        "index": 1,
        "margin": 2.0,
    }
    assert dataset["margin"][:] == [0.5, 2.0]


def test_a_margin_that_only_some_pairs_have_is_left_out_with_a_notice(caplog):
    prepared = prepare([PreferencePair(None, "yes", "no", margin=0.5), PreferencePair(None, "a", "b")])
    with caplog.at_level(logging.WARNING):
        assert "margin" not in prepared.to_dataset().column_names
    assert "1 of 2 pairs have no margin" in caplog.text


def test_pairs_without_margins_have_no_margin_column_and_no_notice(caplog):
    with caplog.at_level(logging.WARNING):
        assert prepare([PreferencePair(None, "a", "b")]).to_dataset().column_names == [
            "chosen_ids",
            "rejected_ids",
            "index",
        ]
    assert not caplog.records


def test_a_token_that_is_kept_costs_the_memory_of_a_pointer():
    pairs = [PreferencePair(None, "the fox " * 500, "the dog " * 500, origin=str(n)) for n in range(50)]
    tracemalloc.start()
    prepared = prepare(pairs, max_length=None)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    tokens = sum(len(t.chosen_ids) + len(t.rejected_ids) for t in prepared.tokenized)
    assert tokens > 50_000
    assert held / tokens < 12  # 8 for the pointer; 36 where every id is an object of its own


def test_the_bar_and_the_notices_leave_standard_output_alone(capsys):
    prepare_pairs([PreferencePair("hi", "yes", "no"), PreferencePair("hi", "", "no")], TOKENIZER, max_length=None)
    assert capsys.readouterr().out == ""
