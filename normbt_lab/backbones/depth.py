"""The first k layers of a model: less depth for less work on a CPU."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbt_lab.backbones.backbone import Backbone, explained_open_errors, hub_commit, load_tokenizer, open_config
from normbt_lab.backbones.cache import cached_folder
from normbt_lab.backbones.catalogue import KNOWN_NAMES
from normbt_lab.backbones.storing import quiet_transformers, store_backbone
from normbt_lab.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def with_first_layers(backbone: Backbone, num_layers: int) -> Backbone:
    """The backbone without the layers above the first `num_layers`, stored once in a folder of the cache.

    Embeddings and final norm stay. With all layers it is the backbone itself.

    Args:
        backbone: A whole one.
        num_layers: How many layers to keep.

    Raises:
        UsageError: The model has fewer layers.
        NormBTError: The model cannot be opened, or the cache cannot be written.
    """
    available = open_config(backbone.path).get_text_config().num_hidden_layers
    if not 1 <= num_layers <= available:
        raise UsageError(
            f"num_layers is {num_layers}, and {backbone.name} has {available} layers: give 1 to {available}"
        )
    if num_layers == available:
        return backbone
    label = f"{backbone.label}, first {num_layers} of {available} layers"

    def build(folder: Path) -> dict[str, Any]:
        with explained_open_errors(backbone.path):
            model = _first_layers(backbone.path, num_layers)
        store_backbone(model, load_tokenizer(backbone), folder)
        return {"name": backbone.name, "label": label, "license": backbone.license, "sha256": backbone.sha256}

    folder = cached_folder(f"{_cache_name(backbone)}-{num_layers}-layers", build)
    return replace(backbone, path=str(folder), label=label)


def _first_layers(source: str, num_layers: int) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = open_config(source)
    _keep_first(config.get_text_config(), num_layers)
    is_reward_model = any("SequenceClassification" in name for name in config.architectures or [])
    auto = AutoModelForSequenceClassification if is_reward_model else AutoModelForCausalLM
    with quiet_transformers():  # it would list the weights of the layers above as unexpected
        return auto.from_pretrained(source, config=config, dtype="auto", use_safetensors=True, trust_remote_code=False)


def _keep_first(config: Any, num_layers: int) -> None:
    """Shorten the config; some families list a kind of attention per layer."""
    full = config.num_hidden_layers
    config.num_hidden_layers = num_layers
    for name, value in config.to_dict().items():
        if "layer" in name and isinstance(value, list) and len(value) == full:
            setattr(config, name, value[:num_layers])


def _cache_name(backbone: Backbone) -> str:
    """A folder name that stands for these weights: other weights under the same name or path get another one."""
    if backbone.name in KNOWN_NAMES:
        return backbone.name
    if Path(backbone.path).is_dir():
        weights = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in Path(backbone.path).iterdir()]
        identity = repr((backbone.path, sorted(weights)))
    else:
        identity = repr((backbone.path, hub_commit(backbone.path)))
    readable = re.sub(r"[^\w.-]+", "-", Path(backbone.path).name)
    return f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"
