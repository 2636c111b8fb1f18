"""The Explore tab: a data set scored, each pair a point to click, and all of them a table to sort."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from normbt_lab.app.explore_figures import distance_histogram, error_histogram, explore_figure
from normbt_lab.app.explore_scores import (
    MOST_EXPLORED,
    Explored,
    PairSource,
    bundled_source,
    explore_pairs,
    uploaded_source,
)
from normbt_lab.app.explore_style import drawn, figure_place
from normbt_lab.app.explore_table import (
    COLUMNS,
    VERDICTS,
    Filter,
    pair_of_index,
    reading_html,
    summary_html,
    table_rows,
    write_records,
)
from normbt_lab.app.messages import hint_html, notice_html, problem_html
from normbt_lab.app.models import Models
from normbt_lab.app.settings import LONG_WORK, Settings
from normbt_lab.data.bundled import SPLITS
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.accuracy import in_usual_order
from normbt_lab.figures import ALL
from normbt_lab.scoring import ScoredPair

logger = logging.getLogger(__name__)

LEAD = """
A whole data set through one reward model: where its pairs lie, which ones the model gets wrong, and which ones pull the
hardest. Click a point, or a row of the table, to read the pair. A file of your own needs the columns *prompt*, *chosen*
and *rejected*; a *category*, where there is one, gives the colours.
"""

NO_MODELS = "There is no reward model to explore with. The Pair tab says how to get one."

HINT = "Choose data and a model, then press Score. The Weight tab works on what you explore here."

READING_HINT = "Click a point of the figure or a row of the table to read its pair here."

UPLOAD = "a file of your own"

FILE_TYPES = [".jsonl", ".json", ".csv", ".parquet", ".gz"]

DEFAULT_PAIRS = 100

# gr.Plot tells of no click, so a hidden element listens to plotly's own and passes on the pair's index.
CLICK_BRIDGE = """
const listen = () => {
  const plot = document.querySelector("#explore-plane .js-plotly-plot");
  if (!plot || !plot.on || plot.dataset.listening) return;
  plot.dataset.listening = "yes";
  plot.on("plotly_click", (event) => {
    const pair = event.points.map((point) => point.customdata).find(Number.isInteger);
    if (pair !== undefined) trigger("click", {pair});
  });
};
new MutationObserver(listen).observe(document.body, {childList: true, subtree: true});
listen();
"""


def build_explore_tab(settings: Settings, models: Models) -> gr.State:
    """The tab's content; returns the state that holds what this visitor explored: `Explored`, or None before that."""
    explored = gr.State(None)
    gr.Markdown(LEAD, elem_classes="lead")
    if not models.names and not models.allow_more:
        gr.HTML(hint_html(NO_MODELS), elem_classes="numbers")
        return explored
    with gr.Row(elem_classes="actions"):
        data = gr.Dropdown(
            [(f"bundled: {split.replace('_', ' ')}", split) for split in SPLITS] + [(UPLOAD, UPLOAD)],
            value="test",
            label="Data",
            min_width=220,
            elem_id="explore-data",
        )
        model = gr.Dropdown(
            models.names,
            value=next(iter(models.names), None),
            label="Model",
            allow_custom_value=models.allow_more,
            min_width=180,
            elem_id="explore-model",
        )
        limit = gr.Slider(
            10, MOST_EXPLORED, DEFAULT_PAIRS, step=10, label="Pairs at most", min_width=220, elem_id="explore-limit"
        )
        score = gr.Button("Score", variant="primary", min_width=120, scale=0, elem_id="explore-score")
    upload = gr.File(
        label="JSONL, CSV or Parquet",
        file_types=FILE_TYPES,
        visible=False,
        height=140,
        elem_id="explore-upload",
    )
    status = gr.HTML(hint_html(HINT), elem_classes="numbers", elem_id="explore-status")
    with gr.Column(visible=False) as results:
        view = _View(explored)
    data.input(
        lambda chosen: gr.File(visible=chosen == UPLOAD), data, upload, api_visibility="private", show_progress="hidden"
    )
    scored = score.click(
        partial(_score, models),
        [data, upload, model, limit],
        [explored, status, results, view.categories, view.low, view.high, view.reading],
        show_progress_on=status,
        api_visibility="private",
        **LONG_WORK,
    )
    view.redraw_after(scored)
    return explored


class _View:
    """What is shown of the explored pairs: filters, figures, one pair, the table; wired among themselves."""

    def __init__(self, explored: gr.State) -> None:
        self.explored = explored
        self.summary = gr.HTML(elem_classes="numbers", elem_id="explore-summary")
        with gr.Row():
            self.categories = gr.CheckboxGroup(label="Categories", scale=3, min_width=280, elem_id="explore-categories")
            self.verdict = gr.Radio(
                VERDICTS, value=VERDICTS[0], label="Ranked", scale=2, min_width=240, elem_id="explore-verdict"
            )
            self.low = gr.Number(label="Distance from", minimum=0, min_width=110, elem_id="explore-low")
            self.high = gr.Number(label="to", minimum=0, min_width=110, elem_id="explore-high")
        with gr.Row():
            self.places: list[Any] = [*figure_place("explore-plane", scale=5)]
            with gr.Column(scale=4, min_width=320, elem_classes="beside"):
                self.reading = gr.HTML(hint_html(READING_HINT), elem_classes="numbers", elem_id="explore-reading")
        with gr.Row():
            self.places += figure_place("explore-distances")
            self.places += figure_place("explore-errors")
        self.table = gr.Dataframe(
            headers=list(COLUMNS),
            datatype=["number", "str", "str", "number", "number", "number", "number", "str"],
            column_widths=["70px", "110px", "90px", "90px", "100px", "90px", "90px", "560px"],
            interactive=False,
            max_height=420,
            label="The pairs shown, the hardest pull first; the ⋮ of a heading sorts",
            elem_id="explore-table",
        )
        self.download = gr.DownloadButton("Download the scored records", scale=0, elem_id="explore-download")
        self._wire()

    def redraw_after(self, event: Any) -> None:
        """Draw anew, and offer the records, once this event is over."""
        event.then(**self._redrawing()).then(
            self._offer_records, self.explored, self.download, show_progress="hidden", api_visibility="private"
        )

    def _wire(self) -> None:
        filters = (self.categories, self.verdict, self.low, self.high)
        gr.on([part.input for part in filters], trigger_mode="always_last", **self._redrawing())
        bridge = gr.HTML("", js_on_load=CLICK_BRIDGE, visible="hidden")
        for listener, fn in ((bridge.click, _read_point), (self.table.select, _read_row)):
            listener(fn, self.explored, self.reading, show_progress="hidden", api_visibility="private")

    def _redrawing(self) -> dict[str, Any]:
        return {
            "fn": _draw,
            "inputs": [self.explored, self.categories, self.verdict, self.low, self.high],
            "outputs": [self.summary, *self.places, self.table],
            "show_progress": "hidden",
            "api_visibility": "private",
        }

    def _offer_records(self, explored: Explored | None) -> gr.DownloadButton:
        if explored is None:
            return gr.DownloadButton()
        # In Gradio's own folder for files, which it serves from and cleans; the name in between nobody can guess.
        folder = Path(self.download.GRADIO_CACHE) / secrets.token_hex(16)
        folder.mkdir(parents=True)
        return gr.DownloadButton(value=write_records(explored, folder))


def _score(
    models: Models,
    data: str,
    upload: str | None,
    model: str,
    limit: float,
    progress: gr.Progress = gr.Progress(),  # noqa: B008, how Gradio knows that the function wants one
) -> tuple[Any, ...]:
    """The explored pairs and what to say of them; after a failure what was explored before stays."""
    try:
        source = _source(data, upload, int(limit))
        progress(0, desc=f"Loading {model}")
        explored = explore_pairs(
            model,
            partial(models.use, model),
            source,
            lambda done, total: progress((done, total), desc="Scoring", unit="pairs"),
        )
    except NormBTError as error:
        return _unchanged(problem_html(str(error)))
    except Exception as error:
        # The page must go on, whatever a model folder or a file holds; the log has the rest.
        logger.exception("%s could not be explored", data)
        return _unchanged(problem_html(f"It failed ({type(error).__name__}). The log of the server has the details."))
    categories = in_usual_order({pair.category or ALL for pair in explored.scored})
    return (
        explored,
        "".join(map(notice_html, explored.notices)),
        gr.Column(visible=True),
        gr.CheckboxGroup(categories, value=categories),
        None,
        None,
        hint_html(READING_HINT),
    )


def _unchanged(status: str) -> tuple[Any, ...]:
    return gr.skip(), status, *(gr.skip() for _ in range(5))


def _source(data: str, upload: str | None, limit: int) -> PairSource:
    if data != UPLOAD:
        return bundled_source(data, limit)
    if upload is None:
        raise UsageError("There is no file yet: drop one above and wait until it has arrived, or choose bundled data.")
    return uploaded_source(upload, limit)


def _draw(
    explored: Explored | None, categories: Sequence[str], verdict: str, low: float | None, high: float | None
) -> tuple[Any, ...]:
    if explored is None:
        return "", *(part for _ in range(3) for part in drawn(None)), []
    chosen = Filter(categories, verdict, low, high)
    shown = [pair for pair in explored.scored if chosen.keeps(pair)]
    figures = [_figure(build, shown) for build in (explore_figure, distance_histogram, error_histogram)]
    return (
        summary_html(explored, shown),
        *(part for figure in figures for part in drawn(figure)),
        table_rows(shown),
    )


def _figure(build: Callable[[Sequence[ScoredPair]], go.Figure], shown: Sequence[ScoredPair]) -> go.Figure | None:
    """The figure, or None where the filters leave nothing that it could show."""
    try:
        return build(shown)
    except NormBTError:
        return None


def _read_point(explored: Explored | None, event: gr.EventData) -> str:
    return _read(explored, event.pair)


def _read_row(explored: Explored | None, event: gr.SelectData) -> str:
    return _read(explored, int(event.row_value[0]))


def _read(explored: Explored | None, index: int) -> str:
    if explored is None:
        return hint_html(READING_HINT)
    try:
        return reading_html(pair_of_index(explored, index))
    except NormBTError as error:
        return problem_html(str(error))
