import csv
import gzip
import io
import json
import sys
import tracemalloc

import pyarrow as pa
import pytest
from pyarrow import parquet

from normbt_lab.data.rejects import BadRow, Reason
from normbt_lab.data.rows import open_rows
from normbt_lab.errors import NormBTError, UsageError

RECORDS = [{"chosen": "yes ☺", "rejected": "no", "margin": 1.5}, {"chosen": "a\nb", "rejected": "c", "margin": None}]


def rows(path, **arguments):
    return list(open_rows(str(path), **arguments))


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def lines(records):
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def gzipped(content):
    """Without the time in gzip's header: it would enter the test's name, which every pytest worker must agree on."""
    return gzip.compress(content, mtime=0)


# Every kind of source gives the same records -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, content",
    [
        ("pairs.jsonl", lines(RECORDS)),
        ("no-newline-at-the-end.jsonl", lines(RECORDS).rstrip("\n")),
        ("windows.jsonl", lines(RECORDS).replace("\n", "\r\n")),
        ("mark.jsonl", b"\xef\xbb\xbf" + lines(RECORDS).encode()),
        ("pairs.jsonl.gz", gzipped(lines(RECORDS).encode())),
        ("gzip-without-the-name.jsonl", gzipped(lines(RECORDS).encode())),
        ("PAIRS.JSONL", lines(RECORDS)),
        ("lines.json", lines(RECORDS)),  # what datasets' to_json writes
    ],
)
def test_json_lines_are_numbered_from_one(tmp_path, name, content):
    assert rows(written(tmp_path / name, content)) == [(1, RECORDS[0]), (2, RECORDS[1])]


@pytest.mark.parametrize(
    "content", [json.dumps(RECORDS), json.dumps(RECORDS, indent=2), "﻿ [\n" + json.dumps(RECORDS)[1:] + "\n"]
)
def test_a_json_array_gives_its_elements(tmp_path, content):
    assert [row for _, row in rows(written(tmp_path / "pairs.json", content))] == RECORDS


def test_elements_of_a_json_array_have_the_line_they_start_in(tmp_path):
    path = written(tmp_path / "pairs.json", '[\n  {"a": 1},\n\n  {"a":\n 2}, {"a": 3}\n]')
    assert rows(path) == [(2, {"a": 1}), (4, {"a": 2}), (5, {"a": 3})]


def test_csv_cells_may_hold_commas_quotes_and_line_breaks(tmp_path):
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([["chosen", "rejected", "margin"], ['say "yes", ☺', "two\nlines", "1.5"], ["a", "b", ""]])
    got = rows(written(tmp_path / "pairs.csv", table.getvalue()))
    assert got == [
        (2, {"chosen": 'say "yes", ☺', "rejected": "two\nlines", "margin": "1.5"}),
        (4, {"chosen": "a", "rejected": "b", "margin": ""}),  # line 4: the record before it takes two lines
    ]


def test_message_lists_in_csv_are_read_from_json(tmp_path):
    messages = [{"role": "user", "content": "hi"}]
    table = io.StringIO()
    csv.writer(table).writerows([["chosen"], [json.dumps(messages)], ["[1, 2]"], [repr(messages)]])
    first, second, third = (row for _, row in rows(written(tmp_path / "pairs.csv", table.getvalue())))
    assert first == {"chosen": messages}
    assert second == {"chosen": "[1, 2]"}  # an answer that happens to be a list
    assert third.reason is Reason.NOT_JSON and "pandas" in third.detail


def test_a_csv_cell_may_be_larger_than_the_csv_modules_limit(tmp_path):
    path = written(tmp_path / "pairs.csv", "chosen,rejected\n" + "a" * 300_000 + ",b\n")
    assert len(rows(path)[0][1]["chosen"]) == 300_000


def test_parquet_rows_are_numbered_across_row_groups(tmp_path):
    messages = [{"role": "user", "content": "hi"}]
    table = pa.table({"chosen": [messages] * 5, "n": list(range(5))})
    parquet.write_table(table, tmp_path / "pairs.parquet", row_group_size=2)
    assert rows(tmp_path / "pairs.parquet") == [(n + 1, {"chosen": messages, "n": n}) for n in range(5)]


def test_json_lines_come_from_standard_input(monkeypatch):
    text = lines(RECORDS).encode()
    for stream in (text, gzipped(text)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stream))))
        assert [row for _, row in rows("-")] == RECORDS


def test_a_datasets_folder_gives_its_split(tmp_path):
    from datasets import Dataset, DatasetDict

    one = Dataset.from_list(RECORDS)
    one.save_to_disk(tmp_path / "one")
    DatasetDict(test=one.select([1]), train=one).save_to_disk(tmp_path / "several")
    assert rows(tmp_path / "one") == [(1, RECORDS[0]), (2, RECORDS[1])]
    assert rows(tmp_path / "several") == [(1, RECORDS[0]), (2, RECORDS[1])]  # train, although test comes first
    assert rows(tmp_path / "several", split="test") == [(1, RECORDS[1])]
    with pytest.raises(UsageError, match="no split 'dev': it has test, train"):
        rows(tmp_path / "several", split="dev")
    with pytest.raises(UsageError, match="without splits"):
        rows(tmp_path / "one", split="train")


def test_a_hub_id_is_streamed_with_its_configuration_and_split(monkeypatch):
    import datasets

    asked = []

    def load_dataset(path, name, *, split, streaming):  # stands for the network, which tests do not have
        asked.append((path, name, split, streaming))
        return datasets.Dataset.from_list(RECORDS).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert [row for _, row in rows("llm-blender/Unified-Feedback:all")] == RECORDS
    assert [row for _, row in rows("owner/name", split="test")] == RECORDS
    assert [row for _, row in rows("owner/name:all:dev")] == RECORDS
    assert [row for _, row in rows("owner/name::train_prefs")] == RECORDS
    assert asked == [
        ("llm-blender/Unified-Feedback", "all", "train", True),
        ("owner/name", None, "test", True),
        ("owner/name", "all", "dev", True),
        ("owner/name", None, "train_prefs", True),
    ]
    with pytest.raises(UsageError, match="two different splits"):
        rows("owner/name::dev", split="test")


def test_memory_does_not_grow_with_a_jsonl_file(tmp_path):
    def peak(count):
        path = written(tmp_path / f"{count}.jsonl", lines([{"chosen": "a" * 1000, "rejected": "b"}]) * count)
        tracemalloc.start()
        assert sum(1 for _ in open_rows(str(path))) == count
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    peak(10)
    assert peak(4000) < 1.5 * peak(400) < 1_000_000  # the large file has 4 MB


# One bad row never stops the rest ------------------------------------------------------------------------------------


def test_a_bad_line_is_named_and_the_lines_after_it_are_read(tmp_path):
    content = b'{"a": 1}\n{broken\n\n{"a": "\xff"}\n{"a": "\\ud800"}\n' + b"[" * 100_000 + b'\n{"a": 2}\n'
    got = rows(written(tmp_path / "pairs.jsonl", content))
    assert [number for number, _ in got] == [1, 2, 4, 5, 6, 7]  # line 3 is blank
    reasons = [row.reason if isinstance(row, BadRow) else row for _, row in got]
    not_json, not_utf8 = Reason.NOT_JSON, Reason.NOT_UTF8
    assert reasons == [{"a": 1}, not_json, not_utf8, not_utf8, not_json, {"a": 2}]
    assert got[1][1].row == "{broken"
    assert "byte 8" in got[2][1].detail


def test_one_stray_control_character_does_not_make_a_file_binary(tmp_path):
    good = lines(RECORDS).encode()
    got = rows(written(tmp_path / "pairs.jsonl", b'{"chosen": "a\0"}\n' + good))
    assert got[0][1].reason is Reason.NOT_JSON
    assert [row for _, row in got[1:]] == RECORDS


def test_an_escaped_emoji_is_no_lone_surrogate(tmp_path):
    assert rows(written(tmp_path / "pairs.jsonl", '{"a": "\\ud83d\\ude00"}')) == [(1, {"a": "😀"})]


def test_a_bad_element_of_a_json_array_does_not_stop_the_rest(tmp_path):
    got = rows(written(tmp_path / "pairs.json", b'[{"a": "\xff"}, 3, {"a": 2}]'))
    assert got[0][1].reason is Reason.NOT_UTF8
    assert [row for _, row in got[1:]] == [3, {"a": 2}]


def test_a_bad_csv_record_does_not_stop_the_rest(tmp_path):
    content = b'chosen,rejected\na,b,c\nd\n"e"e,f\n\xff,g\nh,i\n'
    got = rows(written(tmp_path / "pairs.csv", content))
    assert [(number, row.reason) for number, row in got[:-1]] == [
        (2, Reason.NOT_CSV),
        (3, Reason.NOT_CSV),
        (4, Reason.NOT_CSV),
        (5, Reason.NOT_UTF8),
    ]
    assert got[-1] == (6, {"chosen": "h", "rejected": "i"})


def test_a_quote_that_is_never_closed_is_named_where_it_opens(tmp_path):
    got = rows(written(tmp_path / "pairs.csv", 'chosen,rejected\na,b\n"c,d\ne,f\n'))
    assert got[0] == (2, {"chosen": "a", "rejected": "b"})
    assert (got[1][0], got[1][1].reason) == (3, Reason.NOT_CSV)
    assert "line 4" in got[1][1].detail


def test_a_parquet_text_that_is_not_utf8_does_not_stop_the_rest(tmp_path):
    offsets, data = pa.py_buffer((0).to_bytes(4, "little") + b"\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc")
    text = pa.StringArray.from_buffers(3, offsets, data)
    parquet.write_table(pa.table({"chosen": text}), tmp_path / "pairs.parquet")
    first, second, third = rows(tmp_path / "pairs.parquet")
    assert (first, third) == ((1, {"chosen": "a"}), (3, {"chosen": "c"}))
    assert second[1].reason is Reason.NOT_UTF8


# What is wrong with a source as a whole is said at once --------------------------------------------------------------


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("pairs.txt", "text", "unknown kind of file '.txt', expected .jsonl, .json, .csv"),
        ("pairs", "text", "unknown kind of file ''"),
        ("pairs.jsonl", b"PAR1....", "holds Parquet, not text"),
        ("pairs.csv", b"PK\x03\x04....", "holds a zip archive"),
        ("pairs.csv", "chosen,rejected".encode("utf-16"), "is UTF-16, expected UTF-8"),
        ("pairs.jsonl", bytes(range(256)) * 9, "is binary"),
        ("pairs.csv", "chosen,rejected".encode("utf-16-le"), "is binary"),
        ("pairs.jsonl.gz", gzipped(bytes(1000)), "is binary"),
        ("pairs.parquet", b"PAR1 and then something else", "no readable Parquet file"),
        ("pairs.parquet", b"", "no readable Parquet file"),
        ("pairs.jsonl.gz", b"\x1f\x8b\x08 and no more", "can't be read"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_an_error(tmp_path, name, content, message):
    path = written(tmp_path / name, content)
    with pytest.raises(NormBTError, match=message) as error:
        open_rows(str(path))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_an_error_that_names_its_neighbour(tmp_path):
    written(tmp_path / "pairs.jsonl", "")
    with pytest.raises(NormBTError, match=r"pair.jsonl: no such file. Did you mean pairs.jsonl\?"):
        open_rows(str(tmp_path / "pair.jsonl"))
    with pytest.raises(NormBTError, match="no such file. Check the path"):
        open_rows(str(tmp_path / "elsewhere" / "pairs.jsonl"))


def test_a_folder_that_datasets_did_not_write_is_an_error(tmp_path):
    with pytest.raises(NormBTError, match="not one that datasets.save_to_disk wrote"):
        open_rows(str(tmp_path))


def test_a_damaged_datasets_folder_is_an_error(tmp_path):
    written(tmp_path / "state.json", "{broken")
    written(tmp_path / "dataset_info.json", "{broken")
    with pytest.raises(NormBTError, match="can't be opened by datasets.load_from_disk"):
        open_rows(str(tmp_path))


def test_a_file_has_no_splits(tmp_path):
    with pytest.raises(UsageError, match="has no splits"):
        open_rows(str(written(tmp_path / "pairs.jsonl", lines(RECORDS))), split="train")


def test_a_file_that_ends_in_the_middle_is_an_error_after_what_could_be_read(tmp_path):
    whole = gzipped("".join(f'{{"a": "{n * 7919 % 100_003}"}}\n' for n in range(20_000)).encode())
    got, path = [], written(tmp_path / "cut.jsonl.gz", whole[: len(whole) // 2])
    with pytest.raises(NormBTError, match=r"breaks off after line \d+ .*downloaded in full"):
        for number, _ in open_rows(str(path)):
            got.append(number)
    assert got == list(range(1, len(got) + 1)) and len(got) > 1000


@pytest.mark.parametrize(
    "content",
    ['[{"a": 1}, {"a"', '[{"a": 1} {"a": 2}]', '[{"a": 1},', '[{"a": 1}', '[{"a": 1},]', '[{"a": 1}][{"a": 2}]'],
)
def test_a_broken_json_array_gives_what_stands_before_the_break(tmp_path, content):
    reading = open_rows(str(written(tmp_path / "pairs.json", content)))
    assert next(reading) == (1, {"a": 1})
    with pytest.raises(NormBTError, match=r"pairs.json:1: the JSON array is broken here"):
        list(reading)


def test_an_unreachable_hub_data_set_is_an_error_in_one_line(monkeypatch):
    import datasets

    def load_dataset(*_, **__):
        raise ConnectionError("Couldn't reach the hub\nafter 5 tries")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(NormBTError, match="owner/name: no such file here, and as a Hugging Face data set") as error:
        open_rows("owner/name")
    assert "Couldn't reach the hub" in str(error.value) and "\n" not in str(error.value)
