"""`normbt best-of-n`: a file of candidates and reward models in, best-of-n curves, a table and a page out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import as_file
from pathlib import Path

from normbt_lab.data.checkable.candidates import NAME, bundled_candidates
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.evaluation.best_of_n import BestOfN, best_of_n
from normbt_lab.evaluation.candidates import GOLD, Candidates, read_candidates, write_candidates
from normbt_lab.evaluation.intervals import Estimate
from normbt_lab.evaluation.names import distinct_names
from normbt_lab.evaluation.tables import aligned
from normbt_lab.scoring.scored_pair import as_text

logger = logging.getLogger(__name__)


def best_of_n_file(
    candidates: str = NAME,
    models: Sequence[str] = (),
    *,
    gold_model: str | None = None,
    prompts: int | None = None,
    largest: int | None = None,
    save_scores: str | None = None,
    dtype: str = "float32",
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    progress: bool = True,
) -> BestOfN:
    """Best-of-n of the proxies that a file of candidates holds scores of, and of reward models that score it now.

    Args:
        candidates: ``bundled:checkable``, or what `read_candidates` reads.
        models: Folders or hub ids of reward models, each a proxy.
        gold_model: A reward model whose scores stand for the truth; None for the file's column ``gold``.
        prompts: Only the first so many prompts of the file, to try a slow model; None for all.
        largest: Last n; None for as many as every prompt has candidates.
        save_scores: File for the candidates with all their scores, to be read again without the models.
        dtype: Arithmetic of the backbones.
        batch_size: Most couples of responses in one forward pass.
        max_length: Most tokens of a response with its prompt.
        layout: As in `score_pairs`: whether what two responses share is computed once.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: The file cannot be read, or lacks gold scores or a proxy.
        UsageError: Two models of one name.
    """
    found = _read(candidates)[:prompts]
    names = proxy_names(models)
    layouts: dict[str, str] = {}
    wanted = [*([(GOLD, gold_model)] if gold_model else []), *zip(names, models, strict=True)]
    for name, model in wanted:
        if found and name in found[0].scores:
            logger.warning("the file's own column %r gives way to the scores of %s", name, model)
        found, layouts[name] = _scored(found, name, model, dtype, batch_size, max_length, layout, progress)
    result = replace(best_of_n(found, largest=largest), layouts=layouts)
    if save_scores is not None:
        write_candidates(save_scores, found)
    return result


def proxy_names(models: Sequence[str]) -> list[str]:
    """What the curves of these models are called, each by a name of its own.

    Raises:
        UsageError: One model twice, or a model called ``gold``.
    """
    names = distinct_names(models)
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise UsageError(f"the model {repeated} is named twice: each proxy needs one name")
    if GOLD in names:
        raise UsageError(f"a proxy cannot be called {GOLD!r}: name its folder otherwise, or give it as the gold model")
    return names


def best_of_n_table(result: BestOfN) -> str:
    """The curves for a terminal: gold score at n = 1, 2, 4, ..., where each is highest, and what it gains."""
    from normbt_lab.evaluation.best_of_n_figures import ticks

    shown = ticks(result.largest)
    rows = [["", *(f"n={n}" for n in shown), "peak at", f"gain at {result.largest}", "95 % interval"]]
    every = {**result.curves, **result.baselines}
    for name, curve in every.items():
        gain = result.gain(name)
        values = [f"{curve.mean[n - 1]:.3f}" for n in shown]
        rows.append(
            [name, *values, str(curve.peak), _signed(gain.mean), f"{_signed(gain.low)} to {_signed(gain.high)}"]
        )
    notes = [
        f"Mean gold score of the best of n by each proxy, {_prompts(result)}; intervals over prompts.",
        f"KL from the policy at n = {result.largest}: {result.kl[-1]:.2f} nats.",
        *_comparisons(result),
    ]
    return aligned(rows) + "\n" + "\n".join(notes)


def write_best_of_n_report(path: str | Path, result: BestOfN, source: str) -> Path:
    """Path of a self-contained HTML page with figure, table and how it was measured.

    Args:
        path: Where it goes.
        result: From `best_of_n_file`.
        source: What the candidates are called.
    """
    from normbt_lab.evaluation.best_of_n_figures import best_of_n_figure
    from normbt_lab.report import Section, write_report

    table = [["", "n = 1", f"n = {result.largest}", "95 % interval", "peak at n", "below its peak at the end"]]
    for name, curve in {**result.curves, **result.baselines}.items():
        last = curve.at(result.largest)
        row = [f"{curve.mean[0]:.3f}", f"{last.mean:.3f}", f"{last.low:.3f} to {last.high:.3f}", str(curve.peak)]
        table.append([name, *row, _signed_interval(result.drop(name))])
    text = (
        f"{_prompts(result)} from {source}, n from 1 to {result.largest}. For every n, the mean over all "
        "subsets of n candidates in closed form; candidates with equal proxy scores share the pick. Bands: 95 % "
        "bootstrap intervals over prompts."
    )
    sections = [
        Section("Best of n", text, figure=best_of_n_figure(result)),
        Section("Numbers", "\n\n".join(_comparisons(result)), table=table),
    ]
    return write_report(path, "Best-of-n: what a reward model picks", sections)


def _read(source: str) -> list[Candidates]:
    if source != NAME:
        return read_candidates(source)
    with as_file(bundled_candidates()) as path:
        return read_candidates(str(path))


def _scored(
    candidates: Sequence[Candidates],
    name: str,
    model: str,
    dtype: str,
    batch_size: int,
    max_length: int | None,
    layout: str,
    progress: bool,
) -> tuple[list[Candidates], str]:
    """The candidates with one column more, and the layout; the model is let go of before the next one is loaded."""
    from normbt_lab.layouts import PADDED, layout_used
    from normbt_lab.model import load_reward_model
    from normbt_lab.scoring.responses import Question, score_responses

    reward_model = load_reward_model(model, dtype)
    rejects = RejectLog()
    scored = score_responses(
        reward_model,
        [Question(found.prompt, found.responses, origin=as_text(found.prompt)[:60]) for found in candidates],
        batch_size=batch_size,
        max_length=max_length,
        layout=layout,
        rejects=rejects,
        progress=progress,
    )
    used = layout_used(reward_model.model, layout) or PADDED.name
    del reward_model
    gc.collect()
    with_scores = [
        found.with_scores(name, [response.reward for response in responses])
        for found, responses in zip(candidates, scored, strict=True)
        if responses is not None
    ]
    if len(with_scores) < len(candidates):
        raise NormBTError(
            f"{model} cannot score all responses ({rejects.summary()}), and best-of-n over the rest would "
            "be of another policy: remove those prompts from the file, or take a model whose tokenizer reads them"
        )
    return with_scores, used


def _comparisons(result: BestOfN) -> list[str]:
    return [
        f"{versus} at n = {result.largest}: {_signed_interval(estimate)}."
        for versus, estimate in result.paired().items()
    ]


def _prompts(result: BestOfN) -> str:
    return f"{result.prompts:,} prompt{'s' if result.prompts != 1 else ''}"


def _signed_interval(estimate: Estimate) -> str:
    return f"{_signed(estimate.mean)} [{_signed(estimate.low)}, {_signed(estimate.high)}]"


def _signed(number: float) -> str:
    return f"{round(number, 3) + 0.0:+.3f}"  # + 0.0: what rounds to zero from below has no minus sign
