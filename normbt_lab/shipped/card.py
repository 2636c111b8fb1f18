"""The card of a shipped reward model: what it saw, how it was trained, how often it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from normbt_lab.shipped.make import MakeSettings
from normbt_lab.shipped.mix import BUNDLED_SOURCE, LONGEST, PERMITTED_SOURCES

OBJECTIVES = {"uniform": "the Bradley-Terry loss", "normbt": "the Bradley-Terry loss with NormBT weights"}

EVALUATED_ON = {
    "bundled:test": "bundled test pairs: new problems of the templates trained on",
    "bundled:test_unseen_templates": "bundled test pairs of templates that were not trained on",
    "val_pool.jsonl.gz": "real pairs of other prompts; some of sources that were not trained on",
    "eval_dev.jsonl.gz": "rebuilt RewardBench subsets",
}
"""Source of pairs -> what they are, for those that need a word."""


def write_shipped_card(
    folder: Path,
    name: str,
    made: dict[str, Any],
    evaluation: dict[str, Any],
    history: Sequence[dict[str, Any]],
    difference: float,
) -> None:
    """Write ``README.md`` into a shipped model's folder.

    Args:
        folder: Where the model is packed.
        name: What the model is called.
        made: Settings, sources and digest, as ``make`` recorded them.
        evaluation: Source of pairs -> result, as ``make`` recorded them.
        history: The trainer's log.
        difference: Largest reward difference between the run and the packed files.
    """
    sections = [
        _head(name, made["settings"], difference),
        _data(made),
        _settings(made["settings"], history),
        _accuracy(evaluation),
        LIMITS,
    ]
    (folder / "README.md").write_text("\n".join(sections), encoding="utf-8")


def _head(name: str, settings: dict[str, Any], difference: float) -> str:
    return f"""---
license: apache-2.0
tags: [reward-trainer, normbt]
---

# {name}

A small reward model: a LoRA adapter with its score head on {settings["backbone"]}, trained with
{OBJECTIVES[settings["weighting"]]}. It gives a text one number, higher where people would
prefer it; only differences between answers to the same prompt mean something. It is here to learn and measure with,
beside its twin that differs in the weight of a pair alone.

```python
from normbt_lab import load_reward_model

model = load_reward_model("{name}")
```

Every command that takes a model takes this name, as in `normbt evaluate --model {name} --input bundled:test`.
`normbt export --model {name} --merge --output DIR` writes it for tools that know nothing of this package.

The adapter is stored in float16 and the head in float32: rewards are within {difference:.1e} of the trained model's.
"""


def _data(made: dict[str, Any]) -> str:
    licences = {BUNDLED_SOURCE: "Apache-2.0", **PERMITTED_SOURCES}
    rows = "\n".join(f"| {source} | {number} | {licences[source]} |" for source, number in made["sources"].items())
    return f"""## Trained on

| source | pairs | licence |
|---|---|---|
{rows}

Real pairs are drawn at random from each source in turn, within {LONGEST} tokens a side. SHA-256 of the pairs as
`make` writes them: `{made["sha256"]}`.
"""


def _settings(settings: dict[str, Any], history: Sequence[dict[str, Any]]) -> str:
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items() if value is not None)
    return f"""## Settings

```bash
{_command(settings)}
```

| setting | value |
|---|---|
{rows}

{_steps(history)} steps of AdamW with a cosine schedule on LoRA updates of all linear layers and on the head.
The mean weight of a pair over the run was {_mean(history, "weight_mean"):.2f}, and the gradient was clipped at
norm 1 in {100 * _mean(history, "clip_rate"):.0f} % of the steps.
"""


def _command(settings: dict[str, Any]) -> str:
    """The command with every setting that is not its default."""
    defaults = asdict(MakeSettings(weighting=""))
    options = [f"--{name.replace('_', '-')} {settings[name]}" for name in settings if settings[name] != defaults[name]]
    return f"python -m normbt_lab.shipped.make {' '.join(options)} --real-pairs FILE --output DIR"


def _steps(history: Sequence[dict[str, Any]]) -> int:
    return max(record["step"] for record in history)


def _mean(history: Sequence[dict[str, Any]], metric: str) -> float:
    values = [record[metric] for record in history if metric in record]
    return sum(values) / len(values)


def _accuracy(evaluation: dict[str, Any]) -> str:
    tables = "\n".join(_table(name, result) for name, result in evaluation.items())
    return f"""## Accuracy

A tie counts as wrong. Intervals are 95 % bootstrap intervals over pairs; they say nothing about other seeds. The last
column is the accuracy of preferring the longer response.

{tables}"""


def _table(name: str, result: dict[str, Any]) -> str:
    rows = "\n".join(_row(group, found) for group, found in {"all": result, **result["categories"]}.items())
    described = f": {EVALUATED_ON[name]}" if name in EVALUATED_ON else ""
    return f"""`{name}`{described}

| | pairs | accuracy | 95 % interval | longer wins |
|---|---|---|---|---|
{rows}
"""


def _row(name: str, result: dict[str, Any]) -> str:
    low, high = result["accuracy"]["interval"]
    shares = f"{result['accuracy']['strict']:.1%} | {low:.1%} to {high:.1%} | {result['length_baseline']:.1%}"
    return f"| {name} | {result['pairs']} | {shares} |".replace("%", " %")


LIMITS = """## Limits

A small model, one seed, one pass over few pairs, English only: the tables show where it is better than chance and where
it is not. Official test files of hh-rlhf (harmless) and PandaLM and the DebugBench benchmark are among its training
sources: do not report those with it. Do not use its rewards to decide about people or safety.
"""
