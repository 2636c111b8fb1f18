"""The page's functions for programs, under names that stay: ``/score_pair`` and ``/score_file``."""

from __future__ import annotations

import secrets
from pathlib import Path

import gradio as gr

from normbt_lab.app.explore_scores import MOST_EXPLORED, explore_pairs, uploaded_source
from normbt_lab.app.explore_table import write_records
from normbt_lab.app.models import Models
from normbt_lab.app.pair_view import view_pair
from normbt_lab.app.settings import LONG_WORK, SCORING
from normbt_lab.errors import NormBTError, UsageError


def add_api(models: Models) -> None:
    """Add both functions to the page that is being built."""

    def score_pair(prompt: str, chosen: str, rejected: str, model_names: list[str] | None = None) -> list[dict]:
        """One record of numbers per model for a prompt and two answers, like a line of `normbt score`.

        Besides the fields of a scored record, each has `model`, `update_bradley_terry` and `update_normbt` (size of the
        pair's gradient at the score head), `why_no_weight` and `notices`.

        Args:
            prompt: What the answers respond to.
            chosen: The preferred answer.
            rejected: The other one.
            model_names: Names of models as the page shows them; all of them when left out.
        """
        try:
            names = _asked(models, model_names)
            view = view_pair(models, prompt, chosen, rejected, names)
        except NormBTError as error:
            raise _told(error) from error
        if view.failures:
            raise _told("; ".join(f"{name}: {reason}" for name, reason in view.failures.items()))
        return [{**reading.to_json(), "notices": [*view.cuts, *reading.notices]} for reading in view.readings]

    def score_file(file: str, model_name: str = "") -> tuple[str, dict]:
        """The pairs of a file (JSONL, CSV or Parquet), scored: a JSONL file of records, and a summary.

        A record holds the input's own fields and what `normbt score` adds to them. The summary has `model`, `scored`
        (number of pairs) and `notices`: rows that were refused, by name, and whether the file has more pairs than a
        page scores.

        Args:
            file: The file.
            model_name: Name of a model as the page shows it; the first one when left out.
        """
        try:
            if not file:
                raise UsageError("no file came: send one with gradio_client's handle_file")
            (name, *_) = _asked(models, [model_name] if model_name else None)
            explored = explore_pairs(name, lambda: models.use(name), uploaded_source(file, MOST_EXPLORED))
            # In Gradio's own folder for files, which it serves from; the name in between nobody can guess.
            folder = Path(answer.GRADIO_CACHE) / secrets.token_hex(16)
            folder.mkdir(parents=True)
            summary = {"model": name, "scored": len(explored.scored), "notices": list(explored.notices)}
            return str(write_records(explored, folder)), summary
        except NormBTError as error:
            raise _told(error) from error

    gr.api(score_pair, api_name="score_pair", **SCORING)
    with gr.Row(visible=False):  # files need components: only these check an upload and keep it apart
        upload, answer, summary = gr.File(), gr.File(), gr.JSON()
        model_name, press = gr.Textbox(), gr.Button()
    press.click(score_file, [upload, model_name], [answer, summary], api_name="score_file", **LONG_WORK)


def _asked(models: Models, names: list[str] | None) -> list[str]:
    """The models that were asked for, or all; a name that the page does not know is refused."""
    if isinstance(names, str):
        raise UsageError(f"expected a list of model names, got the text {names!r}: put it in brackets")
    found = models.names if names is None else names
    if not found:
        raise UsageError("no reward model to score with: start with normbt app --model DIR")
    for name in found:
        models.path(name)
    return found


def _told(error: NormBTError | str) -> gr.Error:
    return gr.Error(str(error), print_exception=False)
