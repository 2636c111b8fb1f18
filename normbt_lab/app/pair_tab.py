"""The tab for single pairs: layout and wiring; what it shows is computed by the modules it imports."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr

from normbt_lab.app.address import COPY_ADDRESS, READ_ADDRESS, WRITE_ADDRESS, Address
from normbt_lab.app.cards import FILL_ADDRESS, SAVE_MARKDOWN, SAVE_PICTURE, card_markdown, card_svg
from normbt_lab.app.exact import gradient_by_layer_figure, measure_pair, measured_html
from normbt_lab.app.examples import examples
from normbt_lab.app.explore_style import drawn, figure_place
from normbt_lab.app.messages import hint_html, notice_html, problem_html
from normbt_lab.app.models import Models
from normbt_lab.app.pair_view import PairView, view_pair
from normbt_lab.app.plane import plane_figure
from normbt_lab.app.reference import REFERENCE_PAIRS, ReferencePoints
from normbt_lab.app.settings import BACKGROUND_WORK, LONGEST_TEXT, SCORING
from normbt_lab.app.table import table_html, verdicts_html
from normbt_lab.app.token_diff import token_diff_html
from normbt_lab.app.trace_figures import along_tokens_figure, by_layer_figure
from normbt_lab.errors import NormBTError

logger = logging.getLogger(__name__)

NO_MODELS = """
### There is no reward model here yet

`make demo` trains two small ones in minutes, one with Bradley-Terry and one with NormBT. Start this page again when it
is done, and they are here, side by side.

With a model of your own, a folder or a Hugging Face id:

```bash
normbt app --model runs/mine
normbt app --model runs/bt --compare runs/normbt
```
"""

PLANE_HINT = """
#### How hard the pair pulls

A pair's Bradley-Terry update is its height times its distance; NormBT keeps the height alone. Edit an answer and score
again: the path shows where it came from.
"""

WHERE_HINT = """
#### Where the answers differ

As the first model's tokens. Hover over one to see what the score head says there.
"""

NUMBERS_HINT = "#### Every number, and what it says"

ALONG_HINT = """
#### Along the tokens

What the score head says at each token once the answers part. Only the last value of a line is the reward: the head was
trained there alone, so the way to it is a hint, not a verdict.
"""

LAYER_HINT = """
#### Layer by layer

How far apart the two answers lie after each layer, where their rewards are read. The last point is the distance in the
loss, relative to the length of the vectors.
"""

EXACT_HINT = """
#### The exact gradient

The distance above stands for the gradient of the score head. Over all that training moves, the gradient of the reward
difference takes a backward pass to know (paper eq. 2): a few seconds.
"""

TAKE_HINT = """
#### Take it with you

The address of this page holds the pair and the models, so the link reopens it. The card is for a lecture or an issue.
"""

FIRST = "reasoning: code"
"""The example that the page opens with: two short functions that one token sets apart."""

NOTHING = ("none", "")
"""The choice to compare with no second model."""


def build_pair_tab(demo: gr.Blocks, models: Models) -> None:
    """The tab for single pairs; without models, it says how to get them.

    Args:
        demo: The page that is being built; when it opens, its address is read.
        models: Those of the page.
    """
    if models.names or models.allow_more:
        PairTab(demo, models)
    else:
        gr.Markdown(NO_MODELS, container=True)


class PairTab:
    """The components of the tab, from top to bottom, and what happens when they are used."""

    def __init__(self, demo: gr.Blocks, models: Models) -> None:
        self.models = models
        self.reference = ReferencePoints(models)
        self.shown = gr.State()  # of this visitor alone: a PairView, None before the first score
        self.counted = gr.State(0)
        self.address = gr.Textbox(visible=False)
        self._add_inputs()
        with gr.Column(visible=False) as self.results:
            self._add_results()
        self._wire(demo)

    # ---- layout

    def _add_inputs(self) -> None:
        pairs = examples()
        first = pairs[FIRST]
        self.prompt = gr.Textbox(
            first.prompt, label="Prompt", lines=2, max_lines=10, elem_id="pair-prompt", render=False
        )
        self.chosen = _answer("chosen", first.chosen)
        self.rejected = _answer("rejected", first.rejected)
        self.loader = gr.Examples(
            [list(example) for example in pairs.values()],
            [self.prompt, self.chosen, self.rejected],
            label="Examples: one of each kind, and the paper's close pairs",
            example_labels=list(pairs),
            examples_per_page=len(pairs),
            api_visibility="private",
        )
        self.prompt.render()
        with gr.Row():
            self.chosen.render()
            self.rejected.render()
        names, allow_more = self.models.names, self.models.allow_more
        info = "or a folder or Hugging Face id of your own" if allow_more else None
        second = names[1] if len(names) > 1 else ""
        with gr.Row(elem_classes="actions"):
            self.model = gr.Dropdown(
                names,
                value=names[0] if names else None,
                label="Model",
                info=info,
                allow_custom_value=allow_more,
                min_width=200,
                elem_id="pair-model",
            )
            self.compare = gr.Dropdown(
                [NOTHING, *((name, name) for name in names)],
                value=second,
                label="Beside it",
                info=info,
                allow_custom_value=allow_more,
                min_width=200,
                visible=allow_more or len(names) > 1,
                elem_id="pair-compare",
            )
            self.swap = gr.Button("Swap the answers", min_width=140, elem_id="pair-swap")
            self.score = gr.Button("Score", variant="primary", min_width=140, elem_id="pair-score")
        gr.Markdown(
            f"Shift+Enter in a text scores too. Of each text, the first {LONGEST_TEXT:,} characters are read.",
            elem_classes="hint",
        )
        self.remark = gr.HTML(elem_classes="numbers", elem_id="pair-remark")
        self.message = gr.HTML(
            hint_html("Choose an example, or write a pair and press Score. The first score loads the models."),
            elem_classes="numbers",
            elem_id="pair-message",
        )

    def _add_results(self) -> None:
        gr.Markdown(PLANE_HINT, elem_classes="lead")
        self.planes: list[tuple[gr.HTML, gr.Plot]] = []
        with gr.Row(elem_classes="side-by-side"):
            for number in (1, 2):
                with gr.Column(min_width=320):
                    self.planes.append(figure_place(f"pair-plane-{number}"))
        self.progress = gr.HTML(elem_classes="numbers", elem_id="pair-progress")
        gr.Markdown(WHERE_HINT, elem_classes="lead")
        self.diff = gr.HTML(elem_classes="numbers", elem_id="pair-diff")
        with gr.Row(elem_classes="side-by-side"):
            with gr.Column(scale=5, min_width=320):
                gr.Markdown(NUMBERS_HINT)
                self.numbers = gr.HTML(elem_classes="numbers", elem_id="pair-numbers")
            with gr.Column(scale=5, min_width=320):
                gr.Markdown(ALONG_HINT, elem_classes="lead")
                self.along = figure_place("pair-along")
                gr.Markdown(LAYER_HINT, elem_classes="lead")
                self.layers = figure_place("pair-layers")
        gr.Markdown(EXACT_HINT, elem_classes="lead")
        self.measure = gr.Button("Measure the exact gradient", elem_id="pair-measure", elem_classes="narrow")
        self.exact = gr.HTML(elem_classes="numbers", elem_id="pair-exact")
        self.exact_figure = figure_place("pair-exact-figure")
        gr.Markdown(TAKE_HINT, elem_classes="lead")
        with gr.Row(elem_classes="actions"):
            self.link = gr.Button("Copy the link", min_width=140, elem_id="pair-link")
            self.picture = gr.Button("Save as PNG", min_width=140, elem_id="pair-png")
            self.markdown = gr.Button("Save as Markdown", min_width=140, elem_id="pair-markdown")
        self.card = gr.HTML(elem_id="pair-card", elem_classes="card")
        self.text = gr.Textbox(
            label="As Markdown", lines=4, max_lines=12, buttons=["copy"], interactive=False, elem_id="pair-text"
        )

    # ---- wiring

    def _wire(self, demo: gr.Blocks) -> None:
        private: dict[str, Any] = {"api_visibility": "private"}
        pair = [self.prompt, self.chosen, self.rejected, self.model, self.compare]
        scoring: dict[str, Any] = {
            "fn": self.show,
            "inputs": [*pair, self.shown],
            "outputs": self._shown_parts,
            "show_progress_on": [self.message],
            **private,
            **SCORING,
        }
        opened = demo.load(self._open, self.address, [*pair, self.remark], js=READ_ADDRESS, **private)
        swapped = self.swap.click(_swap, [self.chosen, self.rejected], [self.chosen, self.rejected], **private)
        pressed = [self.score.click, *(text.submit for text in (self.prompt, self.chosen, self.rejected))]
        scored = [
            gr.on(pressed, **scoring),
            *(event.then(**scoring) for event in (opened, swapped, self.loader.load_input_event)),
        ]
        for event in scored:
            event.then(None, pair, None, js=WRITE_ADDRESS, **private).then(
                None, self.text, self.text, js=FILL_ADDRESS, **private
            ).then(
                self._count,
                [self.shown, self.counted],
                [self.progress, self.counted],
                trigger_mode="multiple",
                show_progress="hidden",
                **private,
                **BACKGROUND_WORK,
            )
        self.counted.change(self._draw_planes, self.shown, _parts(*self.planes), show_progress="hidden", **private)
        self.measure.click(
            self._measure,
            self.shown,
            [self.exact, *_parts(self.exact_figure)],
            show_progress_on=[self.exact],
            **private,
            **SCORING,
        )
        self.link.click(None, None, None, js=COPY_ADDRESS, **private)
        self.picture.click(None, None, None, js=SAVE_PICTURE, **private)
        self.markdown.click(None, self.text, None, js=SAVE_MARKDOWN, **private)

    @property
    def _shown_parts(self) -> list[Any]:
        """What a score changes, in the order in which `show` gives it."""
        return [
            self.shown,
            self.message,
            self.remark,
            self.results,
            self.diff,
            self.numbers,
            self.card,
            self.text,
            self.exact,
            *_parts(*self.planes, self.along, self.layers, self.exact_figure),
        ]

    # ---- events

    def _open(self, fragment: str) -> list[Any]:
        """What the address of the page says; a model that is not here is named, and the page's own stays."""
        given = Address.parsed(fragment or "")
        texts = [gr.skip() if text is None else text for text in (given.prompt, given.chosen, given.rejected)]
        names: list[Any] = []
        unknown = []
        for name in (given.model or None, given.compare):
            try:
                if name:
                    self.models.path(name)
                names.append(gr.skip() if name is None else name)
            except NormBTError as error:
                names.append(gr.skip())
                unknown.append(str(error))
        remark = problem_html(f"The link asks for a model that is not here: {unknown[0]}.") if unknown else ""
        return [*texts, *names, remark]

    def show(
        self, prompt: str, chosen: str, rejected: str, model: str | None, compare: str | None, before: PairView | None
    ) -> list[Any]:
        """What a score changes; where nothing could be scored, the message alone, and all else stays."""
        names = [name for name in (model, compare) if name]
        try:
            view = view_pair(self.models, prompt, chosen, rejected, names, before)
        except NormBTError as error:
            return self._only(problem_html(str(error)))
        problems = "".join(problem_html(f"{name}: {reason}") for name, reason in view.failures.items())
        if not view.readings:
            return self._only(problems)
        colors = self._colors(view)
        notices = "".join(map(notice_html, view.notices))
        return [
            view,
            f"{problems}{verdicts_html(view.readings, colors)}{notices}",
            gr.skip() if before is None else "",  # what is wrong with the link stays for its own pair
            gr.Column(visible=True),
            token_diff_html(view.readings[0]),
            table_html(view.readings, colors),
            card_svg(view.readings, colors),
            card_markdown(view.readings),
            "",
            *self._draw_planes(view),
            *drawn(along_tokens_figure(view.readings, colors)),
            *drawn(by_layer_figure(view.readings, colors)),
            *drawn(None),
        ]

    def _only(self, message: str) -> list[Any]:
        skipped: list[Any] = [gr.skip()] * len(self._shown_parts)
        return [skipped[0], message, *skipped[2:]]

    def _draw_planes(self, view: PairView | None) -> list[Any]:
        """The planes of the models shown, among the reference pairs as far as these are known."""
        figures: list[Any] = [None] * len(self.planes)
        for number, reading in enumerate(view.readings if view else []):
            trail = view.trail.get(reading.model, []) if view else []
            known = self.reference.known(reading.model)
            figures[number] = plane_figure(reading, self.models.color(reading.model), known, trail)
        return [part for figure in figures for part in drawn(figure)]

    def _count(self, view: PairView | None, counted: int) -> Iterator[tuple[Any, Any]]:
        """Score the reference pairs of the models shown, where that is not done yet; the planes follow."""
        for reading in view.readings if view else []:
            if self.reference.known(reading.model):
                continue
            try:
                for done in self.reference.compute(reading.model):
                    part = f"{done} of {REFERENCE_PAIRS}"
                    yield hint_html(f"Scoring reference pairs with {reading.model}: {part}"), gr.skip()
            except NormBTError as error:
                logger.warning("no reference pairs under %s: %s", reading.model, error)
            counted += 1
            yield "", counted

    def _measure(self, view: PairView | None) -> list[Any]:
        if view is None:
            return [hint_html("Score a pair first."), *drawn(None)]
        measured = []
        try:
            for reading in view.readings:
                with self.models.use(reading.model) as reward_model:
                    measured.append((reading, measure_pair(reward_model, view.pair)))
        except NormBTError as error:
            return [problem_html(str(error)), *drawn(None)]
        return [measured_html(measured), *drawn(gradient_by_layer_figure(measured, self._colors(view)))]

    def _colors(self, view: PairView) -> dict[str, str]:
        return {reading.model: self.models.color(reading.model) for reading in view.readings}


def _answer(side: str, text: str) -> gr.Textbox:
    return gr.Textbox(
        text,
        label=f"{side.capitalize()} answer",
        lines=5,
        max_lines=16,
        min_width=280,
        elem_classes="answer",
        elem_id=f"pair-{side}",
        render=False,
    )


def _parts(*places: tuple[gr.HTML, gr.Plot]) -> list[Any]:
    return [part for place in places for part in place]


def _swap(chosen: str, rejected: str) -> tuple[str, str]:
    return rejected, chosen
