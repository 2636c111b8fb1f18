"""The Training tab: runs found under a folder, what their logs become, and the page with and without any."""

import json

import pytest
from app_server import needs_browser, screenshot, serving, tiny_reward_models, visiting

from normbt_lab.app.training_tab import FIGURES, runs_html
from normbt_lab.app.training_tab_figures import weights_figure
from normbt_lab.app.training_tab_runs import find_runs, read_run, shown_names
from normbt_lab.errors import NormBTError
from normbt_lab.state import NormBTState
from normbt_lab.training import train_from_arguments


def records(steps=12, weight=1.0):
    """Logs as the trainer writes them, with distances that grow by one each step."""
    return [
        {
            "step": step,
            "loss": 0.7 - 0.01 * step,
            "accuracy": 0.5 + 0.01 * step,
            "running_mean": 4.0 + 0.5 * step,
            "distance_mean": 4.0 + step,
            "distance_p10": 1.0 + step,
            "distance_p25": 2.0 + step,
            "distance_p75": 6.0 + step,
            "distance_p90": 8.0 + step,
            "weight_mean": weight,
            "weight_max": weight * step,
        }
        for step in range(1, steps + 1)
    ]


def write_run(folder, log=None, weighting="uniform"):
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": records() if log is None else log}))
    NormBTState(10.0, 12, settings={"weighting": weighting}).write(folder)
    return folder


@pytest.fixture
def root(tmp_path):
    write_run(tmp_path / "runs" / "demo" / "bt")
    write_run(tmp_path / "runs" / "demo" / "normbt", records(weight=2.0), "normbt")
    return tmp_path / "runs"


def test_a_run_is_a_folder_with_a_trainers_log_and_the_newest_checkpoint_speaks_for_one_without(root):
    write_run(root / "mine" / "checkpoint-2", records(2))
    write_run(root / "mine" / "checkpoint-10", records(10))
    (root / "no run").mkdir()
    write_run(root / ".hidden")
    assert sorted(find_runs(root)) == ["demo/bt", "demo/normbt", "mine"]
    assert read_run(root, "mine").steps == 10
    assert find_runs(root / "nothing here") == []


def test_only_what_lies_under_the_folder_is_read(root, tmp_path):
    write_run(tmp_path / "elsewhere")
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "demo", ""):
        with pytest.raises(NormBTError, match="look again"):
            read_run(root, name)


def test_a_damaged_log_is_named(root):
    (root / "demo" / "bt" / "trainer_state.json").write_text('{"log_history": [')
    with pytest.raises(NormBTError, match="demo/bt cannot be read"):
        read_run(root, "demo/bt")


def test_the_table_says_where_each_run_came_to(root):
    runs = [read_run(root, name) for name in ("demo/bt", "demo/normbt")]
    assert runs[0].at_the_end("accuracy") == pytest.approx(0.62)  # a tenth of 12 logs is the last one
    assert runs[0].last("eval_accuracy") is None
    table = runs_html(runs, shown_names([run.name for run in runs]))
    assert "BT (demo/bt)" in table and "NormBT (demo/normbt)" in table
    assert "<td>normbt</td><td>12</td><td>10</td><td>62.0 %</td><td>none</td>" in table  # 4 + 0.5 * 12 = 10


def test_names_of_folders_are_shown_and_never_read_as_html(root):
    write_run(root / "<b>x")
    run = read_run(root, "<b>x")
    assert "<b>" not in runs_html([run], shown_names([run.name]))


def test_runs_keep_their_colours_and_the_largest_weight_is_in_the_title():
    figure = weights_figure({"BT": records(3), "NormBT": records(3, weight=2.0)})
    assert {trace.line.color for trace in figure.data if trace.name.startswith("BT")} == {"#d55e00"}
    assert figure.layout.title.text == "The largest weight of a pair is 3 under BT and 6 under NormBT"


def test_what_a_run_did_not_log_is_no_figure():
    plain = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6}]
    for name in ("training-mean", "training-distances", "training-weights"):
        with pytest.raises(NormBTError, match="NormBTTrainer"):
            FIGURES[name]({"other": plain})


def test_a_real_run_fills_every_figure(tmp_path):
    rows = [{"prompt": f"Say {i}", "chosen": f"{i}", "rejected": f"not {i + 1}"} for i in range(4)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    train_from_arguments(
        dict(
            model="tiny-random",
            train_data=str(tmp_path / "pairs.jsonl"),
            output_dir=str(tmp_path / "runs" / "normbt"),
            adapter="head",
            max_steps=2,
            logging_steps=1,
            disable_tqdm=True,
        )
    )
    assert find_runs(tmp_path / "runs") == ["normbt"]
    run = read_run(tmp_path / "runs", "normbt")
    assert run.steps == 2 and run.state.settings["weighting"] == "normbt"
    for build in FIGURES.values():
        assert build({"NormBT": run.log}).data


# In a browser


@needs_browser
def test_a_person_sees_two_runs_side_by_side_and_a_page_without_runs_says_how_to_make_one(root, tmp_path):
    folders = tiny_reward_models(tmp_path / "models")
    with serving("--model", folders["bt"], folder=tmp_path) as address:
        with visiting(address) as page:
            page.set_default_timeout(120_000)
            page.get_by_role("tab", name="Training").click()
            page.locator("#training-weights .js-plotly-plot").wait_for()
            assert "NormBT (demo/normbt)" in page.locator("#training-status").inner_text()
            screenshot(page, "training-1280-light")
            page.locator("#training-runs label", has_text="demo/bt").click()
            page.locator("#training-status", has_not_text="demo/bt").wait_for()
            for run in (root / "demo").iterdir():
                (run / "trainer_state.json").unlink()
            page.locator("#training-again").click()
            page.get_by_text("No run of training here yet").wait_for()
            page.locator("#training-weights").wait_for(state="hidden")
