"""The settings of a run: TRL's ``RewardConfig`` plus what the paper adds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from trl import RewardConfig

from normbt_lab.errors import UsageError
from normbt_lab.layouts import LAYOUTS
from normbt_lab.objectives import OBJECTIVES
from normbt_lab.weights import WEIGHTINGS

CHOICES = {
    "objective": ("auto", *OBJECTIVES),
    "weighting": (*WEIGHTINGS, "uniform"),
    "ema_order": ("use_then_update", "update_then_use"),
    "ema_scope": ("step", "micro"),
    "weight_norm": (None, "mean1"),
    "layout": LAYOUTS,
}
"""Arguments with a closed list of values, default first."""


@dataclass
class NormBTConfig(RewardConfig):
    """TRL's ``RewardConfig`` plus what the paper adds.

    Args:
        objective: Loss per pair: ``auto`` (TRL's rule: the margin goes inside the sigmoid when the data has the
            column), ``bradley_terry`` (ignores margins), ``margin`` (eq. 14), ``margin_outside`` (eq. 15),
            ``label_smoothing`` (eq. 17).
        label_smoothing: α of eq. 17, used by ``objective="label_smoothing"`` alone.
        weighting: Weight per pair: ``normbt`` (eq. 11), ``uniform`` (plain Bradley-Terry), ``exact`` (the same with the
            exact gradient norm in the place of the distance, eq. 8), ``cosine``, ``average_pool``, ``d_opt`` (Table 2).
        norm_alpha: Strength of the weight; 0 gives uniform weights.
        norm_eps: Guard against distance 0, in the units of the distance.
        max_weight: Upper bound of a weight; None for none.
        ema_beta: β of eq. 12; None switches the running mean off ("No EMA": raw inverse distances).
        ema_order: Whether a step's weights use the running mean before or after the step's own pairs enter it.
        ema_scope: ``step`` updates once per optimizer step; ``micro`` once per micro-batch, which makes the result
            depend on the split (there to show just that).
        weight_norm: ``mean1`` divides the weights by their mean over the global batch: re-weighting without a larger
        step.
        layout: ``auto`` computes what chosen and rejected share once, where the model supports it and a check on a few
            pairs of this run agrees (`normbt_lab.layouts`); ``shared_prefix`` insists on it; ``padded`` is TRL's.
        max_tokens_per_batch: Token slots of one pass through the model. The pairs of a device batch are split by length
            into as many passes as that takes; the optimizer step is the same. None for one pass per device batch.
        pure_bf16: The paper's setting: parameters and updates in bfloat16, without float32 master weights. It loses
            small updates.

    Raises:
        UsageError: A value outside its list or range.
    """

    objective: str = field(default="auto", metadata={"help": "Loss per pair."})
    label_smoothing: float = field(default=0.1, metadata={"help": "Soft label of the label_smoothing objective."})
    weighting: str = field(default="normbt", metadata={"help": "Weight per pair."})
    norm_alpha: float = field(default=1.0, metadata={"help": "Strength of the weight."})
    norm_eps: float = field(default=1e-8, metadata={"help": "Guard against distance 0."})
    max_weight: float | None = field(default=None, metadata={"help": "Upper bound of a weight."})
    ema_beta: float | None = field(default=0.9, metadata={"help": "Decay of the running mean; none for no mean."})
    ema_order: str = field(default="use_then_update", metadata={"help": "Use the mean before or after updating it."})
    ema_scope: str = field(default="step", metadata={"help": "Update per optimizer step or per micro-batch."})
    weight_norm: str | None = field(default=None, metadata={"help": "mean1: weights average 1 in each batch."})
    layout: str = field(default="auto", metadata={"help": "Compute what both responses share once."})
    max_tokens_per_batch: int | None = field(default=None, metadata={"help": "Token slots of one pass."})
    pure_bf16: bool = field(default=False, metadata={"help": "bfloat16 parameters without float32 masters."})

    def __post_init__(self) -> None:
        if self.pure_bf16:
            self.bf16 = self.fp16 = False  # no autocast: the parameters themselves are bfloat16
        super().__post_init__()
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                listed = ", ".join(str(choice) for choice in choices)
                raise UsageError(f"{name} is one of {listed}; got {getattr(self, name)!r}")
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            self._require(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        self._require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 0.5, "0 to below 0.5")
        is_strength = 0 <= self.norm_alpha < math.inf  # below 0 far pairs would weigh more, the reverse of NormBT
        self._require("norm_alpha", self.norm_alpha, is_strength, "0 or more")
        self._require("norm_eps", self.norm_eps, self.norm_eps >= 0, "0 or more")
        self._require("max_weight", self.max_weight, self.max_weight is None or self.max_weight > 0, "above 0")
        budget = self.max_tokens_per_batch
        self._require("max_tokens_per_batch", budget, budget is None or budget >= 1, "1 or more")
        self._require("ema_beta", self.ema_beta, self.ema_beta is None or 0 <= self.ema_beta <= 1, "0 to 1")

    @staticmethod
    def _require(name: str, value: object, holds: bool, allowed: str) -> None:
        if not holds:
            raise UsageError(f"{name} must be {allowed}; got {value}")
