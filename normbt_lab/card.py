"""The model card of a saved reward model: what it stands on, what it saw, what it scores, and how to load it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbt_lab.certificate import Certificate
from normbt_lab.project import repository_url
from normbt_lab.whole_files import write_whole

if TYPE_CHECKING:
    from normbt_lab.backbones import Backbone
    from normbt_lab.data.checks import PreparedPairs
    from normbt_lab.trainer import NormBTConfig
    from normbt_lab.training import TrainingRequest

SETTINGS = (
    "objective",
    "weighting",
    "norm_alpha",
    "max_weight",
    "ema_beta",
    "weight_norm",
    "learning_rate",
    "optim",
    "lr_scheduler_type",
    "warmup_ratio",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "layout",
    "max_tokens_per_batch",
    "max_grad_norm",
    "max_length",
    "bf16",
    "fp16",
    "pure_bf16",
    "seed",
)


def write_card(
    folder: Path,
    request: TrainingRequest,
    config: NormBTConfig,
    backbone: Backbone,
    data: PreparedPairs,
    metrics: dict[str, float],
    certificate: Certificate,
    minutes: float,
) -> None:
    """Write ``README.md`` into the model's folder, whole or not at all."""
    text = "\n".join(
        [
            *_front_matter(backbone),
            f"# {folder.name}: a reward model on {backbone.label}",
            "",
            "It gives a text one number, higher where people would prefer it; only differences between answers to the",
            f"same prompt mean something. Trained with [normbt-lab]({repository_url()}).",
            "",
            "## Load it",
            "",
            "```python",
            "import torch",
            "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
            "",
            f'model = AutoModelForSequenceClassification.from_pretrained("{folder.name}", dtype=torch.float32)',
            f'tokenizer = AutoTokenizer.from_pretrained("{folder.name}")',
            "```",
            "",
            "The raw reward is `model(**inputs).logits[:, 0]`: no sigmoid.",
            "",
            *certificate.lines(),
            "",
            "## Data",
            "",
            f"Source: {_source(request.train_data)}; {len(data.pairs)} pairs.",
            *(f"- {line}" for line in data.report.lines()),
            "",
            "## Settings",
            "",
            *_table({"adapter": request.adapter, **{name: getattr(config, name, None) for name in SETTINGS}}),
            "",
            "## Results",
            "",
            *_results(metrics, request),
            "",
            "## Backbone",
            "",
            f"{backbone.label}, SHA-256 `{backbone.sha256}`, licence {backbone.license}."
            if backbone.sha256
            else f"{backbone.label}, licence {backbone.license}.",
            f"Training took {minutes:.1f} minutes.",
            "",
            "## Limits",
            "",
            "A small model, meant for learning and measuring. Do not use its rewards to decide about people or safety.",
            "",
        ]
    )
    write_whole(folder / "README.md", text, "the model card")


def _front_matter(backbone: Backbone) -> list[str]:
    return [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-classification",
        "tags: [reward-trainer, normbt]",
        f"license: {backbone.license.lower()}",
        "---",
        "",
    ]


def _source(data: Any) -> str:
    if not isinstance(data, str | Path):
        return "pairs in memory"
    return f"`{Path(data).name if os.sep in str(data) else data}`"


def _table(rows: dict[str, Any]) -> list[str]:
    # transformers keeps some settings as enumerations
    plain = {name: getattr(value, "value", value) for name, value in rows.items() if value is not None}
    lines = [f"| {name} | {value} |" for name, value in plain.items()]
    return ["| argument | value |", "|---|---|", *lines]


def _results(metrics: dict[str, float], request: TrainingRequest) -> list[str]:
    if not metrics:
        return ["Not evaluated during training."]
    shown = {name: metrics[f"eval_{name}"] for name in ("accuracy", "loss", "tie_rate") if f"eval_{name}" in metrics}
    lines = [f"| {name} | {value:.4f} |" for name, value in shown.items()]
    return [f"On {_source(request.eval_data)}:", "", "| metric | value |", "|---|---|", *lines]
