"""The page as programs meet it: a real server, real (tiny) reward models; and what its Pair tab computes."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from app_server import serving, tiny_reward_models
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from normbt_lab.app.address import Address
from normbt_lab.app.cards import card_markdown, card_svg
from normbt_lab.app.exact import measure_pair
from normbt_lab.app.examples import examples, figure_7
from normbt_lab.app.models import MOST_LOADED, Models, default_paths
from normbt_lab.app.pair_view import LONGEST_TRAIL, PairView, view_pair
from normbt_lab.app.plane import Point, plane_figure
from normbt_lab.app.reading import Reading, read_pair
from normbt_lab.app.reference import REFERENCE_FILE, REFERENCE_PAIRS, ReferencePoint, ReferencePoints
from normbt_lab.app.settings import LONGEST_TEXT
from normbt_lab.app.table import table_html, verdicts_html
from normbt_lab.app.token_diff import token_diff_html
from normbt_lab.app.trace import differing, token_texts
from normbt_lab.app.trace_figures import along_tokens_figure, by_layer_figure
from normbt_lab.app.turns import Turns
from normbt_lab.cli import WRONG_USE
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.model import load_reward_model
from normbt_lab.scoring import ScoredPair, score_pairs
from normbt_lab.shipped.registry import SHIPPED
from normbt_lab.state import STATE_FILE

QUESTION = ("What is 2 + 2?", "It is 4.", "It is 5, I think.")
COLORS = {"BT": "#d55e00", "plain": "#7f8c8d"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tiny_reward_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def address(folders):
    """Where `normbt app` serves the three models."""
    models = [word for folder in folders.values() for word in ("--model", folder)]
    with serving(*models) as url:
        yield url


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


@pytest.fixture(scope="module")
def score(client):
    return lambda *arguments: client.predict(*arguments, api_name="/score_pair")


@pytest.fixture(scope="module")
def reward_model(folders):
    return load_reward_model(folders["bt"])


@pytest.fixture(scope="module")
def reading(reward_model):
    return read_pair("BT", reward_model, PreferencePair(*QUESTION))


@pytest.fixture()
def models(folders):
    return Models(list(folders.values()))


def python(code, folder):
    """A process of its own: Gradio opens an event loop with every page it builds and leaves it open."""
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=600)


def scored_pair(**changed):
    numbers = dict(
        index=0,
        origin=None,
        category=None,
        prompt="p",
        chosen="c",
        rejected="r",
        reward_chosen=0.0,
        reward_rejected=0.0,
        reward_difference=0.0,
        preference_probability=0.5,
        prediction_error=0.5,
        representation_distance=4.0,
        weight=0.25,
        tokens_chosen=3,
        tokens_rejected=3,
        truncated_chosen=False,
        truncated_rejected=False,
    )
    return ScoredPair(**{**numbers, **changed})


# The functions for programs


def test_score_pair_gives_the_numbers_of_score_pairs(reward_model, score):
    (record,) = score(*QUESTION, ["BT"])
    (expected,) = score_pairs(reward_model, [PreferencePair(*QUESTION)])
    assert record["model"] == "BT"
    for name, value in expected.computed().items():
        assert record[name] == pytest.approx(value, rel=1e-4), name
    error, distance = expected.prediction_error, expected.representation_distance
    assert record["update_bradley_terry"] == pytest.approx(error * distance, rel=1e-4)
    assert record["update_normbt"] == pytest.approx(1.5 * error, rel=1e-4)  # the distance cancels; 1.5 is the mean


def test_two_models_answer_side_by_side_and_one_without_a_mean_says_why_it_has_no_weight(score):
    bt, plain = score(*QUESTION, ["BT", "plain"])
    assert bt["weight"] > 0 and bt["why_no_weight"] is None
    assert plain["weight"] is None and plain["update_normbt"] is None
    assert "no running mean" in plain["why_no_weight"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("q", "", "no", ["BT"]), "chosen answer is empty"),
        (("q", "yes", " \n", ["BT"]), "rejected answer is empty"),
        (("", "yes", "no", ["BT"]), "prompt is empty"),
        (("q", "yes", "no", ["/etc"]), "no model '/etc' on this page: it offers BT, plain, broken"),
        (("q", "yes", "no", "BT"), "list of model names"),
        (("q", "yes", "no", [5]), "no model 5 on this page"),
        (("q", "yes", "no", ["broken"]), "broken: .*does not open"),
        (("q", "yes", 5, ["BT"]), "rejected answer is empty"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_reason(score, arguments, message):
    with pytest.raises(AppError, match=message):
        score(*arguments)


def test_identical_answers_are_at_distance_zero_and_the_reason_is_given(score):
    (record,) = score("q", "the same", "the same", ["BT"])
    assert record["representation_distance"] == record["update_bradley_terry"] == record["update_normbt"] == 0
    assert "same tokens" in record["notices"][0]


def test_a_megabyte_of_text_is_scored_and_both_cuts_are_said(score):
    (record,) = score("q", "short", "7 ? " * 250_000, ["BT"])
    assert record["truncated_rejected"] and not record["truncated_chosen"]
    of_page, of_model = record["notices"]
    assert "1,000,000 characters, of which this page reads the first 20,000" in of_page
    assert f"cut after {record['tokens_rejected']:,} tokens" in of_model


def test_the_example_in_the_documentation_runs(address, tmp_path, monkeypatch):
    page = Path(__file__).parent.parent / "docs" / "app.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert json.dumps(Models(list(SHIPPED)).names) in example  # what `make app` offers
    example = example.replace("NormBT", "plain")  # what this page has beside BT
    monkeypatch.chdir(tmp_path)
    printed: list[str] = []
    names = {"print": lambda *words: printed.append(" ".join(map(str, words)))}
    exec(example.replace("http://127.0.0.1:7860", address), names)  # noqa: S102 (our own documentation)
    assert [line.split(":")[0] for line in printed] == ["BT", "plain", "scored"]
    assert printed[-1].startswith("scored: 2 pairs")


def test_score_file_gives_a_record_per_pair_and_names_the_row_that_is_none(client, reward_model, tmp_path):
    pairs = [PreferencePair(f"What is {n} + {n}?", f"{2 * n}", f"{n} and more") for n in range(3)]
    rows = [{"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected, "id": 7} for pair in pairs]
    rows.insert(1, {"prompt": "no rejected answer", "chosen": "4"})
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer, summary = client.predict(handle_file(path), "BT", api_name="/score_file")
    records = [json.loads(line) for line in Path(answer).read_text().splitlines()]
    assert [record["id"] for record in records] == [7, 7, 7]
    expected = [scored.reward_difference for scored in score_pairs(reward_model, pairs)]
    assert [record["reward_difference"] for record in records] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert summary["model"] == "BT" and summary["scored"] == 3
    assert "pairs.jsonl:2" in summary["notices"][0] and "rejected" in summary["notices"][0]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b'{"a": 1}\n', "pairs.jsonl", "pairs.jsonl"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "pairs.parquet", "pairs.parquet"),
        (b"prompt,answer\n1,2\n", "pairs.csv", "pairs.csv"),
        (b"", "pairs.jsonl", "pairs.jsonl"),
    ],
)
def test_a_broken_upload_is_refused_by_its_own_name(client, tmp_path, content, name, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AppError, match=message) as refused:
        client.predict(handle_file(path), "BT", api_name="/score_file")
    assert "/gradio/" not in str(refused.value)  # not where the server keeps it


def test_an_upload_beyond_the_limit_is_refused(client, tmp_path):
    path = tmp_path / "huge.jsonl"
    path.write_bytes(b"x" * 21_000_000)
    with pytest.raises(Exception, match="(?i)exceed|maximum|413|large"):
        client.predict(handle_file(path), "BT", api_name="/score_file")


def test_programs_can_call_nothing_but_the_two_functions(client):
    endpoints = client.view_api(return_format="dict")
    assert list(endpoints["named_endpoints"]) == ["/score_pair", "/score_file"]
    assert not endpoints["unnamed_endpoints"]

    def names(endpoint):
        return [parameter["parameter_name"] for parameter in endpoints["named_endpoints"][endpoint]["parameters"]]

    assert names("/score_pair") == ["prompt", "chosen", "rejected", "model_names"]
    assert names("/score_file") == ["file", "model_name"]


@pytest.mark.parametrize("place", ["/etc/passwd", "MODEL/config.json", "PACKAGE/cli.py"])
def test_no_file_of_the_machine_is_served(address, folders, place):
    import normbt_lab

    place = place.replace("MODEL", folders["bt"]).replace("PACKAGE", str(Path(normbt_lab.__file__).parent))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/gradio_api/file={place}")
    with refused.value as answer:
        assert answer.code in (403, 404)


def test_a_file_of_the_machine_cannot_be_named_instead_of_uploaded(address, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}\n')
    data = [{"path": str(path), "meta": {"_type": "gradio.FileData"}}, "BT"]
    request = urllib.request.Request(
        f"{address}/gradio_api/call/score_file",
        data=json.dumps({"data": data}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/gradio_api/call/score_file/{event}") as answer:
        said = answer.read().decode()
    assert "event: error" in said and "event: complete" not in said


def test_the_page_asks_the_network_for_no_font(address):
    with urllib.request.urlopen(address) as answer:
        page = answer.read().decode()
    assert "learns from a pair" in page
    assert "fonts.googleapis" not in page and "fonts.gstatic" not in page


# Several at once


def visit_together(address, reward_model, requests):
    """So many requests from eight clients at once; asserts that each got its own numbers."""
    pairs = [PreferencePair(f"What is {n} + {n}?", f"{2 * n}", f"{n} and more") for n in range(requests)]
    expected = [scored.reward_difference for scored in score_pairs(reward_model, pairs)]
    assert len({round(value, 4) for value in expected}) > requests / 2
    mine = threading.local()

    def visit(pair):
        if not hasattr(mine, "client"):
            mine.client = Client(address, verbose=False)
        name = mine.client.predict(pair.prompt, pair.chosen, pair.rejected, ["BT"], api_name="/score_pair")
        return name[0]["reward_difference"]

    with ThreadPoolExecutor(8) as visitors:
        assert list(visitors.map(visit, pairs)) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_eight_visitors_at_the_same_time_get_their_own_numbers(address, reward_model):
    visit_together(address, reward_model, 40)


@pytest.mark.long
def test_five_hundred_requests_on_the_default_backbone_leave_memory_where_it_was(tmp_path):
    from normbt_lab.backbones import load_tokenizer, resolve_backbone
    from normbt_lab.model import build_reward_model, save_reward_model
    from normbt_lab.state import NormBTState

    backbone = resolve_backbone("smollm2-135m")
    model = build_reward_model(backbone, "head", seed=0)
    sample = [([20, 21, 22], [20, 21, 24])]
    save_reward_model(
        model, load_tokenizer(backbone), tmp_path / "bt", NormBTState(1.5, 3, settings={"weighting": "uniform"}), sample
    )
    loaded = load_reward_model(str(tmp_path / "bt"))
    with serving("--model", str(tmp_path / "bt")) as url:
        visit_together(url, loaded, 100)
        before = resident_of_server()
        visit_together(url, loaded, 400)
        assert resident_of_server() - before < 200_000  # kB


def resident_of_server():
    """Memory in kB of the largest process that this one started."""
    found = [0]
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            text = status.read_text()
            if f"PPid:\t{os.getpid()}\n" in text and (resident := re.search(r"VmRSS:\s+(\d+)", text)):
                found.append(int(resident[1]))
    return max(found)


def test_who_works_in_small_steps_cannot_keep_the_turn_from_others():
    turns = Turns()
    order: list[str] = []
    is_started = threading.Event()

    def many_steps():
        for _ in range(50):
            with turns.turn():
                order.append("step")
                is_started.set()
                time.sleep(0.005)

    worker = threading.Thread(target=many_steps)
    worker.start()
    is_started.wait()
    with turns.turn():
        order.append("single")
    worker.join()
    assert order.index("single") <= 3


def test_a_turn_is_handed_on_after_a_failure():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        pass


# Models of a page


def test_a_model_given_twice_is_refused():
    with pytest.raises(UsageError, match="runs/a is given twice"):
        Models(["runs/a", "runs/b", "runs/a"])


def test_a_model_that_is_not_of_the_page_is_loaded_only_where_the_owner_allows_it(folders):
    with pytest.raises(UsageError, match="no model"), Models([folders["bt"]]).use(folders["plain"]):
        pass
    with Models([folders["bt"]], allow_more=True).use(folders["plain"]) as reward_model:
        assert reward_model.name == folders["plain"]


def test_a_model_is_loaded_once_and_the_one_unused_for_longest_is_let_go(folders, tmp_path):
    copies = [shutil.copytree(folders["bt"], tmp_path / f"copy-{number}") for number in range(MOST_LOADED + 1)]
    models = Models([str(copy) for copy in copies])
    seen = []
    for name in [*models.names, models.names[1], models.names[0]]:
        with models.use(name) as reward_model:
            seen.append(reward_model)
    assert seen[-2] is seen[1]
    assert seen[-1] is not seen[0]


def test_a_model_that_did_not_load_is_tried_again(folders, tmp_path):
    models = Models([str(tmp_path / "later")])
    with pytest.raises(NormBTError), models.use("later"):
        pass
    shutil.copytree(folders["bt"], tmp_path / "later")
    with models.use("later") as reward_model:
        assert reward_model.state.running_mean == 1.5


@pytest.mark.parametrize(
    ("words", "name", "why"),
    [
        (("--model", "nothing-there"), "nothing-there", "no such folder"),
        (("--model", "smollm2-135m-bt", "--compare", "runs/demo/btt"), "runs/demo/btt", "no such folder"),
        (("--model", "nobody/nothing"), "nobody/nothing", "Hugging Face hub"),
        (("--model", "empty"), "empty", "no config.json or adapter_config.json in it"),
    ],
)
def test_a_name_with_no_model_behind_it_stops_the_command_in_one_line(tmp_path, words, name, why):
    (tmp_path / "empty").mkdir()
    page = python(f"from normbt_lab.cli import main; raise SystemExit(main(['app', *{words!r}]))", tmp_path)
    assert page.returncode == WRONG_USE
    (line,) = page.stderr.splitlines()
    assert line.startswith(f"error: no reward model at {name} (") and why in line and "normbt train" in line


def test_a_model_without_a_pad_token_is_refused_with_cause_and_fix_and_scores_once_mended(folders, tmp_path):
    folder = Path(shutil.copytree(folders["bt"], tmp_path / "unpadded"))
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "pad_token": None}))
    models = Models([str(folder)])
    view = view_pair(models, *QUESTION, ["unpadded"])
    assert "no pad token" in view.failures["unpadded"] and "tokenizer_config.json" in view.failures["unpadded"]
    config.write_text(json.dumps(settings))
    assert view_pair(models, *QUESTION, ["unpadded"]).readings


def test_the_shipped_models_have_the_names_and_colours_of_their_objectives_and_are_found_by_their_own():
    models = Models(["smollm2-135m-bt", "smollm2-135m-normbt", "mine"])
    assert models.names == ["BT", "NormBT", "mine"]
    assert [models.color(name) for name in models.names] == ["#d55e00", "#1f7fc4", "#7f8c8d"]
    assert models.path("NormBT") == models.path("smollm2-135m-normbt") == "smollm2-135m-normbt"


def test_two_models_that_would_share_a_name_are_shown_by_their_places():
    assert Models(["smollm2-135m-bt", "runs/demo/bt"]).names == ["smollm2-135m-bt", "runs/demo/bt"]


def test_the_demo_models_are_the_default_where_none_are_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("normbt_lab.shipped.registry.ADAPTER_FOLDERS", tmp_path)
    (tmp_path / "runs/demo/normbt").mkdir(parents=True)
    (tmp_path / "runs/demo/normbt" / STATE_FILE).write_text("{}")
    assert default_paths() == ("runs/demo/normbt",)


def test_without_models_the_page_opens_and_says_how_to_get_them(tmp_path):
    code = (
        "import pathlib, normbt_lab.shipped.registry as registry; registry.ADAPTER_FOLDERS = pathlib.Path('nowhere')\n"
        "from normbt_lab.app import build_app; print(build_app().get_config_file())"
    )
    page = python(code, tmp_path)
    assert page.returncode == 0, page.stderr
    assert "make demo" in page.stdout and "normbt app --model" in page.stdout


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        page = python(f"from normbt_lab.cli import main; raise SystemExit(main(['app', '--port', '{port}']))", tmp_path)
    assert page.returncode == 1
    assert f"port {port} is taken" in page.stderr and "Traceback" not in page.stderr


def test_a_space_installs_what_the_package_asks_for():
    root = Path(__file__).parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.sub(r"\s", "", name) for name in [*project["dependencies"], *project["optional-dependencies"]["app"]]}
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and line[0] not in "#-"} == wanted


# What a forward pass tells


def test_the_last_value_along_the_tokens_is_the_reward(reading):
    assert reading.trace.chosen[-1].reward == pytest.approx(reading.scored.reward_chosen, rel=1e-6)
    assert reading.trace.rejected[-1].reward == pytest.approx(reading.scored.reward_rejected, rel=1e-6)


def test_a_value_along_the_tokens_is_the_reward_of_the_text_up_to_there(reward_model, reading):
    ids = reward_model.tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION[0]}, {"role": "assistant", "content": QUESTION[1]}], return_dict=True
    )["input_ids"]
    for length in (len(ids) - 3, len(ids) // 2):
        with torch.no_grad():
            alone = reward_model.model(input_ids=torch.tensor([ids[:length]])).logits.item()
        assert reading.trace.chosen[length - 1].reward == pytest.approx(alone, rel=1e-4, abs=1e-4)


def test_the_last_distance_by_layer_is_the_representation_distance_and_the_first_that_of_the_embeddings(reading):
    layers = reading.trace.layers
    assert [layer.name for layer in layers] == ["embedding", "layer 0", "layer 1", "final norm"]
    assert layers[-1].distance == pytest.approx(reading.scored.representation_distance, rel=1e-5)
    assert layers[0].distance == 0  # both sequences end in the same token
    assert all(0 < layer.relative <= 2 for layer in layers[1:])


def test_the_distance_by_layer_is_that_of_the_hidden_states_of_transformers(reward_model, reading):
    tokens = [
        reward_model.tokenizer.apply_chat_template(
            [{"role": "user", "content": QUESTION[0]}, {"role": "assistant", "content": answer}],
            return_dict=True,
            return_tensors="pt",
        )["input_ids"]
        for answer in QUESTION[1:]
    ]
    with torch.no_grad():
        ends = [
            [states[0, -1] for states in reward_model.model(ids, output_hidden_states=True).hidden_states]
            for ids in tokens
        ]
    expected = [(ours - theirs).norm().item() for ours, theirs in zip(*ends, strict=True)]
    # The last of transformers' hidden states is behind the final norm; the last layer's own output is not among them.
    found = [layer.distance for layer in reading.trace.layers]
    assert [*found[:-2], found[-1]] == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("text", ["It is 4.", "ä€ 😀😀x", "def f():\n\treturn 1\n", "a  b", "日本語"])
def test_the_texts_of_the_tokens_add_up_to_the_text(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    texts = token_texts(tokenizer, ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == tokenizer.decode(ids)


def test_a_token_without_counterpart_is_marked_on_its_own_side():
    assert differing([1, 2, 3], [1, 3]) == ([False, True, False], [False, False])


def test_only_the_answers_are_shown_side_by_side_and_their_differences_are_marked(reading):
    page = token_diff_html(reading)
    shown = [re.sub(r"<[^>]*>", "", part) for part in re.findall(r"<pre.*?</pre>", page, flags=re.DOTALL)]
    assert shown == [QUESTION[1], QUESTION[2]]
    assert '<mark class="chosen"' in page and '<mark class="rejected"' in page


def test_an_answer_far_longer_than_the_other_is_drawn_whole(reward_model):
    reading = read_pair("BT", reward_model, PreferencePair("q", "short", "7 ? " * 5000))
    assert reading.trace.chosen[-1].reward == pytest.approx(reading.scored.reward_chosen, rel=1e-6)
    assert reading.trace.rejected[-1].reward == pytest.approx(reading.scored.reward_rejected, rel=1e-6)
    assert len(reading.trace.rejected) == reading.scored.tokens_rejected > 1500
    assert "first 1,000 tokens" in token_diff_html(reading)
    assert len(along_tokens_figure([reading], COLORS).data[1].y) > 1500
    assert "…" in card_svg([reading], COLORS)


def test_identical_answers_have_nothing_to_draw_along_the_tokens(reward_model):
    same = read_pair("BT", reward_model, PreferencePair("q", "the same", "the same"))
    assert "are the same in both" in token_diff_html(same)
    assert along_tokens_figure([same], COLORS) is None
    assert plane_figure(same, "#d55e00") is None
    assert max(layer.distance for layer in same.trace.layers) == pytest.approx(0, abs=1e-4)


def test_both_lines_along_the_tokens_start_at_the_last_token_that_the_answers_share(reading):
    figure = along_tokens_figure([reading], COLORS)
    chosen, rejected = figure.data
    assert (chosen.x[0], rejected.x[0]) == (0, 0)
    assert chosen.y[0] == pytest.approx(rejected.y[0], abs=1e-4)
    assert chosen.y[-1] == pytest.approx(reading.scored.reward_chosen, rel=1e-6)


def test_the_figure_by_layer_has_a_point_for_every_layer(reading):
    (line,) = by_layer_figure([reading], COLORS).data
    assert list(line.y) == [layer.relative for layer in reading.trace.layers]


def test_the_exact_gradient_is_that_of_autograd_and_the_model_is_left_as_it_was(reward_model):
    pair = PreferencePair(*QUESTION)
    before = [parameter.requires_grad for parameter in reward_model.model.parameters()]
    measured = measure_pair(reward_model, pair)
    assert [parameter.requires_grad for parameter in reward_model.model.parameters()] == before
    rewards = []
    parameters = list(reward_model.model.parameters())
    for answer in QUESTION[1:]:
        turns = [{"role": "user", "content": QUESTION[0]}, {"role": "assistant", "content": answer}]
        ids = reward_model.tokenizer.apply_chat_template(turns, return_dict=True, return_tensors="pt")["input_ids"]
        rewards.append(reward_model.model(ids).logits.squeeze())
    gradients = torch.autograd.grad(rewards[0] - rewards[1], parameters, allow_unused=True)
    expected = sum(float(gradient.square().sum()) for gradient in gradients if gradient is not None) ** 0.5
    assert measured.gradient_distance == pytest.approx(expected, rel=1e-4)


def test_a_pair_too_long_to_measure_is_refused_with_the_limit(reward_model):
    with pytest.raises(NormBTError, match="up to 1,024 tokens"):
        measure_pair(reward_model, PreferencePair("q", "7 ? " * 2000, "no"))


# What is shown


def test_a_model_that_does_not_load_leaves_the_other_ones_numbers(models):
    view = view_pair(models, *QUESTION, ["BT", "broken"])
    assert [reading.model for reading in view.readings] == ["BT"]
    assert "does not open" in view.failures["broken"]


def test_an_edited_answer_keeps_where_it_was_and_another_prompt_begins_anew(models):
    first = view_pair(models, *QUESTION, ["BT"])
    second = view_pair(models, QUESTION[0], "It is four.", QUESTION[2], ["BT"], first)
    scored = first.readings[0].scored
    assert second.trail == {"BT": [Point(scored.representation_distance, scored.prediction_error)]}
    again = view_pair(models, QUESTION[0], "It is four.", QUESTION[2], ["BT"], second)
    assert again.trail == second.trail
    assert view_pair(models, "Another?", "yes", "no", ["BT"], again).trail == {}


def test_the_trail_forgets_its_oldest_points(models):
    view: PairView | None = None
    for number in range(LONGEST_TRAIL + 3):
        view = view_pair(models, "q", f"answer {number}", "no", ["BT"], view)
    assert len(view.trail["BT"]) == LONGEST_TRAIL


def test_the_figure_puts_a_pair_where_its_error_and_distance_are_on_its_line_of_equal_update():
    reading = Reading("BT", scored_pair())  # error 0.5, distance 4: update 2
    figure = plane_figure(reading, "#d55e00")
    (point,) = (trace for trace in figure.data if trace.name == "this pair")
    assert (point.x[0], point.y[0]) == (4.0, 0.5)
    (line,) = (trace for trace in figure.data if trace.mode == "lines" and trace.line.color == "#d55e00")
    assert [x * y for x, y in zip(line.x, line.y, strict=True)] == pytest.approx([2.0] * len(line.x))


def test_the_title_counts_the_reference_pairs_that_pull_less_under_either_loss():
    reading = Reading("BT", scored_pair(), running_mean=1.0)  # error 0.5, distance 4: update 2
    reference = [
        ReferencePoint("chat", 1.0, 0.9),
        ReferencePoint("chat", 10.0, 0.1),
        ReferencePoint("safety", 9.0, 0.4),
    ]
    title = plane_figure(reading, "#d55e00", reference).layout.title.text.replace("<br>", " ")
    assert "pulls harder than 2 of 3 others, under NormBT than 2" in title  # 0.9, 1 and 3.6; errors 0.9, 0.1, 0.4


def test_the_quadrants_part_at_the_usual_distance_and_where_right_and_wrong_meet():
    figure = plane_figure(Reading("BT", scored_pair(), running_mean=3.0), "#d55e00")
    vertical, horizontal = figure.layout.shapes
    assert (vertical.x0, horizontal.y0) == (3.0, 0.5)
    corners = {note.text: (note.x > 0.5, note.y > 0.5) for note in figure.layout.annotations}
    assert corners["<b>starved</b><br>wrong, close"] == (False, True)
    assert corners["<b>overfed</b><br>right, far"] == (True, False)


@pytest.mark.parametrize(("error", "distance", "mean"), [(0.5, 4.0, 3.0), (0.999, 0.02, 40.0), (0.001, 300.0, 0.5)])
def test_no_line_of_the_plane_reaches_the_names_of_its_quadrants(error, distance, mean):
    pair = scored_pair(prediction_error=error, representation_distance=distance)
    figure = plane_figure(Reading("BT", pair, running_mean=mean), "#d55e00", [], [Point(2 * distance, error)])
    heights = [y for line in figure.data if "lines" in line.mode for y in line.y]
    heights += [y for shape in figure.layout.shapes for y in (shape.y0, shape.y1)]
    low, high = figure.layout.yaxis.range
    assert low < 0 <= min(heights) and max(heights) <= 1.001 < high
    names = [(note.y, note.yanchor) for note in figure.layout.annotations]
    assert sorted(names) == [(low, "bottom")] * 2 + [(high, "top")] * 2


def test_the_reference_pairs_are_scored_once_and_found_again_by_the_next_page(models, folders, reward_model):
    reference = ReferencePoints(models)
    assert reference.known("BT") == []
    assert list(reference.compute("BT"))[-1] == REFERENCE_PAIRS
    points = reference.known("BT")
    (scored,) = score_pairs(reward_model, load_bundled_pairs("test", limit=1))
    assert points[0].distance == pytest.approx(scored.representation_distance, rel=1e-4)
    assert list(reference.compute("BT")) == []
    stored = ReferencePoints(Models([folders["bt"]])).known("BT")
    assert [point.error for point in stored] == pytest.approx([point.error for point in points], rel=1e-4)


def test_a_model_folder_may_bring_its_reference_points(folders, tmp_path):
    (tmp_path / "rm").mkdir()
    (tmp_path / "rm" / REFERENCE_FILE).write_text('[["chat", 2.0, 0.25]]')
    assert ReferencePoints(Models([str(tmp_path / "rm")])).known("rm") == [ReferencePoint("chat", 2.0, 0.25)]


def test_every_number_stands_in_the_table_with_a_sentence():
    table = table_html([Reading("BT", scored_pair())], COLORS)
    assert table.count('scope="row"') == table.count('class="meaning"') == 11
    for number in ("2.00", "0.250", "0.500"):  # update 0.5 x 4, the weight, update under NormBT 0.25 x 2
        assert f"<td>{number}</td>" in table


def test_texts_are_shown_as_they_are_and_never_read_as_html(reward_model):
    texts = ("<script>a</script>", "<b>x</b> & 4", "<img src=x onerror=y>")
    reading = read_pair("<i>m</i>", reward_model, PreferencePair(*texts))
    colors = {"<i>m</i>": "#d55e00"}
    pages = [
        verdicts_html([reading], colors),
        table_html([reading], colors),
        token_diff_html(reading),
        card_svg([reading], colors),
    ]
    for page in pages:
        assert "<i>" not in page and "<script" not in page and "<img" not in page and "<b>x" not in page


def test_the_card_is_a_picture_that_parses_and_holds_both_answers(reading):
    from xml.etree import ElementTree

    root = ElementTree.fromstring(card_svg([reading], COLORS))
    text = "".join(root.itertext())
    assert QUESTION[1] in text and QUESTION[2] in text and QUESTION[0] in text


def test_a_card_of_text_with_control_characters_is_still_a_picture(reward_model):
    from xml.etree import ElementTree

    pair = PreferencePair("a\x00\x07b", "one\x1b[0m \ufffe", "two")
    ElementTree.fromstring(card_svg([read_pair("BT", reward_model, pair)], COLORS))


def test_the_markdown_card_keeps_fences_inside_an_answer_inside(reward_model):
    answer = "```python\nprint(1)\n```"
    card = card_markdown([read_pair("BT", reward_model, PreferencePair("q", answer, "no"))])
    assert f"````\n{answer}\n````" in card
    assert "| update under Bradley-Terry |" in card


def test_an_address_reopens_what_it_was_made_of():
    from urllib.parse import urlencode

    state = {"prompt": "2 + 2 = ?&#", "chosen": "ä\n4", "rejected": "", "model": "BT", "compare": ""}
    assert Address.parsed(urlencode(state)) == Address(**state)
    assert Address.parsed("nonsense") == Address.parsed("&".join("a=1" for _ in range(99))) == Address()


def test_examples_are_whole_pairs_of_every_category_and_the_papers():
    found = examples()
    assert {label.split(":")[0] for label in found} == {
        "chat",
        "chat hard",
        "safety",
        "reasoning",
        "paper, Figure 7",
    }
    assert all(all(example) for example in found.values())


def test_the_papers_pairs_differ_in_one_place_as_its_figure_shows():
    for example in figure_7().values():
        ours, theirs = example.chosen.splitlines(), example.rejected.splitlines()
        assert len(ours) == len(theirs)
        assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1
    assert LONGEST_TEXT > max(len(text) for example in figure_7().values() for text in example)
