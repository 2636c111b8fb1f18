"""TRL's reward trainer with a weight per pair: what differs, and only that.

`NormBTConfig` and `NormBTTrainer` take the place of TRL's ``RewardConfig`` and ``RewardTrainer``; everything those
accept works here. With ``weighting="uniform"`` and ``layout="padded"`` the losses and the trained parameters are TRL's
to the bit.
The loop by hand, on one screen, is in ``notebooks/01_bradley_terry.ipynb``.

The running mean is fixed inside an optimizer step and updated once at its end from all pairs of the global batch, and
the loss is a sum over pairs divided by their number in the global batch. So a step does not depend on how its pairs are
split over micro-batches and processes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from torch import Tensor, nn
from transformers.trainer_utils import rotate_checkpoints
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from normbt_lab.checkpoints import (
    break_seal,
    last_complete_checkpoint,
    require_whole,
    seal_checkpoint,
    set_aside_after,
)
from normbt_lab.data.batches import PairBatch
from normbt_lab.dropout import active_dropout
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.gradients.exact import PairGradients, gradient_norms, gradients_of_forward
from normbt_lab.gradients.recording import recorded_calls
from normbt_lab.gradients.weighted_loss import weighted_loss
from normbt_lab.layouts import LAYOUTS, PADDED, Layout, choose_layout
from normbt_lab.model import HEAD_CONFIG
from normbt_lab.objectives import OBJECTIVES, PairObjective, bradley_terry, reward_centering
from normbt_lab.representations import PairOutputs, outputs_from_tap, pad_token_id, score_head, tapped_score_head
from normbt_lab.resuming import ExactResume, UnfinishedLog
from normbt_lab.state import NormBTState
from normbt_lab.weights import WEIGHTINGS, RunningMean, Weighting, pair_weights

logger = logging.getLogger(__name__)

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
        self._require("norm_eps", self.norm_eps, self.norm_eps >= 0, "0 or more")
        self._require("max_weight", self.max_weight, self.max_weight is None or self.max_weight > 0, "above 0")
        budget = self.max_tokens_per_batch
        self._require("max_tokens_per_batch", budget, budget is None or budget >= 1, "1 or more")
        self._require("ema_beta", self.ema_beta, self.ema_beta is None or 0 <= self.ema_beta <= 1, "0 to 1")

    @staticmethod
    def _require(name: str, value: object, holds: bool, allowed: str) -> None:
        if not holds:
            raise UsageError(f"{name} must be {allowed}; got {value}")


@dataclass
class PairCollator(DataCollatorForPreference):
    """TRL's collator, keeping each pair's position in the data set so that a failing step can name its pairs."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch plus ``pair_index``, shape (pairs,), where the examples have it."""
        batch = super().torch_call(examples)
        if "pair_index" in examples[0]:
            batch["pair_index"] = torch.tensor([example["pair_index"] for example in examples])
        return batch


@dataclass
class StepRecord:
    """What one optimizer step has seen so far, over all its micro-batches on this process."""

    rewards: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    quantities: list[Tensor] = field(default_factory=list)
    distances: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    pair_indices: list[Tensor] = field(default_factory=list)
    loss: float = 0.0


class NormBTTrainer(RewardTrainer):
    """TRL's ``RewardTrainer`` whose loss weighs each pair (paper eq. 13).

    Everything not listed here is TRL's: data formats, tokenisation, PEFT, logging, checkpoints.

    Logged besides TRL's metrics, each a mean over the steps since the last log:
        running_mean: The running mean that the step's weights used, in the weighting's unit.
        distance_mean, distance_min, distance_p10, distance_p25, distance_p75, distance_p90, distance_max:
            Representation distances of the global batch (Figure 9).
        weight_mean, weight_max: Weights of the global batch.
        clipped_share: Share of pairs whose weight ``max_weight`` cut.
        tie_rate: Share of pairs with exactly equal rewards.
        clip_rate: Share of steps whose gradient norm exceeded ``max_grad_norm``.
    TRL's metric ``margin`` is the mean reward difference, not the margin of the data.

    The evaluation loss is always plain Bradley-Terry (eq. 1), so that runs compare whatever they train on.

    Example:
        >>> from normbt_lab import NormBTConfig, NormBTTrainer  # the two names that change in a TRL script
    """

    _tag_names = ["trl", "reward-trainer", "normbt"]
    _name = "NormBT"
    # compute_loss divides by the pairs of the global batch itself; the Trainer must not divide by micro-batches again.
    loss_is_scaled_for_ga = True

    def __init__(self, model: Any, args: NormBTConfig | None = None, **kwargs: Any) -> None:
        if args is not None and not isinstance(args, NormBTConfig):
            raise UsageError(f"args must be a NormBTConfig, got {type(args).__name__}: rename RewardConfig")
        args = args or NormBTConfig(output_dir=f"{_short_name(model)}-NormBT")
        super().__init__(model=model, args=args, **kwargs)
        self.model.config.update(HEAD_CONFIG)  # a model that TRL loaded by name would answer pipelines with a sigmoid
        if kwargs.get("data_collator") is None:
            self.data_collator = PairCollator(pad_token_id(self.model), args.pad_to_multiple_of)
        if args.pure_bf16:
            self.model.to(torch.bfloat16)
        elif getattr(self.model, "is_loaded_in_4bit", False):
            _restore_float32_masters(self.model)
        _require_trainable_head(self.model)
        if self._weighting.needs_gradients:
            self._require_exact_gradients()
        self.objective = self._choose_objective()
        self.layout = self._choose_layout()
        self.running_mean = RunningMean(beta=1.0 if args.ema_beta is None else args.ema_beta)
        self._step = StepRecord()
        self._weight_scale = 1.0
        self._evaluated: list[tuple[Tensor, Tensor]] = []
        self.resumed_log: UnfinishedLog | None = None
        self.add_callback(ExactResume(self))
        if args.ema_scope == "micro" and self.accelerator.num_processes > 1:
            raise UsageError('ema_scope="micro" works on one process only: each process would track a mean of its own')

    # ---- data ------------------------------------------------------------------------------------------------------

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(dataset, Dataset) and "pair_index" not in dataset.column_names:
            dataset = dataset.add_column("pair_index", list(range(len(dataset))))
        return super()._prepare_dataset(dataset, *args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["chosen_ids", "rejected_ids", "margin", "pair_index"]

    def _require_exact_gradients(self) -> None:
        if self.args.fp16:
            raise UsageError(
                'weighting="exact" measures gradients before the loss is scaled, and they would vanish in float16: '
                "use bf16, or float32"
            )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise UsageError('weighting="exact" needs whole parameters on each process: use DDP, not FSDP or DeepSpeed')

    def _choose_layout(self) -> Layout:
        """The layout of the run, after a check on two of its pairs."""
        wish = self.args.layout
        obstacle = self._obstacle_to_shared_prefixes()
        if obstacle and wish == "shared_prefix":
            raise UsageError(f'no layout="shared_prefix" here: {obstacle}. Use layout="auto" or "padded".')
        if obstacle and wish == "auto":
            logger.warning("Padded layout: %s.", obstacle)
        dataset = self.train_dataset if self.train_dataset is not None else self.eval_dataset
        if obstacle or wish == "padded" or not isinstance(dataset, Dataset | IterableDataset):
            return PADDED
        sample = self.data_collator(list(islice(dataset, 2)))
        device = self.model.device
        inputs = {name: value.to(device) for name, value in sample.items() if isinstance(value, Tensor)}
        return choose_layout(self.model, PairBatch.from_padded(inputs, pad_token_id(self.model)), wish)

    def _obstacle_to_shared_prefixes(self) -> str | None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            return "under FSDP and DeepSpeed the layouts cannot be compared before the run"
        dropout = active_dropout(self.model)
        if dropout:
            name, rate = next(iter(dropout.items()))
            return f"dropout is on ({name}: {rate:g}), and a shared prefix would be dropped out once for both responses"
        return None

    def _batches(self, inputs: dict[str, Any]) -> list[PairBatch]:
        """The pairs of the collator's batch in the layout of the run, split where they exceed the token budget."""
        pad = pad_token_id(self.model)
        return self.layout.micro_batches(PairBatch.from_padded(inputs, pad), pad, self.args.max_tokens_per_batch)

    def _choose_objective(self) -> PairObjective | None:
        """The objective, or None for TRL's rule, which looks at each batch."""
        has_margin = "margin" in (getattr(self.train_dataset, "column_names", None) or [])
        if self.args.objective == "auto":
            return None
        objective = OBJECTIVES[self.args.objective]
        if objective.needs_margin and not has_margin:
            raise UsageError(
                f"objective={self.args.objective!r} needs a column 'margin' and the data has none: add ratings, "
                "or choose bradley_terry"
            )
        if has_margin and not objective.needs_margin:
            logger.warning("The data has a column 'margin'; objective=%r ignores it.", self.args.objective)
        return objective

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int | None]:
        """The micro-batches of one optimizer step, and the number of pairs in them over all processes.

        Where the step's weights need a statistic of the whole global batch before its first backward pass (the first
        step, which starts the running mean; ``update_then_use``; ``mean1``), it is measured here by forward passes.
        """
        batch_samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batch_samples:
            return batch_samples, None
        batch_samples[-1] = self._without_repeats(batch_samples[-1])
        pairs = self._sum_over_processes(float(sum(_pairs_that_count(inputs) for inputs in batch_samples)))
        if self._looks_ahead():
            with self._dropout_of_step():
                self._look_ahead(batch_samples)
        return batch_samples, int(pairs)

    def _has_repeats(self) -> bool:
        """Whether accelerate has filled up the batch just read, so that every process has as many pairs."""
        accelerator = self.accelerator
        is_last = accelerator.gradient_state.end_of_dataloader and accelerator.gradient_state.remainder > 0
        return accelerator.num_processes > 1 and accelerator.even_batches and is_last

    def _without_repeats(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch without pairs that are there a second time; where none is left, one, marked ``only_repeats``."""
        if not self._has_repeats():
            return inputs
        here = len(inputs["input_ids"]) // 2
        # The last pairs of the data go to the processes in their order, and the repeats come after them.
        real = self.accelerator.gradient_state.remainder - self.accelerator.process_index * here
        kept = min(max(real, 1), here)
        rows = [*range(kept), *range(here, here + kept)]
        shorter = {name: value[rows] if len(value) == 2 * here else value[:kept] for name, value in inputs.items()}
        return shorter | {"only_repeats": real <= 0}

    # ---- loss ------------------------------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: int | None = None,
    ) -> Any:
        """Weighted loss of a batch, scaled so that micro-batches and processes add up to the global batch.

        Args:
            model: The model as the Trainer wraps it.
            inputs: A batch of `PairCollator`; in a training step one part of it, under the key ``parts``.
            return_outputs: Also return the rewards as ``logits``, shape (2 * pairs, 1), chosen first.
            num_items_in_batch: Pairs in the global batch; None for this batch alone.
        """
        parts = inputs["parts"] if "parts" in inputs else self._batches(inputs)
        if not self.model.training:
            return self._evaluation_loss(model, parts, inputs, return_outputs)
        if inputs.get("only_repeats"):
            return self._loss_of_no_pairs(model, parts)
        processes = self.accelerator.num_processes
        pairs = num_items_in_batch or sum(part.pairs for part in parts) * processes
        # pairs of the global batch / pairs here: TRL's number of micro-batches where all have one size
        losses = [self._training_loss(model, part) / (pairs / (part.pairs * processes)) for part in parts]
        loss = torch.stack(losses).sum() if len(losses) > 1 else losses[0]
        return (loss, self._logits(self._step.rewards[-len(parts) :])) if return_outputs else loss

    def _training_loss(self, model: nn.Module, batch: PairBatch) -> Tensor:
        pairs, gradients = self._forward_with_gradients(model, batch)
        weights = self._weigh(pairs)
        self._record(pairs, weights)
        return self._weighted_loss(pairs, weights, batch.margin, gradients) + self._centering(pairs)

    def _loss_of_no_pairs(self, model: nn.Module, parts: list[PairBatch]) -> Tensor:
        """Zero, after the passes that the other processes wait for."""
        outputs = [self._forward(model, part) for part in parts]
        nothing = outputs[0].reward_chosen.detach()[:0]
        self._step.quantities.append(nothing)
        self._record_values((nothing, nothing), nothing, nothing)
        return 0.0 * torch.stack([(pairs.reward_chosen + pairs.reward_rejected).sum() for pairs in outputs]).sum()

    def _evaluation_loss(
        self, model: nn.Module, parts: list[PairBatch], inputs: dict[str, Any], return_outputs: bool
    ) -> Any:
        rewards = self._rewards(model, parts)
        loss = bradley_terry(torch.cat([chosen - rejected for chosen, rejected in rewards])).mean()
        if self._has_repeats():
            once = self._without_repeats(inputs)
            counted = self._rewards(model, self._batches(once))  # on every process: under FSDP passes are in step
            self._evaluated += [] if once["only_repeats"] else counted
        else:
            self._evaluated += rewards
        return (loss, self._logits(rewards)) if return_outputs else loss

    def _rewards(self, model: nn.Module, parts: list[PairBatch]) -> list[tuple[Tensor, Tensor]]:
        outputs = [self._forward(model, part) for part in parts]
        return [(pairs.reward_chosen.detach(), pairs.reward_rejected.detach()) for pairs in outputs]

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """TRL's loop, whose loss and metrics are means over pairs, each counted once.

        TRL averages over batches, and over pairs that fill up the last one.
        """
        self._evaluated = []
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        nothing = torch.empty(0, device=self.accelerator.device)
        evaluated = self._evaluated or [(nothing, nothing)]
        self._log_rewards("eval", evaluated)
        chosen, rejected = (self._gather(list(side)) for side in zip(*evaluated, strict=True))
        output.metrics[f"{metric_key_prefix}_loss"] = bradley_terry(chosen - rejected).mean().item()
        return output

    @staticmethod
    def _logits(rewards: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        chosen, rejected = (torch.cat(side) for side in zip(*rewards, strict=True))
        return {"logits": torch.cat([chosen, rejected]).unsqueeze(-1)}

    def _forward(self, model: nn.Module, batch: PairBatch) -> PairOutputs:
        with tapped_score_head(model) as tapped:
            model(**batch.model_inputs())
        return outputs_from_tap(tapped, batch, average_pool=self._weighting.needs_average_pool)

    def _forward_with_gradients(self, model: nn.Module, batch: PairBatch) -> tuple[PairOutputs, PairGradients | None]:
        """A forward pass; where weights need exact gradients, with these and their norms. None otherwise."""
        if not self._weighting.needs_gradients:
            return self._forward(model, batch), None
        with recorded_calls(self.model) as calls:
            pairs = self._forward(model, batch)
        gradients = gradients_of_forward(self.model, batch, pairs, calls, retain_graph=self._needs_graph)
        distance = gradients.norms.gradient_distance
        return replace(pairs, gradient_distance=distance), gradients

    @property
    def _needs_graph(self) -> bool:
        """Centring pulls both rewards one way, which gradients of their difference do not hold."""
        return self.args.center_rewards_coefficient is not None

    def _weighted_loss(
        self, pairs: PairOutputs, weights: Tensor, margin: Tensor | None, gradients: PairGradients | None
    ) -> Tensor:
        objective = self.objective or OBJECTIVES["bradley_terry" if margin is None else "margin"]
        arguments = (pairs.reward_difference, margin, self.args.label_smoothing)
        if gradients is None or self._needs_graph:
            return (weights * objective.loss(*arguments)).mean()
        return weighted_loss(
            self.model, gradients, objective.loss(*arguments), objective.derivative(*arguments), weights
        )

    def _centering(self, pairs: PairOutputs) -> Tensor | float:
        coefficient = self.args.center_rewards_coefficient
        if coefficient is None:
            return 0.0
        return coefficient * reward_centering(pairs.reward_chosen, pairs.reward_rejected).mean()

    # ---- weights and their running mean ------------------------------------------------------------------------------

    @property
    def _weighting(self) -> Weighting:
        """What is measured; under uniform weights still the distance, so that runs compare and scores have a scale."""
        return WEIGHTINGS.get(self.args.weighting, WEIGHTINGS["normbt"])

    def _weigh(self, pairs: PairOutputs) -> Tensor:
        quantity = self._weighting.quantity(pairs).detach()
        self._step.quantities.append(quantity)
        if self.args.ema_scope == "micro":
            return self._weigh_and_update_by_micro_batch(quantity)
        return self._weights(quantity) * self._weight_scale

    def _weigh_and_update_by_micro_batch(self, quantity: Tensor) -> Tensor:
        batch_mean = quantity.double().mean().item()
        if self.running_mean.value is None or self.args.ema_order == "update_then_use":
            self.running_mean.update(batch_mean)
        weights = self._weights(quantity)
        if self.args.ema_order == "use_then_update":
            self.running_mean.update(batch_mean)
        return weights / weights.mean() if self.args.weight_norm == "mean1" else weights

    def _weights(self, quantity: Tensor) -> Tensor:
        if self.args.weighting == "uniform":
            return torch.ones_like(quantity)
        mean = self.running_mean.value if self.args.ema_beta is not None else None
        return pair_weights(
            quantity,
            self.args.weighting,
            running_mean=1.0 if mean is None else mean,
            norm_alpha=self.args.norm_alpha,
            norm_eps=self.args.norm_eps,
            max_weight=self.args.max_weight,
        )

    def _looks_ahead(self) -> bool:
        if self.args.weighting == "uniform" or self.args.ema_scope == "micro":
            return False
        return (
            self.running_mean.value is None
            or self.args.ema_order == "update_then_use"
            or self.args.weight_norm == "mean1"
        )

    @contextmanager
    def _dropout_of_step(self) -> Iterator[None]:
        """Dropout that depends on the step alone: a resumed run restores its random numbers only after this."""
        self.model.train()
        device = self.accelerator.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.args.seed + self.state.global_step)
            yield

    def _look_ahead(self, batch_samples: list[Any]) -> None:
        quantities = []
        for inputs in batch_samples:
            with self.compute_loss_context_manager():
                ahead = [self._quantity_ahead(part) for part in self._batches(self._prepare_inputs(inputs))]
            quantities += [quantity[:0] for quantity in ahead] if inputs.get("only_repeats") else ahead
        if self.running_mean.value is None or self.args.ema_order == "update_then_use":
            self.running_mean.update(self._global_mean(quantities))
        if self.args.weight_norm == "mean1":
            self._weight_scale = 1.0 / self._global_mean([self._weights(quantity) for quantity in quantities])

    def _quantity_ahead(self, batch: PairBatch) -> Tensor:
        if self._weighting.needs_gradients:
            return gradient_norms(self.model, batch).gradient_distance
        # Past DDP's wrapper, which would wait for other processes though each has a number of passes of its own.
        is_ddp = isinstance(self.model_wrapped, nn.parallel.DistributedDataParallel)
        with torch.no_grad():
            return self._weighting.quantity(self._forward(self.model if is_ddp else self.model_wrapped, batch))

    def _global_mean(self, values: list[Tensor]) -> float:
        """Mean over every pair of the global batch; in float64, so that the split leaves no trace in float32."""
        total = sum(value.double().sum().item() for value in values)
        count = sum(len(value) for value in values)
        return self._sum_over_processes(total) / self._sum_over_processes(float(count))

    def _sum_over_processes(self, value: float) -> float:
        if self.accelerator.num_processes == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(tensor, reduction="sum").item()

    # ---- steps -------------------------------------------------------------------------------------------------------

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """TRL's step; after the last micro-batch the running mean takes in the step's pairs.

        Raises:
            NormBTError: The loss of the step is not finite. The parameters are still those before the step.
        """
        parts = self._batches(self._prepare_inputs(inputs))
        is_empty = inputs.get("only_repeats", False)
        if "pair_index" in inputs and not is_empty:
            self._step.pair_indices.append(inputs["pair_index"].cpu())
        loss = torch.zeros((), device=self.args.device)
        for i, part in enumerate(parts):
            # Gradients are exchanged once, with the last part.
            with self.accelerator.no_sync(model) if i < len(parts) - 1 else nullcontext():
                loss = loss + super().training_step(
                    model, {"parts": [part], "only_repeats": is_empty}, num_items_in_batch
                )
        self._count_tokens(inputs["attention_mask"] * (not is_empty))
        self._log_rewards("train", self._step.rewards[-len(parts) :])
        self._step.loss += loss.item()
        if self.accelerator.sync_gradients:
            self._require_finite_loss()
            self._finish_step()
        return loss

    def _require_finite_loss(self) -> None:
        loss = self._sum_over_processes(self._step.loss)
        if math.isfinite(loss):
            return
        pairs = torch.cat(self._step.pair_indices).tolist() if self._step.pair_indices else "unknown"
        raise NormBTError(
            f"the loss became {loss} at step {self.state.global_step + 1}, pairs {pairs} of the training data: too "
            "high a learning rate, an overflow in float16, or damaged rows. The parameters were not updated; the last "
            "good checkpoint is kept. Lower learning_rate, set max_grad_norm, or look at these pairs."
        )

    def _finish_step(self) -> None:
        step, self._step = self._step, StepRecord()
        metrics = self._metrics["train"]
        used = self.running_mean.value
        if self.args.ema_scope == "step" and not (self._looked_ahead_and_updated()):
            self.running_mean.update(self._global_mean(step.quantities))
        metrics["running_mean"].append(self.running_mean.value if used is None else used)
        distances, weights = self._gather(step.distances), self._gather(step.weights)
        for name, quantile in _QUANTILES.items():
            metrics[f"distance_{name}"].append(distances.quantile(quantile).item())
        metrics["distance_mean"].append(distances.mean().item())
        metrics["weight_mean"].append(weights.mean().item())
        metrics["weight_max"].append(weights.max().item())
        if self.args.max_weight is not None:
            bound = self.args.max_weight * self._weight_scale
            metrics["clipped_share"].append((weights >= bound).float().mean().item())
        self._weight_scale = 1.0

    def _looked_ahead_and_updated(self) -> bool:
        return self.args.ema_order == "update_then_use" and self.args.weighting != "uniform"

    def _record(self, pairs: PairOutputs, weights: Tensor) -> None:
        rewards = (pairs.reward_chosen.detach(), pairs.reward_rejected.detach())
        self._record_values(rewards, pairs.representation_distance.detach(), weights)

    def _record_values(self, rewards: tuple[Tensor, Tensor], distances: Tensor, weights: Tensor) -> None:
        self._step.rewards.append(rewards)
        self._step.distances.append(distances)
        self._step.weights.append(weights)

    def _gather(self, values: list[Tensor]) -> Tensor:
        """One number per pair of the global batch, from every process."""
        local = torch.cat(values).float()
        if self.accelerator.num_processes == 1:
            return local
        marked = torch.stack([local, torch.ones_like(local)], dim=1)  # (pairs here, 2): padding is marked 0
        gathered = self.accelerator.gather(self.accelerator.pad_across_processes(marked))
        return gathered[gathered[:, 1] == 1, 0]

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        self._metrics["train"]["clip_rate"].append(float(float(norm) > self.args.max_grad_norm))
        return norm

    # ---- logs and checkpoints ----------------------------------------------------------------------------------------

    def _count_tokens(self, attention_mask: Tensor) -> None:
        self._total_train_tokens += self.accelerator.gather(attention_mask.sum()).sum().item() // self._tp_size

    @torch.no_grad()
    def _log_rewards(self, mode: str, parts: list[tuple[Tensor, Tensor]]) -> None:
        """TRL's metrics over the pairs of all processes, and the tie rate."""
        chosen, rejected = (self._gather(list(side)) for side in zip(*parts, strict=True))
        reward_difference = chosen - rejected
        rewards = torch.cat([chosen, rejected])
        metrics = self._metrics[mode]
        metrics["num_tokens"] = [self._total_train_tokens]
        metrics["min_reward"].append(rewards.min().item())
        metrics["mean_reward"].append(rewards.mean().item())
        metrics["max_reward"].append(rewards.max().item())
        metrics["accuracy"].append((reward_difference > 0).float().mean().item())
        metrics["margin"].append(reward_difference.mean().item())
        metrics["tie_rate"].append((reward_difference == 0).float().mean().item())

    def state_of_run(self) -> NormBTState:
        """What a checkpoint keeps besides TRL's files: the running mean and the settings that give it meaning."""
        names = ("objective", "weighting", "norm_alpha", "norm_eps", "max_weight", "ema_beta", "weight_norm")
        return NormBTState(
            running_mean=self.running_mean.value,
            global_step=self.state.global_step,
            num_tokens=self._total_train_tokens,
            settings={name: getattr(self.args, name) for name in names},
        )

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """TRL's files plus ``normbt_state.json``."""
        super().save_model(output_dir, _internal_call=_internal_call)
        if self.args.should_save and not _internal_call:
            self.state_of_run().write(Path(output_dir or self.args.output_dir))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        run_dir = self._get_output_dir(trial=trial)
        folder = Path(run_dir) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            break_seal(folder)
        log = UnfinishedLog.of(self)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        # Sealed when every process has written its files; older checkpoints go only after that.
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self.state_of_run().write(folder)
            log.write(folder)
            seal_checkpoint(folder)
            rotate_checkpoints(
                output_dir=run_dir,
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """TRL's training; resuming restores the running mean and the unfinished log too.

        Args:
            resume_from_checkpoint: A checkpoint folder, or True for the newest complete one of ``output_dir``.
            **kwargs: Passed on.
        """
        output_dir = Path(self.args.output_dir)
        if resume_from_checkpoint is True:
            resume_from_checkpoint = str(last_complete_checkpoint(output_dir))
        elif resume_from_checkpoint:
            require_whole(Path(resume_from_checkpoint))
        step = self._restore(Path(resume_from_checkpoint)) if resume_from_checkpoint else 0
        self.accelerator.wait_for_everyone()  # every process has found the same checkpoint before one renames any
        if self.args.should_save:
            set_aside_after(output_dir, step)
        return super().train(resume_from_checkpoint=resume_from_checkpoint or None, **kwargs)

    def _restore(self, checkpoint: Path) -> int:
        state = NormBTState.read(checkpoint)
        self.running_mean.value = state.running_mean
        self._total_train_tokens = state.num_tokens
        self.resumed_log = UnfinishedLog.read(checkpoint)
        return state.global_step


_QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "p75": 0.75, "p90": 0.9, "max": 1.0}


def _pairs_that_count(inputs: dict[str, Any]) -> int:
    return 0 if inputs.get("only_repeats") else len(inputs["input_ids"]) // 2


def _short_name(model: Any) -> str:
    name = model if isinstance(model, str) else getattr(model.config, "_name_or_path", "") or "model"
    return str(name).rstrip("/").split("/")[-1]


def _restore_float32_masters(model: nn.Module) -> None:
    """Trained parameters in float32 again: on a 4-bit backbone TRL casts them, the score head included, to bfloat16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _require_trainable_head(model: nn.Module) -> None:
    """Stop before a run whose score head would stay random: PEFT freezes it unless told otherwise."""
    weight = score_head(model).weight
    if not weight.is_floating_point():
        raise UsageError(
            "the score head is quantised and cannot train: quantise the backbone only (llm_int8_skip_modules=['score'])"
        )
    if not weight.requires_grad:
        raise UsageError(
            "the score head is frozen, so the rewards would stay random: pass "
            "LoraConfig(task_type='SEQ_CLS', modules_to_save=['score'])"
        )
