"""Layout and wiring of the page; what it shows is computed by ``reading``, ``table`` and ``plane``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from normbt_lab.app.messages import problem_html
from normbt_lab.app.models import Models
from normbt_lab.app.plane import plane_figure
from normbt_lab.app.reading import Reading, checked_pair, read_pair
from normbt_lab.app.settings import LONGEST_TEXT, SCORING, Settings
from normbt_lab.app.table import readings_html
from normbt_lab.data.bundled import CATEGORIES, load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.errors import NormBTError, UsageError

logger = logging.getLogger(__name__)

NO_MODELS = """
### There is no reward model here yet

`make demo` trains two small ones in minutes, one with Bradley-Terry and one with NormBT. Start this page again when it
is done, and they are here, side by side.

With a model of your own, a folder or a Hugging Face id:

```bash
normbt app --model runs/mine
normbt app --model runs/bt --model runs/normbt
```
"""

HINT = '<p class="hint">Choose an example, or write a pair and press Score. The first score loads the models.</p>'


def build_pair_tab(settings: Settings, models: Models) -> None:
    """The tab for single pairs; without models, it says how to get them."""
    if models.names:
        _add_pair_view(models)
    else:
        gr.Markdown(NO_MODELS, container=True)
    _add_api(models)


def _add_pair_view(models: Models) -> None:
    examples = bundled_examples()
    *_, first = examples.values()
    prompt = gr.Textbox(first[0], label="Prompt", lines=2, max_lines=10)
    with gr.Row():
        chosen = gr.Textbox(
            first[1], label="Chosen answer", lines=5, max_lines=16, min_width=280, elem_classes="answer"
        )
        rejected = gr.Textbox(
            first[2], label="Rejected answer", lines=5, max_lines=16, min_width=280, elem_classes="answer"
        )
    with gr.Row(elem_classes="actions"):
        names = gr.CheckboxGroup(
            models.names, value=models.names[:2], label="Models, one or two", scale=2, min_width=280
        )
        swap = gr.Button("Swap the answers", min_width=140)
        score = gr.Button("Score", variant="primary", min_width=140)
    loader = gr.Examples(
        list(examples.values()),
        [prompt, chosen, rejected],
        label="Examples, one of each kind",
        example_labels=list(examples),
        api_visibility="private",
    )
    gr.Markdown(
        f"Shift+Enter in a text scores too. Each text may have {LONGEST_TEXT:,} characters.", elem_classes="hint"
    )
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            numbers = gr.HTML(HINT, elem_classes="numbers")
        with gr.Column(scale=4, min_width=320, elem_classes="beside"):
            plane = gr.Plot(show_label=False, visible=False, elem_classes="figure", container=False)

    def show(prompt: str, chosen: str, rejected: str, names: list[str]) -> tuple[str, gr.Plot]:
        numbers, figure = pair_view(models, prompt, chosen, rejected, names)
        return numbers, gr.Plot(figure, visible=figure is not None)

    shown: dict[str, Any] = {
        "fn": show,
        "inputs": [prompt, chosen, rejected, names],
        "outputs": [numbers, plane],
        "api_visibility": "private",
        **SCORING,
    }
    for text in (prompt, chosen, rejected):
        text.submit(**shown)
    score.click(**shown)
    loader.load_input_event.then(**shown)
    swap.click(_swap, [chosen, rejected], [chosen, rejected], api_visibility="private").then(**shown)


def bundled_examples() -> dict[str, list[str]]:
    """Label -> prompt, chosen, rejected: the shortest bundled pair of each kind, of those that no demo trains on."""
    shortest: dict[str, PreferencePair] = {}
    for category in CATEGORIES:
        for pair in sorted(load_bundled_pairs("test", category), key=_length):
            shortest.setdefault(f"{category}: {pair.row['subset']}", pair)
    return {label: [str(pair.prompt), str(pair.chosen), str(pair.rejected)] for label, pair in shortest.items()}


def _length(pair: PreferencePair) -> int:
    return len(f"{pair.prompt}{pair.chosen}{pair.rejected}")


def _swap(chosen: str, rejected: str) -> tuple[str, str]:
    return rejected, chosen


def pair_view(
    models: Models, prompt: str, chosen: str, rejected: str, names: Sequence[str]
) -> tuple[str, go.Figure | None]:
    """What the page shows of a pair: the numbers as HTML, or what is wrong, and the figure where there is one.

    Args:
        models: Name -> folder or hub id of all models of the page.
        prompt: What the answers respond to.
        chosen: The preferred answer.
        rejected: The other one.
        names: The models to ask, one or two.
    """
    try:
        pair = checked_pair(prompt, chosen, rejected)
        if not 1 <= len(names) <= 2:
            raise UsageError(f"{len(names) or 'No'} models are ticked. Tick one, or two to compare.")
    except NormBTError as error:
        return problem_html(str(error)), None
    readings, failures = _read_with_each(models, names, pair)
    colors = {name: models.color(name) for name in names}
    return readings_html(readings, failures, colors), plane_figure(readings, colors)


def _read_with_each(models: Models, names: Sequence[str], pair: PreferencePair) -> tuple[list[Reading], dict[str, str]]:
    """What each model makes of the pair; those that cannot read it, with the reason."""
    readings, failures = [], {}
    for name in names:
        try:
            with models.use(name) as reward_model:
                readings.append(read_pair(name, reward_model, pair))
        except NormBTError as error:
            failures[name] = str(error)
        except Exception as error:
            # The page must go on, whatever a model folder holds; the log has the rest.
            logger.exception("%s could not read a pair", name)
            failures[name] = f"It failed ({type(error).__name__}). The log of the server has the details."
    return readings, failures


def _add_api(models: Models) -> None:
    """The same numbers for programs, at ``/score_pair``."""

    def score_pair(prompt: str, chosen: str, rejected: str, model_names: list[str] | None = None) -> list[dict]:
        """One record of numbers per model for a prompt and two answers, like a line of `normbt score`.

        Besides the fields of a scored record, each has `model`, `update_bradley_terry` and `update_normbt` (size of the
        pair's gradient at the score head), `why_no_weight` and `notices`.

            from gradio_client import Client

            client = Client("http://127.0.0.1:7860")
            client.predict("What is 2 + 2?", "4", "5", ["NormBT"], api_name="/score_pair")[0]["reward_difference"]

        Args:
            prompt: What the answers respond to.
            chosen: The preferred answer.
            rejected: The other one.
            model_names: Names of models as the page shows them; all of them when left out.
        """
        try:
            names = models.names if model_names is None else model_names
            if not names:
                raise UsageError("no reward model to score with: start with make demo, or normbt app --model DIR")
                readings, failures = _read_with_each(models, names, checked_pair(prompt, chosen, rejected))
        except NormBTError as error:
            raise gr.Error(str(error), print_exception=False) from error
        if failures:
            message = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
            raise gr.Error(message, print_exception=False)
        return [reading.to_json() for reading in readings]

    gr.api(score_pair, api_name="score_pair", **SCORING)
