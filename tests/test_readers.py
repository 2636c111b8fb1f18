import csv
import gzip
import io
import json
import os
import string
import subprocess
import sys
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normbt_lab.data.readers import UNIFIED_FEEDBACK_STRIDES, read_pairs
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError, UsageError

GOOD = {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}


def written(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_pairs_come_in_order_with_their_origin_and_their_own_fields(tmp_path):
    path = written(tmp_path / "pairs.jsonl", [{**GOOD, "id": 1}, {**GOOD, "id": 2}])
    pairs = list(read_pairs(path))
    assert [pair.row["id"] for pair in pairs] == [1, 2]
    assert [pair.origin for pair in pairs] == [f"{path}:1", f"{path}:2"]


def test_layouts_may_be_mixed_in_one_file(tmp_path):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    rated = {"conv_A": turns, "conv_A_rating": 1, "conv_B": [turns[0], {**turns[1], "content": "no"}]}
    path = written(tmp_path / "pairs.jsonl", [GOOD, {**rated, "conv_B_rating": 3}])
    first, second = read_pairs(path)
    assert first.chosen == "4"
    assert second.chosen[0]["content"] == "no"


def test_one_bad_row_never_stops_the_rest(tmp_path):
    bad = [
        '{"chosen": "a"}',
        "{broken",
        '{"chosen": "", "rejected": "b"}',
        '{"chosen": "a", "rejected": "b", "margin": NaN}',
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([json.dumps(GOOD), *bad, json.dumps(GOOD)]))
    with RejectLog(tmp_path / "rejects.jsonl") as rejects:
        assert [pair.origin for pair in read_pairs(path, rejects=rejects)] == [f"{path}:1", f"{path}:6"]
    assert rejects.counts == {
        "missing field": 1,
        "not JSON": 1,
        "empty response": 1,
        "margin is not a finite number": 1,
    }
    records = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [record["origin"] for record in records] == [f"{path}:{line}" for line in (2, 3, 4, 5)]
    assert records[0]["row"] == {"chosen": "a"}


def test_a_file_without_a_good_row_is_an_error_with_the_columns_found(tmp_path):
    path = written(tmp_path / "pairs.jsonl", [{"question": "a", "answer": "b"}] * 3)
    with pytest.raises(NormBTError) as error:
        list(read_pairs(path))
    message = str(error.value)
    assert "no good row among 3" in message
    assert f"{path}:1: missing field" in message
    assert "Expected 'chosen' and 'rejected'" in message and "found question, answer" in message
    assert "Rename the column of the better response" in message
    assert "give the format" not in message  # no command has such an option
    assert "\n" not in message


@pytest.mark.parametrize(
    "name, content", [("pairs.jsonl", ""), ("pairs.csv", "chosen,rejected\n"), ("pairs.json", "[]")]
)
def test_an_empty_file_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(NormBTError, match="holds no rows"):
        list(read_pairs(tmp_path / name))


def test_what_is_wrong_with_the_source_is_said_before_the_first_pair_is_asked_for(tmp_path):
    with pytest.raises(NormBTError, match="no such file"):
        read_pairs(tmp_path / "missing.jsonl")
    with pytest.raises(UsageError, match="unknown format"):
        read_pairs(tmp_path / "missing.jsonl", format="dpo")
    with pytest.raises(UsageError, match="stride is 0"):
        read_pairs(tmp_path / "missing.jsonl", stride=0)


def test_the_reject_file_never_overwrites_the_input(tmp_path):
    path = written(tmp_path / "pairs.jsonl", [GOOD])
    with pytest.raises(UsageError, match="would overwrite the input"):
        read_pairs(path, rejects=RejectLog(path))


def unified(rating_a, rating_b, text="hi"):
    def turns(answer):
        return [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]

    return {
        "conv_A": turns("a"),
        "conv_B": turns("b"),
        "conv_A_rating": rating_a,
        "conv_B_rating": rating_b,
        "text": text,
    }


def test_the_unified_feedback_subset_strides_over_pairs_with_unequal_ratings(tmp_path):
    records = [unified(n % 3, 1, text=str(n)) for n in range(90)]
    path = written(tmp_path / "unified.jsonl", records)
    rejects = RejectLog()
    got = [pair.row["text"] for pair in read_pairs(path, stride=UNIFIED_FEEDBACK_STRIDES["80K"], rejects=rejects)]
    # the obvious way: filter, then every tenth (decisions, point 32)
    unequal = [record["text"] for record in records if record["conv_A_rating"] != record["conv_B_rating"]]
    assert got == unequal[::10]
    assert rejects.counts == {"equal ratings": 30}


def test_a_bad_row_does_not_shift_the_subset(tmp_path):
    records = [unified(1, 2, text=str(n)) for n in range(6)]
    whole = [pair.row["text"] for pair in read_pairs(written(tmp_path / "whole.jsonl", records), stride=2)]
    del records[1]["conv_B"]
    assert [pair.row["text"] for pair in read_pairs(written(tmp_path / "bad.jsonl", records), stride=2)] == whole


def test_bundled_pairs_are_read_by_name():
    from normbt_lab.data.bundled import load_bundled_pairs

    expected = load_bundled_pairs("test")
    assert list(islice(read_pairs("bundled:test"), 5)) == expected[:5]
    assert list(islice(read_pairs("bundled", split="test", stride=3), 2)) == expected[:6:3]
    assert next(read_pairs("bundled")) == load_bundled_pairs("train")[0]
    with pytest.raises(UsageError, match="two different splits"):
        read_pairs("bundled:test", split="train")
    with pytest.raises(NormBTError):
        list(read_pairs("bundled:nowhere"))


def test_pairs_come_from_standard_input_as_they_arrive():
    # The writer waits for the first pair before it sends the second: a reader that gathers input would hang.
    script = (
        "from normbt_lab.data.readers import read_pairs\nfor pair in read_pairs('-'): print(pair.origin, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            for line in (1, 2):
                process.stdin.write(json.dumps(GOOD).encode() + b"\n")
                process.stdin.flush()
                assert process.stdout.readline() == f"stdin:{line}\n".encode()
            process.stdin.close()
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


def test_a_hub_id_without_a_network_is_an_error_in_one_line():
    script = "from normbt_lab.data.readers import read_pairs\nread_pairs('owner/name')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert (
        run.stderr.strip().splitlines()[-1].startswith("normbt_lab.errors.NormBTError: owner/name: no such file here")
    )


def test_reading_text_files_imports_no_torch(tmp_path):
    path = written(tmp_path / "pairs.jsonl", [GOOD])
    script = f"import sys; from normbt_lab.data.readers import read_pairs; list(read_pairs({str(path)!r})); " + (
        "assert not {'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# Properties: whatever is in a file, every row comes out as a pair or is counted with a reason, and order is kept ------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner),
    max_leaves=5,
)
message = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(max_size=4)})
text = st.text(max_size=6) | st.lists(message, max_size=3) | st.just("\n\nHuman: a\n\nAssistant: b") | anything
columns = ["prompt", "chosen", "rejected", "margin", "conv_A", "conv_B", "conv_A_rating", "conv_B_rating", "subset"]
likely = st.fixed_dictionaries({"chosen": text, "rejected": text}, optional={"prompt": text, "margin": anything})
record = likely | st.dictionaries(st.sampled_from(columns), text | anything, max_size=6) | anything
quick = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,  # the same examples on every run; raise max_examples to look further
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read_all(path):
    """Line numbers of the pairs and of the rejected rows, in the order in which they came."""
    reject_path = path.with_suffix(".rejects")
    reject_path.unlink(missing_ok=True)
    pairs = []
    with RejectLog(reject_path) as rejects:
        try:
            for pair in read_pairs(path, rejects=rejects):
                pairs.append(pair)
        except NormBTError as error:
            assert not pairs and "\n" not in str(error)
    # split at "\n" alone: str.splitlines also splits at U+0085 and others, which JSON may hold
    rejected = reject_path.read_text(encoding="utf-8").split("\n")[:-1] if reject_path.exists() else []
    origins = [pair.origin for pair in pairs], [json.loads(line)["origin"] for line in rejected]
    assert len(rejected) == rejects.total
    return [[int(origin.rpartition(":")[2]) for origin in group] for group in origins]


def assert_each_once_in_order(path, lines):
    kept, rejected = read_all(path)
    assert kept == sorted(kept) and rejected == sorted(rejected)
    assert sorted(kept + rejected) == lines


@quick
@given(records=st.lists(record, max_size=6))
def test_every_json_line_is_a_pair_or_counted(tmp_path, records):
    path = written(tmp_path / "pairs.jsonl", records)
    assert_each_once_in_order(path, list(range(1, len(records) + 1)))


@quick
@given(lines=st.lists(st.binary(max_size=30).filter(lambda line: line.strip() and b"\n" not in line), max_size=5))
def test_every_line_of_any_bytes_is_counted(tmp_path, lines):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b'{"chosen": "a", "rejected": "b"}' + b" " * 5000 + b"\n" + b"\n".join(lines))
    assert_each_once_in_order(path, list(range(1, len(lines) + 2)))


@quick
@given(records=st.lists(record, max_size=6))
def test_every_element_of_a_json_array_is_a_pair_or_counted(tmp_path, records):
    path = tmp_path / "pairs.json"
    path.write_text("[" + ",\n".join(map(json.dumps, records)) + "]", encoding="utf-8")
    assert_each_once_in_order(path, list(range(1, len(records) + 1)))


cell = st.text(string.ascii_letters + ' ,"\n[{}]', max_size=8) | st.sampled_from(
    ["", "1.5", "nan", '[{"role": "user"}]']
)


@quick
@given(table=st.lists(st.lists(cell, min_size=2, max_size=4), min_size=1, max_size=6))
def test_every_csv_record_is_a_pair_or_counted(tmp_path, table):
    written_table = io.StringIO()
    csv.writer(written_table).writerows([["chosen", "rejected", "margin"], *table])
    path = tmp_path / "pairs.csv"
    path.write_text(written_table.getvalue(), encoding="utf-8", newline="")
    kept, rejected = read_all(path)
    assert kept == sorted(kept) and rejected == sorted(rejected)
    assert len(kept) + len(rejected) == len(table)


@quick
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz"]))
def test_any_bytes_under_any_name_end_in_pairs_or_in_one_readable_line(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    try:
        list(read_pairs(path))
    except NormBTError as error:
        assert "\n" not in str(error)
