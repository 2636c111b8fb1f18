"""Any reward model or backbone, with the parameters that its training moves asking for gradients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from normbt_lab.backbones import load_tokenizer, resolve_backbone
from normbt_lab.model import RewardModel, UntrainedHeadError, ask_for_gradients, build_reward_model, load_reward_model
from normbt_lab.shipped.registry import is_shipped_name


@dataclass(frozen=True)
class AuditedModel:
    """A model to audit, and whether its score head was trained."""

    reward_model: RewardModel
    has_trained_head: bool


def load_for_audit(name: str, adapter: str = "none", num_layers: int | None = None, seed: int = 0) -> AuditedModel:
    """A reward model as it is, or a backbone with a fresh score head, in float32 and evaluation mode.

    Args:
        name: Folder or hub id of a reward model, or whatever `resolve_backbone` knows.
        adapter: For a backbone: what its training would move.
        num_layers: For a backbone: use only so many layers.
        seed: Seed of a fresh head.

    Raises:
        NormBTError: Neither a reward model nor a backbone; the message is that of the second attempt.
    """
    if num_layers is None and adapter == "none" and _may_be_reward_model(name):
        try:
            loaded = load_reward_model(name)
        except UntrainedHeadError:
            pass  # a backbone
        else:
            ask_for_gradients(loaded.model)
            return AuditedModel(loaded, has_trained_head=True)
    backbone = resolve_backbone(name, num_layers)
    model = build_reward_model(backbone, adapter, seed=seed).eval()
    return AuditedModel(RewardModel(model, load_tokenizer(backbone), name), has_trained_head=False)


def _may_be_reward_model(name: str) -> bool:
    return "/" in name or Path(name).is_dir() or is_shipped_name(name)
