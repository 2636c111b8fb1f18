"""The Explore tab: a data set scored, each pair a point to click, and all of them a table to sort."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
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
    explore_in_steps,
    uploaded_source,
)
from normbt_lab.app.explore_style import drawn, figure_place
from normbt_lab.app.explore_table import (
    COLUMNS,
    ORDERS,
    VERDICTS,
    Filter,
    in_order,
    neighbour,
    place_html,
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
from normbt_lab.evaluation.groups import grouped
from normbt_lab.scoring import ScoredPair

logger = logging.getLogger(__name__)

LEAD = """
A whole data set through one reward model: where its pairs lie, which ones the model gets wrong, and which ones pull the
hardest. Click a point, or a row of the table, to read the pair; *Previous* and *Next* walk through the pairs in the
order you choose, and so do the arrow keys ← and → on these buttons. A file of your own needs the columns *prompt*,
*chosen* and *rejected*; a *category*, where there is one, gives the colours.
"""

NO_MODELS = "There is no reward model to explore with. The Pair tab says how to get one."

HINT = "Choose data and a model, then press Score. The Weight tab works on what you explore here."

NONE_SHOWN = "No pair is shown. Widen the filters to read some here."

STOPPED = "Stopped after {done} of {total} pairs, of which nothing is kept: long pairs come first, so they say little."

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

# The arrow keys press the buttons, so that both ways do the same. They do so only while one of the two has the focus:
# everywhere else these keys scroll, or move a cursor.
ARROW_KEYS = """
document.addEventListener("keydown", (event) => {
  const button = {ArrowLeft: "#explore-previous", ArrowRight: "#explore-next"}[event.key];
  if (!button || !event.target.closest("#explore-previous, #explore-next")) return;
  event.preventDefault();
  document.querySelector(button).focus();
  document.querySelector(button).click();
});
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
        stop = gr.Button("Stop", interactive=False, min_width=90, scale=0, elem_id="explore-stop")
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
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    scoring = _Scoring(models)
    begun = score.click(scoring.begin, None, [score, stop], queue=False, **quiet)
    scored = begun.then(
        scoring.score,
        [data, upload, model, limit],
        [explored, status, results, view.categories, view.low, view.high, view.current],
        show_progress_on=status,
        api_visibility="private",
        **LONG_WORK,
    )
    stop.click(scoring.stop, None, stop, queue=False, **quiet)
    scored.then(_buttons, None, [score, stop], queue=False, **quiet)
    view.redraw_after(scored)
    return explored


class _View:
    """What is shown of the explored pairs: filters, figures, one pair, the table; wired among themselves."""

    def __init__(self, explored: gr.State) -> None:
        self.explored = explored
        self.current = gr.State(None)  # index of the pair that is read
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
                self.order = gr.Dropdown(list(ORDERS), label="Order of reading and table", elem_id="explore-order")
                with gr.Row(elem_classes="steps"):
                    self.previous = gr.Button("← Previous", size="sm", min_width=90, elem_id="explore-previous")
                    self.place = gr.HTML(elem_classes="place", elem_id="explore-place", min_width=90)
                    self.next = gr.Button("Next →", size="sm", min_width=90, elem_id="explore-next")
                self.reading = gr.HTML(elem_classes="numbers", elem_id="explore-reading")
        with gr.Row():
            self.places += figure_place("explore-distances")
            self.places += figure_place("explore-errors")
        self.table = gr.Dataframe(
            headers=list(COLUMNS),
            datatype=["number", "str", "str", *["number"] * 5, "str"],
            column_widths=["70px", "110px", "90px", "110px", "90px", "100px", "90px", "90px", "480px"],
            interactive=False,
            max_height=420,
            label="The pairs shown, in the order chosen above",
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
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        gr.on([part.input for part in self._filters], trigger_mode="always_last", **self._redrawing())
        self.order.input(_sort, self._shown, [self.table, *self._read], **quiet)
        bridge = gr.HTML("", js_on_load=CLICK_BRIDGE, visible="hidden")
        gr.HTML("", js_on_load=ARROW_KEYS, visible="hidden")
        for listener, fn in ((bridge.click, _read_point), (self.table.select, _read_row)):
            listener(fn, self._shown, self._read, **quiet)
        for button, step in ((self.previous, -1), (self.next, 1)):
            # A key held down sends more steps than can be shown: then the last one counts.
            button.click(
                partial(_step, step), [*self._shown, self.current], self._read, trigger_mode="always_last", **quiet
            )

    @property
    def _filters(self) -> list[Any]:
        return [self.categories, self.verdict, self.low, self.high]

    @property
    def _shown(self) -> list[Any]:
        """What `_shown_pairs` takes."""
        return [self.explored, *self._filters, self.order]

    @property
    def _read(self) -> list[Any]:
        """What `_reading` gives."""
        return [self.reading, self.place, self.current]

    def _redrawing(self) -> dict[str, Any]:
        return {
            "fn": _draw,
            "inputs": [*self._shown, self.current],
            "outputs": [self.summary, *self.places, self.table, *self._read],
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


class _Scoring:
    """The data sets that visitors score; each visitor can stop their own.

    Gradio's own way to cancel an event closes the generator too, but what the event had sent before is still on its way
    and would be shown after the word that it was stopped.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._stopped: set[str | None] = set()  # sessions that asked for it

    def begin(self, request: gr.Request) -> tuple[gr.Button, gr.Button]:
        """Score cannot be pressed again meanwhile, Stop can."""
        self._stopped.discard(request.session_hash)
        return gr.Button(interactive=False), gr.Button(interactive=True)

    def stop(self, request: gr.Request) -> gr.Button:
        """Ask for it: the batch that is being computed is the last one."""
        self._stopped.add(request.session_hash)
        return gr.Button("Stopping", interactive=False)

    def score(
        self, data: str, upload: str | None, model: str, limit: float, request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """How far it is, then the explored pairs; stopped or after a failure, what was explored before stays."""
        try:
            source = _source(data, upload, int(limit))
            yield _unchanged(hint_html(f"Loading {model}"))
            for found in explore_in_steps(model, partial(self._models.use, model), source):
                if isinstance(found, Explored):
                    yield _explored(found)
                elif request.session_hash in self._stopped:
                    yield _unchanged(hint_html(STOPPED.format(**found._asdict())))
                    return
                else:
                    yield _unchanged(hint_html(f"Scoring with {model}: {found.done} of {found.total} pairs"))
        except NormBTError as error:
            yield _unchanged(problem_html(str(error)))
        except Exception as error:
            # The page must go on, whatever a model folder or a file holds; the log has the rest.
            logger.exception("%s could not be explored", data)
            yield _unchanged(
                problem_html(f"It failed ({type(error).__name__}). The log of the server has the details.")
            )


def _explored(explored: Explored) -> tuple[Any, ...]:
    categories = list(grouped(explored.scored, lambda pair: pair.category))
    return (
        explored,
        "".join(map(notice_html, explored.notices)),
        gr.Column(visible=True),
        gr.CheckboxGroup(categories, value=categories),
        None,
        None,
        None,
    )


def _unchanged(status: str) -> tuple[Any, ...]:
    return gr.skip(), status, *(gr.skip() for _ in range(5))


def _buttons() -> tuple[gr.Button, gr.Button]:
    """Score and Stop while nothing is scored."""
    return gr.Button(interactive=True), gr.Button("Stop", interactive=False)


def _source(data: str, upload: str | None, limit: int) -> PairSource:
    if data != UPLOAD:
        return bundled_source(data, limit)
    if upload is None:
        raise UsageError("There is no file yet: drop one above and wait until it has arrived, or choose bundled data.")
    return uploaded_source(upload, limit)


def _shown_pairs(
    explored: Explored | None,
    categories: Sequence[str],
    verdict: str,
    low: float | None,
    high: float | None,
    order: str,
) -> list[ScoredPair]:
    """The pairs that the filters keep, in the chosen order."""
    chosen = Filter(categories, verdict, low, high)
    return in_order([pair for pair in explored.scored if chosen.keeps(pair)] if explored else [], order)


def _draw(explored: Explored | None, *rest: Any) -> tuple[Any, ...]:
    *filters, current = rest
    if explored is None:
        return "", *(part for _ in range(3) for part in drawn(None)), [], *_reading([], None)
    shown = _shown_pairs(explored, *filters)
    figures = [_figure(build, shown) for build in (explore_figure, distance_histogram, error_histogram)]
    return (
        summary_html(explored, shown),
        *(part for figure in figures for part in drawn(figure)),
        table_rows(shown),
        *_reading(shown, current),
    )


def _figure(build: Callable[[Sequence[ScoredPair]], go.Figure], shown: Sequence[ScoredPair]) -> go.Figure | None:
    """The figure, or None where the filters leave nothing that it could show."""
    try:
        return build(shown)
    except NormBTError:
        return None


def _sort(*filters: Any) -> tuple[Any, ...]:
    """The table and the reading from the first pair on, in a newly chosen order."""
    shown = _shown_pairs(*filters)
    return table_rows(shown), *_reading(shown, None)


def _step(step: int, *rest: Any) -> tuple[str, str, int | None]:
    *filters, current = rest
    return _reading(_shown_pairs(*filters), current, step)


def _read_point(event: gr.EventData, *filters: Any) -> tuple[str, str, int | None]:
    return _clicked(_shown_pairs(*filters), event.pair)


def _read_row(event: gr.SelectData, *filters: Any) -> tuple[str, str, int | None]:
    return _clicked(_shown_pairs(*filters), int(event.row_value[0]))


def _clicked(shown: Sequence[ScoredPair], index: int) -> tuple[str, str, int | None]:
    if any(pair.index == index for pair in shown):
        return _reading(shown, index)
    return problem_html(f"Pair {index} is not shown any more: the figure you clicked was an older one."), "", None


def _reading(shown: Sequence[ScoredPair], index: int | None, step: int = 0) -> tuple[str, str, int | None]:
    """A pair to read, where it stands among those shown, and its index; the first one where this one is not shown."""
    pair = neighbour(shown, index, step)
    if pair is None:
        return hint_html(NONE_SHOWN), "", None
    return reading_html(pair), place_html(shown.index(pair) + 1, len(shown)), pair.index
