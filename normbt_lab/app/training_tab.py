"""The Training tab: what the trainers of runs logged, Bradley-Terry beside NormBT."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.context import Context

from normbt_lab.app.explore_style import drawn, figure_place
from normbt_lab.app.messages import hint_html, problem_html
from normbt_lab.app.settings import Settings
from normbt_lab.app.training_tab_figures import weights_figure
from normbt_lab.app.training_tab_runs import Run, find_runs, first_choice, read_run, shown_names
from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.tables import percent
from normbt_lab.figures import Log, loss_and_accuracy_figure, running_mean_figure
from normbt_lab.gradients.figures import distance_percentiles_figure

LEAD = """
What trainers logged, step by step: how right the model gets, how far apart it comes to hold the answers, and what
NormBT weighs the pairs.
"""

EMPTY = """
### No run of training here yet

This tab reads the logs of the runs under `{root}`, and there is none. Two small ones are made in minutes:

```bash
make demo
```

or train your own, and look again:

```bash
normbt train --config cpu-lora --output-dir {root}/mine
```
"""

NONE_CHOSEN = "Tick a run to see its log."

MOST_SHOWN = 4
"""Runs drawn together; more lines than that nobody tells apart."""

FIGURES: dict[str, Callable[[Mapping[str, Log]], go.Figure]] = {
    "training-loss": loss_and_accuracy_figure,
    "training-distances": partial(distance_percentiles_figure, columns=1),
    "training-mean": running_mean_figure,
    "training-weights": weights_figure,
}

NOTE = (
    "Figures show each step's own pairs, so single steps jump; the table's training accuracy is the mean of the last "
    "tenth of the logs. Losses of differently weighted runs do not compare; accuracies do. The running mean is tracked "
    "under Bradley-Terry too, where it changes nothing."
)


def build_training_tab(settings: Settings) -> None:
    """The tab's content: a choice among the runs under ``settings.runs``, and what they logged.

    Args:
        settings: What the owner of the page decided.
    """
    gr.Markdown(LEAD, elem_classes="lead")
    names = find_runs(settings.runs)
    with gr.Row(elem_classes="actions"):
        chosen = gr.CheckboxGroup(
            names,
            value=first_choice(names),
            label=f"Runs, up to {MOST_SHOWN}",
            visible=bool(names),
            min_width=280,
            elem_id="training-runs",
        )
        again = gr.Button("Look again", scale=0, min_width=170, elem_id="training-again")
    empty = gr.Markdown(EMPTY.format(root=settings.runs), visible=not names, container=True)
    status = gr.HTML(elem_classes="numbers", elem_id="training-status")
    places: list[Any] = []
    for first in range(0, len(FIGURES), 2):
        with gr.Row():
            for elem_id in list(FIGURES)[first : first + 2]:
                places += figure_place(elem_id)
    drawing: dict[str, Any] = {
        "fn": partial(_draw, settings.runs),
        "inputs": chosen,
        "outputs": [status, *places],
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    chosen.input(**drawing)
    looking: dict[str, Any] = {
        "fn": partial(_look_again, settings.runs),
        "inputs": chosen,
        "outputs": [chosen, empty],
        "show_progress": "hidden",
        "api_visibility": "private",
    }
    again.click(**looking).then(**drawing)
    # Runs end while the page is served: a visitor sees those that are there when the page opens.
    if (page := Context.root_block) is not None:
        page.load(**looking).then(**drawing)


def _look_again(root: Path, chosen: Sequence[str]) -> tuple[gr.CheckboxGroup, gr.Markdown]:
    names = find_runs(root)
    kept = [name for name in chosen if name in names] or first_choice(names)
    return gr.CheckboxGroup(names, value=kept, visible=bool(names)), gr.Markdown(visible=not names)


def _draw(root: Path, chosen: Sequence[str]) -> tuple[Any, ...]:
    """The table of the chosen runs and their figures; what a run did not log is left out."""
    if not chosen:
        nothing = hint_html(NONE_CHOSEN) if find_runs(root) else ""
        return nothing, *(part for _ in FIGURES for part in drawn(None))
    runs, problems = _read(root, chosen[:MOST_SHOWN])
    if len(chosen) > MOST_SHOWN:
        problems.append(f"{len(chosen)} runs are ticked; the first {MOST_SHOWN} are shown.")
    called = shown_names([run.name for run in runs])
    history = {called[run.name]: run.log for run in runs}
    figures = [_figure(build, history) for build in FIGURES.values()]
    return (
        "".join(map(problem_html, problems)) + (runs_html(runs, called) if runs else ""),
        *(part for figure in figures for part in drawn(figure)),
    )


def _read(root: Path, names: Sequence[str]) -> tuple[list[Run], list[str]]:
    """The runs of these names, and why some could not be read."""
    runs, problems = [], []
    for name in names:
        try:
            runs.append(read_run(root, name))
        except NormBTError as error:
            problems.append(str(error))
    return runs, problems


def _figure(build: Callable[[Mapping[str, Log]], go.Figure], history: Mapping[str, Log]) -> go.Figure | None:
    """The figure, or None where no run logged what it shows."""
    try:
        return build(history)
    except NormBTError:
        return None


def runs_html(runs: Sequence[Run], called: Mapping[str, str]) -> str:
    """One row per run: how it weighed pairs, how long it trained, where it came to."""
    columns = ("run", "weights", "steps", "running mean", "training accuracy at the end", "evaluation accuracy")
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(_row(run, called[run.name]) for run in runs)
    table = f'<table class="shares"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide">{table}</div><p class="hint">{NOTE}</p>'


def _row(run: Run, called: str) -> str:
    weighting = run.state.settings.get("weighting", "unknown") if run.state else "unknown"
    mean, evaluated = run.last("running_mean"), run.last("eval_accuracy")
    accuracy = run.at_the_end("accuracy")
    cells = (
        str(weighting),
        f"{run.steps:,}",
        "none" if mean is None else f"{mean:.3g}",
        "none" if accuracy is None else percent(accuracy),
        "none" if evaluated is None else percent(evaluated),
    )
    name = called if called == run.name else f"{called} ({run.name})"
    return f'<tr><th scope="row">{html.escape(name)}</th>{"".join(f"<td>{html.escape(c)}</td>" for c in cells)}</tr>'
