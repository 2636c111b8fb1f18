"""A trained reward model as files that other tools open: one plain checkpoint, the adapter merged into its backbone.

transformers, its pipelines, TRL, RewardBench and vLLM read what is written here without this package. Merging, the
types they load and the way they tokenise may all move rewards, so each form is compared with the model it came from
and the largest difference stands in the card.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from normbt_lab.certificate import TOLERANCE, Certificate, certify, rewards_of, stock_rewards
from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.checks import prepare_pairs
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.model import RewardModel, load_reward_model
from normbt_lab.quantization import compute_in_float32
from normbt_lab.quiet import quiet_loading
from normbt_lab.shipped.registry import local_folder
from normbt_lab.state import NormBTState
from normbt_lab.whole_files import whole_folder

logger = logging.getLogger(__name__)

SAMPLE_PAIRS = 16
"""Bundled test pairs on which every form is compared."""

BATCH = 8
"""Responses per padded batch in RewardBench's forward pass."""


@dataclass(frozen=True)
class Export:
    """What was written, and how far each form of it is from the model it came from.

    Attributes:
        folder: The stock checkpoint.
        certificate: Loader -> largest reward difference, in log-odds.
        address: The repository it was pushed to; None where it was not.
    """

    folder: Path
    certificate: Certificate
    address: str | None = None

    def lines(self) -> list[str]:
        """The differences form by form, then where the files are."""
        rows = [f"{name}: {difference:.1e}" for name, difference in self.certificate.differences.items()]
        rows.append(f"the same files loaded in bfloat16: {self.certificate.bfloat16_difference:.1e}")
        return [
            f"Largest reward difference on {self.certificate.pairs} pairs, against the model as it was trained:",
            *(f"  {row}" for row in rows),
            f"The stock checkpoint is in {self.folder}" + (f" and at {self.address}" if self.address else ""),
        ]


def export_model(name: str, output: str | Path, *, merge: bool = False, push_to_hub: str | None = None) -> Export:
    """A stock checkpoint in `output`, certified on 16 pairs, with its card.

    Args:
        name: Folder or hub id of a trained reward model, full or adapter.
        output: A new or empty folder.
        merge: Add the adapter to the backbone's weights, so that the result needs neither PEFT nor another download.
            A 4-bit backbone is written as the float32 numbers that its 4-bit ones stand for.
        push_to_hub: Repository (``owner/name``) that also receives the files; created as private.

    Raises:
        UsageError: `output` holds files, or `merge` is asked of a model without an adapter.
        NormBTError: A form differs by more than the certificate allows (nothing is stored then), or the upload failed.
    """
    output = Path(output)
    _require_empty(output)
    reward = load_reward_model(name, device="cpu")
    compute_in_float32(reward.model)  # no change but for 4-bit layers, which else multiply in bfloat16
    if merge and not _is_adapter(reward.model):
        raise UsageError(f"{name} has no adapter to merge: it is a full checkpoint already. Leave out --merge")
    sample = _sample(reward.tokenizer)
    expected = rewards_of(reward.model, sample)
    differences = {}
    if _is_adapter(reward.model):
        differences["the adapter, loaded by PEFT"] = _difference(stock_rewards(reward.model, sample), expected)
    state = reward.state or NormBTState(running_mean=None)
    if merge:
        reward = replace(reward, model=merged(reward))
        state = replace(state, backbone={**state.backbone, "quantized": False})
    certificate = _write(reward, state, output, sample, expected, differences, _source_card(name, output))
    return Export(output, certificate, push(output, push_to_hub) if push_to_hub else None)


def merged(reward: RewardModel) -> nn.Module:
    """The model with its adapter added to the backbone's weights, and nothing of PEFT left.

    A 4-bit backbone becomes float32 first, because adding to 4-bit numbers would round the sum to 4 bits again.

    Args:
        reward: A model whose adapter lies in the folder ``reward.name``. It is used up.
    """
    model: Any = reward.model
    with quiet_loading():
        if getattr(model, "is_loaded_in_4bit", False):
            from peft import PeftModel

            base = model.unload().dequantize(dtype=torch.float32)
            model = PeftModel.from_pretrained(base, reward.name).float()
        return model.merge_and_unload().eval()


def push(folder: Path, repository: str) -> str:
    """Address of the hub repository that received a folder's files, created as private where it is new.

    Raises:
        NormBTError: The hub did not take them; the folder is as it was.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    try:
        api = HfApi()
        address = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message="Reward model exported by normbt-lab")
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
        raise NormBTError(
            f"the export is in {folder}, but {repository} did not take it ({str(error).splitlines()[0]}): log in with "
            "'hf auth login', check the name (owner/name) and the network"
        ) from error
    return str(address)


# ---- writing


def _write(
    reward: RewardModel,
    state: NormBTState,
    output: Path,
    sample: Sequence[tuple[Sequence[int], Sequence[int]]],
    expected: Tensor,
    differences: dict[str, float],
    card: str,
) -> Certificate:
    """Write beside the final place, compare every form, and move it there only if all agree."""
    with whole_folder(output, "the export") as unfinished:
        with quiet_loading():
            reward.model.save_pretrained(unfinished)  # type: ignore[operator]
        reward.tokenizer.save_pretrained(unfinished)
        state.write(unfinished)
        certificate = certify(expected, unfinished, sample, state)
        if not _is_adapter(reward.model):
            differences = differences | _text_differences(unfinished, reward.tokenizer, sample, expected)
        certificate = replace(certificate, differences=differences | certificate.differences)
        _require_equal(certificate)
        (unfinished / "README.md").write_text(_with_certificate(card, certificate), encoding="utf-8")
    return certificate


def _require_equal(certificate: Certificate) -> None:
    for name, difference in certificate.differences.items():
        if not difference <= TOLERANCE:
            raise NormBTError(
                f"{name} gives rewards that differ by {difference:.1e} from the trained model's, allowed {TOLERANCE}. "
                "Nothing was stored. Please report this with the versions of transformers and peft."
            )


def _require_empty(output: Path) -> None:
    if output.is_file() or output.is_dir() and any(output.iterdir()):
        raise UsageError(
            f"{output} is in use: name a new or empty folder, so that no file of another model stays in it"
        )


def _is_adapter(model: nn.Module) -> bool:
    return hasattr(model, "peft_config")


def _difference(rewards: Tensor, expected: Tensor) -> float:
    return (rewards - expected).abs().max().item()


# ---- forms that start from text


def _sample(tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    # Twice as many as needed: a tokenizer may make two sides equal.
    pairs = load_bundled_pairs("test", limit=2 * SAMPLE_PAIRS)
    prepared = prepare_pairs(pairs, tokenizer, max_length=None, progress=False)
    return [(pair.chosen_ids, pair.rejected_ids) for pair in prepared.tokenized[:SAMPLE_PAIRS]]


def _text_differences(
    folder: Path, tokenizer: Any, sample: Sequence[tuple[Sequence[int], Sequence[int]]], expected: Tensor
) -> dict[str, float]:
    """What pipelines and RewardBench make of the rendered texts: their own tokenising, padding and output function."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    texts = [_text(tokenizer, ids) for side in zip(*sample, strict=True) for ids in side]
    target = expected.T.flatten()  # all chosen, then all rejected
    kept = [index for index, text in enumerate(texts) if text is not None]
    if not kept:
        logger.warning("no sample text comes back from its tokens unchanged: pipeline and RewardBench are not compared")
        return {}
    chosen_texts = [text for text in texts if text is not None]
    with quiet_loading():
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        stock_tokenizer = AutoTokenizer.from_pretrained(folder)
        classify = pipeline("text-classification", model=model, tokenizer=stock_tokenizer, device="cpu")
        piped = torch.tensor([answer["score"] for answer in classify(chosen_texts)])
    batched = []
    with torch.no_grad():
        for start in range(0, len(chosen_texts), BATCH):
            texts_of_batch = chosen_texts[start : start + BATCH]
            batched.append(model(**stock_tokenizer(texts_of_batch, padding=True, return_tensors="pt")).logits[:, 0])
    return {
        'pipeline("text-classification")': _difference(piped, target[kept]),
        "RewardBench's padded batches of 8": _difference(torch.cat(batched), target[kept]),
    }


def _text(tokenizer: Any, ids: Sequence[int]) -> str | None:
    """The text that the tokenizer turns into just these ids; None where there is none."""
    for first in (0, 1):  # a tokenizer may add the beginning-of-sequence token on its own
        text = tokenizer.decode(list(ids)[first:], clean_up_tokenization_spaces=False)
        if tokenizer(text)["input_ids"] == list(ids):
            return text
    return None


# ---- card


def _source_card(name: str, output: Path) -> str:
    """The card of the trained model under its new name, or a short one where it has none."""
    source = local_folder(name) / "README.md"
    if not source.is_file():
        return _PLAIN_CARD.format(name=output.name)
    text = source.read_text(encoding="utf-8")
    old = re.escape(Path(name).resolve().name)
    text = re.sub(rf"^# {old}:", lambda _: f"# {output.name}:", text, count=1, flags=re.MULTILINE)
    text = re.sub(rf'from_pretrained\("{old}"', lambda _: f'from_pretrained("{output.name}"', text)
    # The certificate of the trained model's own files, which these are not.
    return re.sub(r"^(Round trip: |A stock load in bfloat16 ).*\n+", "", text, flags=re.MULTILINE)


def _with_certificate(card: str, certificate: Certificate) -> str:
    rows = {**certificate.differences, "the same files in bfloat16": certificate.bfloat16_difference}
    table = "\n".join(f"| {name} | {difference:.1e} |" for name, difference in rows.items())
    return card.rstrip("\n") + _EXPORTED.format(
        pairs=certificate.pairs, tolerance=TOLERANCE, table=table, of_bfloat16=certificate.lines()[1]
    )


_PLAIN_CARD = """---
library_name: transformers
pipeline_tag: text-classification
tags: [reward-trainer]
---

# {name}: a reward model

It gives a text one number, higher where people would prefer it; only differences between answers to the same prompt
mean something. The raw reward is `model(**inputs).logits[:, 0]`: no sigmoid.
"""

_EXPORTED = """

## Exported form

Largest reward difference on {pairs} pairs against the model as it was trained, in log-odds; in float32
{tolerance:.0e} is allowed:

| form | difference |
|---|---|
{table}

{of_bfloat16}
"""
