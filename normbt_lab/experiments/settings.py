"""Everything that decides the numbers of one training run of a suite, and the fingerprint that names it.

No torch here: `normbt experiment list` reads suites and starts nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from normbt_lab.data.margins import require_margin_scale
from normbt_lab.errors import UsageError
from normbt_lab.recipes import require_known, require_types


@dataclass(frozen=True)
class TrialSettings:
    """One run: what it trains, on what, with which loss and weights, and where it is measured.

    Names are those of `NormBTConfig` and `TrainingRequest` where those have one.

    Attributes:
        model: Backbone: a known name, a folder or a hub id.
        num_layers: First layers only; None for all.
        adapter: ``none``, ``head`` or ``lora``.
        lora_r: Rank of the low-rank updates.
        lora_alpha: Their scale: updates are multiplied by lora_alpha / lora_r.
        head_layer_norm: LayerNorm before the head (a row of Table 2).
        train_data: What `read_pairs` reads, as ``source`` or ``source@split``.
        train_stride: Take every so-many-th pair.
        train_pairs: Pairs trained on.
        held_out_pairs: Pairs of the same source that are not trained on, and measured (Figure 6b).
        validation_data: Where the learning rate is chosen; None to take it from the training source as well.
        validation_pairs: How many; None for all.
        test_data: Name -> source that results are reported on, the main one first.
        test_pairs: Pairs of each; None for all.
        label_noise: Share of training pairs whose two sides are exchanged.
        near_duplicates: Share of training pairs replaced by two copies of one response that differ in a blank.
        data_seed: Which pairs these are.
        max_length: Most tokens of a response with its prompt.
        overlong: What happens to longer training pairs.
        objective: Loss per pair.
        label_smoothing: α of eq. 17.
        margin_scale: ``mean1`` divides the margins by their mean.
        weighting: Weight per pair.
        norm_alpha: Strength of the weight.
        ema_beta: Decay of the running mean; None for none.
        weight_norm: ``mean1``: weights average 1 in each batch.
        center_rewards_coefficient: Strength of the pull of rewards towards mean zero; None for none.
        max_grad_norm: Gradient clipping; 0 for none, which would hide the weights.
        optim: Optimizer, by transformers' name.
        optim_args: Its arguments, as transformers takes them.
        learning_rate: Peak learning rate.
        lr_scheduler_type: Its schedule.
        warmup_steps: Steps of warm-up; below 1, their share of all steps.
        num_train_epochs: Passes over the training pairs.
        batch_size: Pairs per optimizer step.
        micro_batch_size: Pairs per forward pass: memory and padding, the same step.
        pure_bf16: bfloat16 parameters without float32 masters.
        activation_checkpointing: Recompute the forward pass to save memory.
        save_steps: Steps between checkpoints, from which a killed run goes on; None for none.
        seed: Seed of head, adapter and order.
    """

    model: str = "smollm2-135m"
    num_layers: int | None = None
    adapter: str = "lora"
    lora_r: int = 8
    lora_alpha: int = 16
    head_layer_norm: bool = False
    train_data: str = "bundled:train"
    train_stride: int = 1
    train_pairs: int = 256
    held_out_pairs: int = 100
    validation_data: str | None = "bundled:validation"
    validation_pairs: int | None = None
    test_data: dict[str, str] = field(default_factory=lambda: {"test": "bundled:test"})
    test_pairs: int | None = None
    label_noise: float = 0.0
    near_duplicates: float = 0.0
    data_seed: int = 0
    max_length: int = 512
    overlong: str = "drop"
    objective: str = "bradley_terry"
    label_smoothing: float = 0.1
    margin_scale: str | None = None
    weighting: str = "uniform"
    norm_alpha: float = 1.0
    ema_beta: float | None = 0.9
    weight_norm: str | None = None
    center_rewards_coefficient: float | None = None
    max_grad_norm: float = 0.0
    optim: str = "adamw_torch"
    optim_args: str | None = None
    learning_rate: float = 1e-3
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = 0.03
    num_train_epochs: float = 1.0
    batch_size: int = 16
    micro_batch_size: int = 4
    pure_bf16: bool = False
    activation_checkpointing: bool = False
    save_steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.label_noise, self.near_duplicates)
        if min(shares) < 0 or sum(shares) > 1:
            raise UsageError(
                "label_noise and near_duplicates are shares of the training pairs, 0 to 1 and together at most 1; "
                f"got {self.label_noise} and {self.near_duplicates}. For a tenth write 0.1."
            )
        require_margin_scale(self.margin_scale)
        if self.train_pairs < 1 or self.batch_size < 1 or self.batch_size % self.micro_batch_size:
            raise UsageError(
                "train_pairs and batch_size are 1 or more, and batch_size a multiple of micro_batch_size; got "
                f"{self.train_pairs}, {self.batch_size} and {self.micro_batch_size}"
            )

    def fingerprint(self, data_digest: str) -> str:
        """Eight hexadecimal digits that change with any setting and with any text of the data.

        Example:
            >>> TrialSettings().fingerprint("a") == TrialSettings(seed=1).fingerprint("a")
            False
        """
        text = json.dumps({"settings": asdict(self), "data": data_digest}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def trial_settings(arguments: dict[str, Any]) -> TrialSettings:
    """Settings by name, checked for unknown names and wrong types.

    Raises:
        UsageError: A name nobody reads, with the closest known one, or a value of another type.
    """
    require_known(arguments, [f.name for f in fields(TrialSettings)])
    return TrialSettings(**require_types(arguments, TrialSettings))
