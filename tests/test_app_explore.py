"""The Explore tab: what is computed of a data set, and a person who clicks through it in a browser."""

import csv
import json
import random
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from app_server import needs_browser, screenshot, serving, tiny_reward_models, visiting

from normbt_lab.app.explore_figures import distance_histogram, error_histogram, explore_figure
from normbt_lab.app.explore_scores import (
    MOST_EXPLORED,
    PairSource,
    Progress,
    bundled_source,
    explore_in_steps,
    explore_pairs,
    uploaded_source,
)
from normbt_lab.app.explore_table import (
    COLUMNS,
    ORDERS,
    Filter,
    in_order,
    neighbour,
    reading_html,
    summary_html,
    table_rows,
    write_records,
)
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError
from normbt_lab.model import load_reward_model
from normbt_lab.scoring import ScoredPair, score_file, score_pairs

ROWS = [
    {"prompt": "What is 2 + 2?", "chosen": "It is 4.", "rejected": "It is 5, I think.", "category": "reasoning"},
    {"prompt": "Say hello.", "chosen": "Hello there!", "rejected": "Buy a hat.", "category": "chat"},
    {"prompt": "Name a fruit.", "chosen": "A pear.", "rejected": "A <b>chair</b>.", "category": "chat"},
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny_reward_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def reward_model(folders):
    return load_reward_model(folders["bt"])


@pytest.fixture(scope="module")
def explored(reward_model):
    return explore_pairs("BT", lambda: nullcontext(reward_model), bundled_source("test", 21))


def write_jsonl(path, rows=ROWS):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def scored_pair(index=0, error=0.5, distance=4.0, weight=1.0, category="chat", **changed):
    difference = 0.0 if error == 0.5 else 1.0 if error < 0.5 else -1.0
    numbers = (1.0, 1.0 - difference, difference, 1 - error, error, distance, weight)
    return replace(ScoredPair(index, None, category, "q", "a", "b", *numbers, 5, 5, False, False), **changed)


# What is computed


def test_pairs_get_the_numbers_that_scoring_gives_them_in_their_order(explored, reward_model):
    expected = list(score_pairs(reward_model, load_bundled_pairs("test", limit=21)))
    assert [pair.index for pair in explored.scored] == list(range(21))
    for ours, theirs in zip(explored.scored, expected, strict=True):
        assert ours.chosen == theirs.chosen and ours.category == theirs.category
        for name in ("reward_chosen", "reward_difference", "representation_distance", "weight"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-4, abs=1e-5)


def test_the_representations_kept_are_those_behind_the_records(explored):
    distances = (explored.outputs.h_chosen - explored.outputs.h_rejected).norm(dim=-1).tolist()
    assert distances == pytest.approx([pair.representation_distance for pair in explored.scored], rel=1e-5)
    assert explored.outputs.average_chosen.shape == explored.outputs.h_chosen.shape


def test_the_model_is_held_for_a_batch_at_a_time_and_progress_is_told(reward_model):
    held = []

    def use():
        held.append(1)
        return nullcontext(reward_model)

    *told, explored = explore_in_steps("BT", use, bundled_source("test", 20))
    assert len(held) == 1 + len(told) > 4  # for the tokens, for the layout, then once per batch
    assert (told[0], told[-1], len(explored.scored)) == (Progress(0, 20), Progress(20, 20), 20)


def test_a_scoring_that_is_closed_uses_the_model_no_more(reward_model):
    held = []

    def use():
        held.append(1)
        return nullcontext(reward_model)

    steps = explore_in_steps("BT", use, bundled_source("test", 100))
    assert next(steps) == Progress(0, 100) and 0 < next(steps).done < 20
    steps.close()
    assert len(held) == 3 and list(steps) == []


def test_without_a_running_mean_weights_refer_to_the_mean_over_these_pairs_and_the_page_says_so(folders):
    plain = load_reward_model(folders["plain"])
    found = explore_pairs("plain", lambda: nullcontext(plain), bundled_source("test", 12))
    distances = [pair.representation_distance for pair in found.scored]
    # Weight times distance is the running mean, whichever pair (paper eq. 11).
    assert [pair.weight * pair.representation_distance for pair in found.scored] == pytest.approx(
        [sum(distances) / 12] * 12, rel=1e-6
    )
    assert any("no running mean" in notice for notice in found.notices)


def test_explored_pairs_without_a_category_are_uncategorised_where_others_have_one(reward_model, tmp_path):
    def explored_rows(rows):
        source = uploaded_source(write_jsonl(tmp_path / "rows.jsonl", rows), 9)
        return explore_pairs("BT", lambda: nullcontext(reward_model), source)

    without = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in ROWS]
    mixed = explored_rows([ROWS[0], *without[1:]])
    groups = ["reasoning", "uncategorised", "uncategorised"]
    assert [row[COLUMNS.index("category")] for row in table_rows(mixed.scored)] == groups
    others = mixed.scored[1:]  # a part of them is called what it is called among all
    assert {trace.name for trace in explore_figure(others).data if trace.mode == "markers"} == {"uncategorised"}
    assert [pair.index for pair in mixed.scored if Filter(["uncategorised"]).keeps(pair)] == [1, 2]
    assert {row[1] for row in table_rows(explored_rows(without).scored)} == {"all pairs"}
    written = [json.loads(line) for line in write_records(mixed, tmp_path).read_text().splitlines()]
    assert ["category" in record for record in written] == [True, False, False]  # the input's own fields stay


def test_two_answers_that_the_model_reads_alike_are_counted_and_left_out_of_the_figure(reward_model):
    same = PreferencePair("q", "the same", "the same", category="chat")
    source = PairSource("two", [same, PreferencePair("q", "yes", "no", category="chat")])
    found = explore_pairs("BT", lambda: nullcontext(reward_model), source)
    assert any("1 of 2 pairs have distance 0" in notice for notice in found.notices)
    points = [trace for trace in explore_figure(found.scored).data if trace.mode == "markers"]
    assert [list(trace.customdata) for trace in points] == [[1]]


# Uploads


def test_jsonl_csv_and_parquet_hold_the_same_pairs(tmp_path):
    paths = [write_jsonl(tmp_path / "pairs.jsonl"), tmp_path / "pairs.csv", tmp_path / "pairs.parquet"]
    with paths[1].open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), paths[2])
    for path in paths:
        source = uploaded_source(path, 10)
        assert [(p.prompt, p.chosen, p.rejected, p.category) for p in source.pairs] == [
            tuple(row[name] for name in ("prompt", "chosen", "rejected", "category")) for row in ROWS
        ]
        assert source.name == path.name and not source.notices


def test_a_bad_row_is_named_by_file_and_line_without_the_servers_folder(tmp_path):
    path = write_jsonl(tmp_path / "mine.jsonl", [ROWS[0], {"prompt": "q", "chosen": "a"}, ROWS[1]])
    source = uploaded_source(path, 10)
    (notice,) = source.notices
    assert "1 row rejected" in notice and "mine.jsonl:2: missing field" in notice
    assert str(tmp_path) not in notice
    assert [pair.origin for pair in source.pairs] == ["mine.jsonl:1", "mine.jsonl:3"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("wrong.csv", "question,better,worse\nq,a,b\n", "found question, better, worse"),
        ("empty.jsonl", "", "empty.jsonl holds no rows"),
        ("pairs.parquet", "no parquet", "pairs.parquet"),
        ("notes.txt", "hello", "unknown kind of file"),
    ],
)
def test_a_file_without_pairs_is_refused_with_a_line_that_names_it(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(NormBTError) as refused:
        uploaded_source(tmp_path / name, 10)
    assert message in str(refused.value) and str(tmp_path) not in str(refused.value)


def test_a_longer_file_is_cut_and_the_page_says_so(tmp_path):
    source = uploaded_source(write_jsonl(tmp_path / "pairs.jsonl"), 2)
    assert len(source.pairs) == 2
    assert source.notices == ["The first 2 pairs of pairs.jsonl; it holds more."]
    assert len(bundled_source("train", 10 * MOST_EXPLORED).pairs) == MOST_EXPLORED


def test_downloaded_records_are_those_of_normbt_score(folders, reward_model, tmp_path):
    path = write_jsonl(tmp_path / "mine.jsonl")
    found = explore_pairs("BT", lambda: nullcontext(reward_model), uploaded_source(path, 10))
    (tmp_path / "out").mkdir()
    written = write_records(found, tmp_path / "out")
    score_file(folders["bt"], str(path), str(tmp_path / "expected.jsonl"), progress=False)
    ours, theirs = (
        [json.loads(line) for line in file.read_text().splitlines()] for file in (written, tmp_path / "expected.jsonl")
    )
    assert written.name == "mine.scored.jsonl"
    assert [list(record) for record in ours] == [list(record) for record in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["weight"] == pytest.approx(other["weight"], rel=1e-4)
        assert mine["prompt"] == other["prompt"] and mine["category"] == other["category"]


# What is shown


def test_filters_keep_what_they_say():
    pairs = [
        scored_pair(0, error=0.2, distance=1.0),
        scored_pair(1, error=0.5, distance=2.0, category="uncategorised"),
        scored_pair(2, error=0.8, distance=3.0, category="safety"),
    ]

    def kept(*arguments):
        return [pair.index for pair in pairs if Filter(*arguments).keeps(pair)]

    everything = ["chat", "safety", "uncategorised"]
    assert kept(everything) == [0, 1, 2]
    assert kept(["safety", "uncategorised"]) == [1, 2]
    assert kept(everything, "right") == [0]
    assert kept(everything, "wrong") == [1, 2]  # a tie is not right
    assert kept(everything, "all", 2.0, 2.5) == [1]
    assert kept([]) == []


def test_the_table_begins_with_the_hardest_pull_and_holds_numbers():
    pairs = [scored_pair(0, error=0.5, distance=1.0), scored_pair(1, error=0.25, distance=4.0)]
    rows = table_rows(in_order(pairs, next(iter(ORDERS))))
    assert [row[0] for row in rows] == [1, 0]  # 0.25 x 4 before 0.5 x 1
    first = dict(zip(COLUMNS, rows[0], strict=True))
    assert (first["update"], first["ranked"], first["distance"], first["difference"]) == (1.0, "right", 4.0, 1.0)


@pytest.mark.parametrize(
    ("order", "indices"),
    [
        ("update, largest first", [2, 1, 0]),  # 0.5 x 1, 0.2 x 4, 0.3 x 7
        ("distance, largest first", [2, 1, 0]),
        ("distance, smallest first", [0, 1, 2]),
        ("reward difference, largest first", [1, 0, 2]),
        ("reward difference, smallest first", [2, 0, 1]),
        ("weight, largest first", [1, 2, 0]),
        ("weight, smallest first", [0, 2, 1]),
        ("as in the data", [0, 1, 2]),
    ],
)
def test_an_order_sorts_by_what_it_names(order, indices):
    pairs = [
        scored_pair(0, error=0.5, distance=1.0, weight=0.1),
        scored_pair(1, error=0.2, distance=4.0, weight=3.0),  # reward difference 1
        scored_pair(2, error=0.3, distance=7.0, weight=2.0, reward_difference=-1.0),
    ]
    assert [pair.index for pair in in_order(pairs, order)] == indices
    assert len(ORDERS) == 8


def test_previous_and_next_stop_at_the_ends_and_begin_with_the_first():
    shown = [scored_pair(index) for index in (5, 3, 8)]

    def index_of(*arguments):
        return neighbour(shown, *arguments).index

    assert [index_of(5, 1), index_of(3, 1), index_of(8, 1)] == [3, 8, 8]
    assert [index_of(5, -1), index_of(3, -1), index_of(8, 0)] == [5, 5, 8]
    assert [index_of(None, 1), index_of(99, -1)] == [5, 5]
    assert neighbour([], 5, 1) is None


def test_points_carry_their_pair_and_areas_their_weight():
    pairs = [scored_pair(7, weight=1.0), scored_pair(8, distance=1.0, weight=4.0)]
    (points,) = (trace for trace in explore_figure(pairs).data if trace.mode == "markers")
    by_index = dict(zip(points.customdata, points.marker.size, strict=True))
    assert by_index[8] == 2 * by_index[7]  # four times the area
    assert dict(zip(points.customdata, points.x, strict=True)) == {7: 4.0, 8: 1.0}


def test_each_dotted_line_is_one_update_and_its_errors_are_none_above_one():
    figure = explore_figure([scored_pair(0, distance=1.0), scored_pair(1, distance=40.0)])
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [round(line.x[0] * line.y[0], 6) for line in lines] == [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
    for line in lines:
        assert max(line.y) <= 1 + 1e-9
        assert [x * y for x, y in zip(line.x, line.y, strict=True)] == pytest.approx([line.x[0] * line.y[0]] * 60)


def test_every_pair_is_in_both_histograms_once():
    pairs = [scored_pair(n, error=0.1 * n, distance=1.0 + n, category="safety" if n % 2 else "chat") for n in range(9)]
    for figure in (distance_histogram(pairs), error_histogram(pairs)):
        assert sum(sum(trace.y) for trace in figure.data) == 9
    assert "9 times" in distance_histogram(pairs).layout.title.text  # distances 1 to 9
    assert "55.6 % of 9 pairs" in error_histogram(pairs).layout.title.text  # errors 0 to 0.4


def test_a_pair_is_read_as_it_is_and_never_as_html():
    page = reading_html(scored_pair(3, rejected="<script>alert(1)</script>", prompt="2 < 3", origin="<i>.jsonl:1"))
    assert "<script>" not in page and "<i>" not in page
    assert "2 &lt; 3" in page and "Pair 3" in page


def test_the_summary_counts_what_is_shown(explored):
    right = [pair for pair in explored.scored if pair.is_correct]
    assert f"{len(right)} of 21 pairs shown, {len(right)} of them" in summary_html(explored, right)
    assert "Widen the filters" in summary_html(explored, [])


# In a browser


@pytest.fixture(scope="module")
def address(folders, tmp_path_factory):
    arguments = ("--model", folders["bt"], "--model", folders["broken"])
    with serving(*arguments, folder=tmp_path_factory.mktemp("page")) as address:
        yield address


def explore(page):
    page.set_default_timeout(120_000)  # the first score imports torch, which a busy machine takes its time for
    page.get_by_role("tab", name="Explore").click()
    page.locator("#explore-score").click()
    page.locator("#explore-plane .point").first.wait_for()


def send(page, path):
    page.locator("#explore-upload input[type=file]").set_input_files(path)
    page.locator("#explore-upload").get_by_label("Clear").wait_for()  # there once the file has arrived


@needs_browser
def test_a_person_clicks_through_a_data_set(address):
    with visiting(address) as page:
        explore(page)
        page.locator("#explore-plane .point").nth(3).click(force=True)
        page.locator("#explore-reading article").wait_for()
        screenshot(page, "explore-1280-light")
        assert "100 of 100 pairs" in page.locator("#explore-summary").inner_text()

        page.locator("#explore-verdict label", has_text="wrong").click()
        page.locator("#explore-summary", has_not_text="100 of 100").wait_for()
        cell = page.locator("#explore-table [role=gridcell]").first
        number = cell.inner_text().strip()
        cell.click()
        page.locator("#explore-reading h3", has_text=f"Pair {number} ").wait_for()
        assert "ranked wrong" in page.locator("#explore-reading h3").inner_text()

        with page.expect_download() as download:
            page.locator("#explore-download").click()
        lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
        assert len(lines) == 100 and "representation_distance" in json.loads(lines[0])


def reading(page):
    """Place and number of the pair that is read."""
    return page.locator("#explore-place").inner_text(), page.locator("#explore-reading h3").inner_text().split(" · ")[0]


@needs_browser
def test_pairs_are_sorted_and_read_one_after_the_other_with_buttons_and_arrow_keys(address):
    with visiting(address) as page:
        explore(page)
        page.locator("#explore-place", has_text="1 of 100").wait_for()
        page.locator("#explore-order input").click()
        page.get_by_role("option", name="as in the data").click()
        page.locator("#explore-reading h3", has_text="Pair 0 ").wait_for()
        assert page.locator("#explore-table [role=gridcell]").first.inner_text().strip() == "0"
        page.get_by_role("button", name="Next").click()
        page.locator("#explore-reading h3", has_text="Pair 1 ").wait_for()
        page.keyboard.press("ArrowRight")
        page.locator("#explore-reading h3", has_text="Pair 2 ").wait_for()
        assert reading(page) == ("3 of 100", "Pair 2")
        page.keyboard.press("ArrowLeft")
        page.locator("#explore-reading h3", has_text="Pair 1 ").wait_for()
        assert page.evaluate("document.activeElement.id") == "explore-previous"
        page.locator("#explore-low input").focus()
        page.keyboard.press("ArrowRight")  # moves the cursor there, and nothing else
        page.get_by_role("button", name="Previous").press("Enter")
        page.locator("#explore-reading h3", has_text="Pair 0 ").wait_for()


def choose_pairs(page, count):
    page.locator("#explore-limit input[type=number]").fill(str(count))
    page.keyboard.press("Tab")


@needs_browser
def test_stop_ends_the_scoring_keeps_nothing_of_it_and_leaves_the_way_free_for_the_next(address, tmp_path):
    letters = random.Random(0)
    # 1,024 tokens an answer: long enough for a hand to reach the button, whatever the machine.
    texts = ["".join(letters.choices("abcdefgh ", k=3000)) for _ in range(400)]
    rows = [{"prompt": "q", "chosen": a, "rejected": b} for a, b in zip(texts[::2], texts[1::2], strict=True)]
    with visiting(address) as page:
        page.set_default_timeout(120_000)
        page.get_by_role("tab", name="Explore").click()
        page.locator("#explore-data input").click()
        page.get_by_role("option", name="a file of your own").click()
        send(page, write_jsonl(tmp_path / "long.jsonl", rows))
        choose_pairs(page, 200)
        page.locator("#explore-score").click()
        page.locator("#explore-status", has_text="of 200 pairs").wait_for()
        page.locator("#explore-stop").click()
        page.locator("#explore-status", has_text="Stopped after").wait_for()
        screenshot(page, "explore-stopped")
        done, total = map(int, re.findall(r"\d+", page.locator("#explore-status").inner_text()))
        assert done < total == 200
        page.locator("#explore-score:not([disabled])").wait_for()
        assert page.locator("#explore-stop").is_disabled()
        assert not page.locator("#explore-plane .point").count()  # nothing is kept
        choose_pairs(page, 10)
        page.locator("#explore-score").click()
        page.locator("#explore-summary", has_text="10 of 10 pairs").wait_for()


@needs_browser
def test_an_upload_is_scored_its_bad_row_named_and_a_broken_one_loses_nothing(address, tmp_path):
    good = write_jsonl(tmp_path / "mine.jsonl", [*ROWS, {"prompt": "q", "chosen": "a"}])
    (tmp_path / "bad.csv").write_text("question,better\nq,a\n")
    with visiting(address, width=390, mode="dark") as page:
        page.set_default_timeout(120_000)
        page.get_by_role("tab", name="Explore").click()
        page.locator("#explore-data input").click()
        page.get_by_role("option", name="a file of your own").click()
        send(page, good)
        page.locator("#explore-score").click()
        page.locator("#explore-plane .point").first.wait_for()
        assert "mine.jsonl:4: missing field" in page.locator("#explore-status").inner_text()
        screenshot(page, "explore-390-dark")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        page.locator("#explore-upload").get_by_label("Clear").click()
        send(page, tmp_path / "bad.csv")
        page.locator("#explore-score").click()
        page.locator("#explore-status .problem").wait_for()
        assert "found question, better" in page.locator("#explore-status").inner_text()
        assert "3 of 3 pairs" in page.locator("#explore-summary").inner_text()
