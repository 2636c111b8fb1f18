"""Anything at all as input: generated rows and files through readers, scorer, evaluators, benchmarks and the app.

What must hold of each: nothing escapes but a NormBTError of one readable line, a good row among bad ones always comes
out, every other row is counted with a reason, and nothing hangs. Every check runs with few examples here, and with
10,000 in all under the mark ``long``.
"""

from __future__ import annotations

import copy
import csv
import gzip
import inspect
import io
import json
import logging
import math
import random
from datetime import timedelta

import pyarrow as pa
import pytest
from benchmark_rows import judgebench_row, rewardbench2_row, rewardbench_row, rm_bench_row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from normbt_lab.app.explore_scores import uploaded_source
from normbt_lab.app.models import Models
from normbt_lab.app.pair_view import view_pair
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import Reason, RejectLog
from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.accuracy import evaluate_pairs
from normbt_lab.evaluation.benchmarks import BENCHMARKS, evaluate_benchmark
from normbt_lab.evaluation.candidates import read_candidates
from normbt_lab.model import RewardModel, build_reward_model, save_reward_model
from normbt_lab.scoring import score_pairs
from normbt_lab.scoring.files import score_file
from normbt_lab.state import NormBTState

LONG_RUN = 10_000
"""Examples of the long run, all checks together."""

CHECKS = {}
"""Name -> check and strategies, for the long run."""


def fuzzed(examples, **strategies):
    """Run a check on generated input: `examples` times here, and its share of `LONG_RUN` under the mark ``long``."""

    def decorate(check):
        CHECKS[check.__name__] = (check, strategies)
        return _settings(examples, derandomize=True)(given(**strategies)(check))

    return decorate


def _settings(examples, **more):
    return settings(
        max_examples=examples,
        deadline=timedelta(seconds=20),  # what hangs is found; what is slow on a busy machine is not taken for that
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=True,
        **more,
    )


@pytest.fixture(autouse=True)
def folder(tmp_path, caplog):
    """A folder for one test; three named rows per reason and example are enough in a log, and too many here."""
    caplog.set_level(logging.ERROR)
    return tmp_path


# What is generated ----------------------------------------------------------------------------------------------------

odd_texts = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "a\x00b",
        "\ud800",
        "\udc80 half",
        "\U0001f642",
        "e\u0301\u202e\ufeff",
        "\r\n",
        "\u2028\x85\x0c\x1e",
        "x" * 10_000,
        "[" * 300,
        '"',
        "\\ud83d",
        "<|im_start|>user",
        "<|im_end|>",
        "{{ 7 * 7 }}",
        "\n\nHuman: a\n\nAssistant: b",
        "\n\nHuman: a",
        "../../etc",
        "nan",
        "1e999",
        "1" * 5000,
    ]
)
texts = odd_texts | st.text(max_size=12)
numbers = (
    st.integers()
    | st.sampled_from([10**400, -(10**25), 2**63, True])
    | st.floats()
    | st.sampled_from([1e308, -1e308, 5e-324])
)
scalars = st.none() | numbers | texts
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "", 3]), "content": scalars},
        optional={"tool_calls": scalars, "name": texts},
    ),
    max_size=3,
)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
values = texts | messages | junk
COLUMNS = (
    *("prompt", "chosen", "rejected", "margin", "category", "subset", "source", "reward_chosen", "weight"),
    *("score_chosen", "score_rejected", "conv_A", "conv_B", "conv_A_rating", "conv_B_rating", ""),
)
rows = (
    st.dictionaries(st.sampled_from(COLUMNS) | texts, values, max_size=6)
    | st.fixed_dictionaries({"prompt": values, "chosen": values, "rejected": values, "margin": scalars})
    | st.fixed_dictionaries(
        {"conv_A": messages, "conv_B": messages, "conv_A_rating": scalars, "conv_B_rating": scalars}
    )
)
records = rows | junk

GOOD = {"prompt": "What is 2 + 2?", "chosen": "It is 4.", "rejected": "It is 5, I think."}
BAD_REASONS = {str(reason) for reason in Reason}


def nested(depth):
    return "[" * depth + "]" * depth


broken_lines = st.one_of(
    st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")),
    records.map(lambda row: json.dumps(row).encode()[:-1]),
    records.map(lambda row: json.dumps(row).encode() + b"\r"),
    st.sampled_from([10, 150, 900, 990, 1500, 30_000]).map(lambda depth: nested(depth).encode()),
    st.sampled_from([101, 900, 985, 990, 5000]).map(
        lambda depth: b'{"chosen": "a", "rejected": "b", "x": ' + nested(depth).encode() + b"}"
    ),
    st.sampled_from(
        [
            b'{"chosen": "a", "chosen": 1, "rejected": "b"}',
            b'{"chosen": "a", "rejected": "b", "margin": ' + b"9" * 5000 + b"}",
            b'{"chosen": "a", "rejected": "b", "margin": Infinity}',
            b'{"chosen": "\\ud83d\\ude42", "rejected": "\\ud83d"}',
            b'{"chosen": "a", "rejected": "\xff"}',
            b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
            b"\x00" * 30,
        ]
    ),
)
lines = (records.map(lambda row: json.dumps(row).encode()) | broken_lines).filter(lambda line: bool(line.strip()))


# How it is judged -----------------------------------------------------------------------------------------------------


def read_in_full(path):
    """Pairs of a file, and origin -> reason of its rejected rows, from the reject file itself."""
    reject_path = path.with_name("rejected.jsonl")
    reject_path.unlink(missing_ok=True)
    with RejectLog(reject_path) as log:
        pairs = list(read_pairs(path, rejects=log))
    rejected = {}
    if reject_path.exists():
        # Not splitlines: JSON lines end in a line feed, and a text in them may hold any other end of a line.
        for line in reject_path.read_text(encoding="utf-8").removesuffix("\n").split("\n"):
            record = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
            assert record["reason"] in BAD_REASONS and record["detail"]
            rejected[record["origin"]] = record["reason"]
    assert len(rejected) == log.total
    return pairs, rejected


def assert_good_row_and_all_counted(path, expected):
    """The good row is there, and every one of `expected` rows is a pair or has a reason."""
    pairs, rejected = read_in_full(path)
    assert any((pair.prompt, pair.chosen, pair.rejected) == tuple(GOOD.values()) for pair in pairs)
    assert len(pairs) + len(rejected) == expected
    assert not {pair.origin for pair in pairs} & rejected.keys()
    for pair in pairs:
        assert pair.margin is None or math.isfinite(pair.margin)
        json.dumps([pair.prompt, pair.chosen, pair.rejected], ensure_ascii=False).encode()


def assert_one_readable_line(error):
    message = str(error)
    assert message and "\n" not in message and "Traceback" not in message
    message.encode("utf-8")


def written(path, content):
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


# Readers --------------------------------------------------------------------------------------------------------------


@fuzzed(
    60,
    before=st.lists(lines, max_size=4),
    after=st.lists(lines, max_size=4),
    name=st.sampled_from(["a.jsonl", "a.jsonl.gz", "a.json"]),
    end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_a_good_line_among_any_others_comes_out_and_each_other_is_counted(folder, before, after, name, end):
    # Spaces in front, so that a look at the start does not find a binary file.
    good = b" " * 5000 + json.dumps(GOOD).encode()
    content = end.join([good, *before, good, *after])
    if name == "a.json":
        before = [line for line in before if not line.lstrip().startswith(b"[")]  # that would begin an array
        content = end.join([good, *before, good, *after])
    assert_good_row_and_all_counted(written(folder / name, content), len(before) + len(after) + 2)


@fuzzed(30, others=st.lists(records, max_size=5))
def test_a_good_element_of_a_json_array_comes_out_and_each_other_is_counted(folder, others):
    path = written(folder / "a.json", b"[" + b",\n".join(json.dumps(row).encode() for row in [*others, GOOD]) + b"]")
    try:
        assert_good_row_and_all_counted(path, len(others) + 1)
    except NormBTError as error:
        # The one thing that no array is read past: a number with more digits than Python takes.
        assert "digits" in str(error)
        assert any(len(part) > 4000 for part in json.dumps(others).split('"'))


cells = texts.filter(lambda text: "\ud800" not in text and "\udc80" not in text) | numbers.map(
    lambda number: str(number) if abs(number) < 10**30 else "1e400"
)
tables = st.lists(st.lists(cells, min_size=1, max_size=4), max_size=5)


@fuzzed(40, before=tables, after=tables, mark=st.booleans())
def test_a_good_row_of_a_table_comes_out_and_each_other_is_counted(folder, before, after, mark):
    table = io.StringIO()
    rows = [["x" * 5000, "", "", ""], *before, [*GOOD.values(), "1.5"], *after]
    csv.writer(table).writerows([["prompt", "chosen", "rejected", "margin"], *rows])
    content = table.getvalue().encode("utf-8-sig" if mark else "utf-8")
    assert_good_row_and_all_counted(written(folder / "a.csv", content), len(rows))


ODD_TYPES = [
    pa.timestamp("s"),
    pa.timestamp("us", tz="Not/AZone"),
    pa.date32(),
    pa.date64(),
    pa.duration("s"),
    pa.time64("ns"),
    pa.float64(),
    pa.binary(),
]
arrow_texts = st.none() | texts.filter(lambda text: "\ud800" not in text and "\udc80" not in text)


@fuzzed(
    30,
    others=st.lists(st.tuples(arrow_texts, arrow_texts, st.floats(), st.integers(-(2**42), 2**42)), max_size=4),
    kind=st.sampled_from([pa.timestamp("s"), pa.timestamp("us"), pa.duration("s"), pa.int64(), pa.date64()]),
    compression=st.sampled_from(["none", "snappy", "gzip", "zstd"]),
)
def test_a_good_row_of_a_parquet_file_comes_out_and_each_other_is_counted(folder, others, kind, compression):
    rows = [(*others_row,) for others_row in others] + [(GOOD["chosen"], GOOD["rejected"], 1.0, 0)]
    chosen, rejected, margins, extra = (list(column) for column in zip(*rows, strict=True))
    columns = {
        "prompt": [GOOD["prompt"]] * len(rows),
        "chosen": chosen,
        "rejected": rejected,
        "margin": margins,
        "when": pa.array(extra, pa.int64()).cast(kind, safe=False),
    }
    parquet.write_table(pa.table(columns), folder / "a.parquet", compression=compression)
    assert_good_row_and_all_counted(folder / "a.parquet", len(rows))


@pytest.mark.parametrize("kind", ODD_TYPES, ids=str)
def test_a_column_of_any_arrow_type_ends_in_pairs_or_reasons(folder, kind):
    if pa.types.is_binary(kind):
        values = pa.array([b"\xff", None, b"x"])
    else:
        whole, large = (pa.int32(), 2**30) if pa.types.is_date32(kind) else (pa.int64(), 2**42)
        values = pa.array([1, large, None], whole).cast(kind, safe=False)
    columns = {"chosen": ["a"] * 3, "rejected": ["b"] * 3, "x": values}
    parquet.write_table(pa.table(columns), folder / "a.parquet")
    try:
        pairs, rejected = read_in_full(folder / "a.parquet")
        assert len(pairs) + len(rejected) == 3 and pairs
    except NormBTError as error:
        assert_one_readable_line(error)
        assert "Not/AZone" in str(error)  # a time zone that does not exist spoils every row, and is named


def originals(name):
    """A whole file of 20 good rows."""
    if name == "a.parquet":
        buffer = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist([GOOD | {"margin": float(i)} for i in range(20)]), buffer)
        return buffer.getvalue()
    rows = [GOOD | {"margin": i} for i in range(20)]
    if name == "a.csv":
        table = io.StringIO()
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        return table.getvalue().encode()
    text = json.dumps(rows) if name == "a.json" else "\n".join(map(json.dumps, rows))
    return gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()


@fuzzed(
    60,
    name=st.sampled_from(["a.jsonl", "a.jsonl.gz", "a.json", "a.csv", "a.parquet"]),
    cut=st.none() | st.floats(0, 1),
    seed=st.integers(0, 2**32),
    flips=st.integers(0, 3),
)
def test_a_damaged_file_gives_rows_reasons_or_one_readable_line(folder, name, cut, seed, flips):
    content = bytearray(originals(name))
    draw = random.Random(seed)
    for _ in range(flips):
        content[draw.randrange(len(content))] = draw.randrange(256)
    if cut is not None:
        content = content[: int(cut * len(content))]
    (folder / name).write_bytes(content)
    read = []
    try:
        for pair in read_pairs(folder / name):
            read.append(pair)
    except NormBTError as error:
        assert_one_readable_line(error)
    if not flips and name != "a.parquet":  # what was whole before the cut comes out, in order
        margins = [pair.margin for pair in read]
        if name == "a.csv" and read:  # nothing shows that the file's last cell was longer: "12" may be "1" or ""
            last = "" if margins[-1] is None else f"{margins[-1]:g}"
            assert str(len(read) - 1).startswith(last)
            margins = margins[:-1]
        assert margins == list(range(len(margins)))


@fuzzed(
    40,
    content=st.binary(max_size=300),
    name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz", "a.csv.gz"]),
    magic=st.sampled_from([b"", b"PAR1", b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"[{"]),
)
def test_any_bytes_under_any_name_end_in_pairs_or_in_one_readable_line(folder, content, name, magic):
    (folder / name).write_bytes(magic + content)
    try:
        list(read_pairs(folder / name))
    except NormBTError as error:
        assert_one_readable_line(error)


@fuzzed(30, others=st.lists(lines, max_size=4))
def test_candidates_are_read_or_refused_in_one_readable_line(folder, others):
    good = {"prompt": "p", "response": "r", "gold": 1.0, "proxy": 2.0}
    path = written(folder / "a.jsonl", b" " * 5000 + b"\n".join([json.dumps(good).encode(), *others]))
    try:
        for found in read_candidates(str(path)):
            assert all(math.isfinite(value) for values in found.scores.values() for value in values)
    except NormBTError as error:
        assert_one_readable_line(error)


# A model, and what it makes of the rows -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reward_model(backbone, tokenizer):
    """A tiny random reward model with a running mean."""
    model = build_reward_model(backbone, "head", seed=0).eval()
    return RewardModel(model, tokenizer, "tiny", NormBTState(1.5, 3, settings={"weighting": "normbt"}))


@pytest.fixture(scope="module")
def page_models(model_folder):
    """The page's models: the tiny one."""
    return Models([str(model_folder)])


@pytest.fixture(scope="module")
def model_folder(reward_model, tmp_path_factory):
    """The same on disk."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_reward_model(reward_model.model, reward_model.tokenizer, folder, reward_model.state, [([20, 21], [20, 24])])
    return folder


@fuzzed(40, others=st.lists(lines, max_size=5))
def test_every_row_is_scored_or_counted_and_the_accuracy_is_a_number(folder, reward_model, others):
    good = b" " * 5000 + json.dumps(GOOD).encode()
    path = written(folder / "a.jsonl", b"\n".join([good, *others, good]))
    rejects = RejectLog(folder / "rejected.jsonl")
    with rejects:
        scored = list(score_pairs(reward_model, read_pairs(path, rejects=rejects), rejects=rejects, max_length=64))
    assert len(scored) + rejects.total == len(others) + 2
    first, last = scored[0], scored[-1]
    assert first.chosen == last.chosen == GOOD["chosen"]
    assert first.reward_difference == pytest.approx(last.reward_difference, abs=1e-4)
    for pair in scored:
        assert all(math.isfinite(value) for value in pair.computed().values())
    report = json.dumps(evaluate_pairs(scored).to_json(), allow_nan=False, ensure_ascii=False)
    assert report.encode()


@fuzzed(10, others=st.lists(lines, max_size=6), running_mean=st.sampled_from([None, 2.0, "auto"]))
def test_a_scored_file_has_one_strict_json_line_per_good_row(folder, model_folder, others, running_mean):
    good = b" " * 5000 + json.dumps(GOOD).encode()
    path = written(folder / "a.jsonl", b"\n".join([good, *others, good]))
    output, rejected = folder / "scored.jsonl", folder / "rejected.jsonl"
    rejected.unlink(missing_ok=True)
    count = score_file(
        str(model_folder),
        str(path),
        str(output),
        rejects=str(rejected),
        running_mean=running_mean,
        max_length=64,
        progress=False,
    )
    found = [
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        for line in output.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    ]
    refused = rejected.read_bytes().count(b"\n") if rejected.exists() else 0
    assert len(found) == count and count + refused == len(others) + 2
    assert found[0]["chosen"] == found[-1]["chosen"] == GOOD["chosen"]
    assert all(math.isfinite(record["reward_difference"]) and record["weight"] >= 0 for record in found)


any_text = st.text(st.characters(codec=None), max_size=12) | texts
conversations = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", ""]), "content": any_text}),
    min_size=1,
    max_size=3,
)


@fuzzed(
    40,
    prompt=st.none() | any_text | conversations,
    chosen=any_text | conversations,
    rejected=any_text | conversations,
    has_template=st.booleans(),
)
def test_a_pair_made_by_hand_is_scored_or_counted(folder, reward_model, prompt, chosen, rejected, has_template):
    tokenizer = reward_model.tokenizer
    if not has_template:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.chat_template = None
    pairs = [PreferencePair(prompt, chosen, rejected), PreferencePair(*GOOD.values())]
    with RejectLog(folder / "rejected.jsonl") as rejects:
        model = RewardModel(reward_model.model, tokenizer, "tiny", reward_model.state)
        scored = list(score_pairs(model, pairs, rejects=rejects, max_length=64))
    assert scored[-1].chosen == GOOD["chosen"] and len(scored) + rejects.total == 2
    for record in scored:
        assert math.isfinite(record.reward_difference)


# Benchmarks -----------------------------------------------------------------------------------------------------------

GOOD_ROWS = {
    "rewardbench": rewardbench_row("alpacaeval-easy", 7),
    "rewardbench2": rewardbench2_row("Math", 7),
    "rm-bench": rm_bench_row("chat", 7),
    "judgebench": judgebench_row("mmlu-pro-law", "A>B", 7),
}


@st.composite
def benchmark_lines(draw):
    """A benchmark and some of its rows, each with a field or two replaced by anything."""
    name = draw(st.sampled_from(sorted(GOOD_ROWS)))
    found = []
    for _ in range(draw(st.integers(0, 4))):
        row = dict(GOOD_ROWS[name])
        for column in draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
            row[column] = draw(values | st.lists(texts, max_size=4))
        found.append(json.dumps(row).encode())
    return name, found + draw(st.lists(lines, max_size=2))


@fuzzed(40, drawn=benchmark_lines())
def test_a_good_item_of_a_benchmark_is_scored_and_nothing_is_written_elsewhere(folder, reward_model, drawn):
    name, others = drawn
    path = written(folder / "rows.jsonl", b" " * 5000 + b"\n".join([json.dumps(GOOD_ROWS[name]).encode(), *others]))
    output = folder / "a" / "b" / "results"
    result = evaluate_benchmark(reward_model, name, str(path), output=str(output), max_length=64, progress=False)
    good = BENCHMARKS[name].read(GOOD_ROWS[name], None)
    assert good in [one.item.__class__(**{**vars(one.item), "origin": None}) for one in result.items]
    assert result.protocol.items + result.protocol.rejected == len(others) + 1
    assert json.dumps(result.to_json(), allow_nan=False)
    assert {file.name for file in folder.iterdir()} <= {"rows.jsonl", "a"} and len(list((folder / "a").iterdir())) == 1


# The app --------------------------------------------------------------------------------------------------------------


@fuzzed(30, others=st.lists(lines, max_size=5))
def test_an_upload_gives_its_good_rows_and_names_the_others(folder, others):
    path = written(folder / "upload.jsonl", b" " * 5000 + b"\n".join([json.dumps(GOOD).encode(), *others]))
    source = uploaded_source(path, limit=100)
    assert source.pairs[0].chosen == GOOD["chosen"]
    assert len(source.pairs) == len(others) + 1 or source.notices
    assert str(folder) not in " ".join(source.notices)


@fuzzed(30, prompt=any_text, chosen=any_text, rejected=any_text)
def test_the_page_reads_any_texts_or_says_what_is_wrong(page_models, prompt, chosen, rejected):
    try:
        view = view_pair(page_models, prompt, chosen, rejected, page_models.names)
    except NormBTError as error:
        assert_one_readable_line(error)
        assert not (prompt.strip() and chosen.strip() and rejected.strip())
        return
    assert len(view.readings) + len(view.failures) == 1
    for reason in view.failures.values():
        assert "It failed" not in reason  # what the page says of an error that nobody thought of
    for reading in view.readings:
        json.dumps(reading.to_json(), ensure_ascii=False).encode()


# The long run ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("name", CHECKS)
def test_the_same_with_ten_thousand_examples(request, folder, name):
    check, strategies = CHECKS[name]
    fixtures = inspect.signature(check).parameters.keys() - strategies.keys()
    run = _settings(LONG_RUN // len(CHECKS))(given(**strategies)(check))
    run(**{needed: request.getfixturevalue(needed) for needed in fixtures})
