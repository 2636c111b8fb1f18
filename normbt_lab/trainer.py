"""TRL's reward trainer with a weight per pair: what differs, and only that.

`NormBTConfig` and `NormBTTrainer` take the place of TRL's ``RewardConfig`` and ``RewardTrainer``; everything those
accept works here. With ``weighting="uniform"`` and ``layout="padded"`` the losses and the trained parameters are TRL's
to the bit.
The loop by hand, on one screen, is in ``notebooks/01_bradley_terry.ipynb``.

The running mean is fixed inside an optimizer step and updated once at its end from all pairs of the global batch
(`StepWeights`), and the loss is a sum over pairs divided by their number in the global batch. So a step does not depend
on how its pairs are split over micro-batches and processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers.trainer_utils import rotate_checkpoints
from trl import RewardTrainer

from normbt_lab.checkpoints import break_seal, checkpoint_to_resume, seal_checkpoint, set_aside_after
from normbt_lab.data.batches import PairBatch
from normbt_lab.dropout import seeded_dropout
from normbt_lab.errors import NotFiniteError, UsageError
from normbt_lab.finite import gradients_are_finite, parameters_are_finite
from normbt_lab.global_batch import (
    PairCollator,
    gather_pairs,
    has_repeats,
    mean_over_pairs,
    pairs_that_count,
    sum_over_processes,
    without_repeats,
)
from normbt_lab.gradients.exact import PairGradients, gradient_norms, gradients_of_forward
from normbt_lab.gradients.recording import recorded_calls
from normbt_lab.gradients.weighted_loss import weighted_loss
from normbt_lab.model import HEAD_CONFIG
from normbt_lab.objectives import OBJECTIVES, bradley_terry, reward_centering
from normbt_lab.representations import PairOutputs, outputs_from_tap, pad_token_id, tapped_score_head
from normbt_lab.resuming import ExactResume, UnfinishedLog
from normbt_lab.run_setup import (
    choose_layout_of_run,
    choose_objective,
    require_exact_gradients,
    require_trainable_head,
    restore_float32_masters,
)
from normbt_lab.state import NormBTState
from normbt_lab.step_metrics import Rewards, StepRecord, as_logits, detached_rewards, reward_metrics, weight_metrics
from normbt_lab.step_weights import StepWeights
from normbt_lab.trainer_config import NormBTConfig
from normbt_lab.weights import RunningMean
from normbt_lab.whole_files import explained_writing

__all__ = ["NormBTConfig", "NormBTTrainer", "PairCollator"]


class NormBTTrainer(RewardTrainer):
    """TRL's ``RewardTrainer`` whose loss weighs each pair (paper eq. 13).

    Everything not listed here is TRL's: data formats, tokenisation, PEFT, logging, checkpoints.

    Logged besides TRL's metrics, each a mean over the steps since the last log:
        running_mean: The running mean that the step's weights used, in the weighting's unit; 1 without one
            (``ema_beta=None``).
        distance_mean, distance_min, distance_p10, distance_p25, distance_p75, distance_p90, distance_max:
            Representation distances of the global batch (Figure 9).
        weight_mean, weight_max: Weights of the global batch.
        clipped_share: Share of pairs whose weight reached ``max_weight``, before ``mean1`` scales it.
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
        if getattr(self.model, "is_loaded_in_4bit", False):
            if args.pure_bf16:
                raise UsageError("pure_bf16 is for models that are not quantised: leave it out, or train without 4-bit")
            restore_float32_masters(self.model)
        elif args.pure_bf16:
            self.model.to(torch.bfloat16)
        require_trainable_head(self.model)
        if args.ema_scope == "micro" and self.accelerator.num_processes > 1:
            raise UsageError('ema_scope="micro" works on one process only: each process would track a mean of its own')
        is_sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        self.step_weights = StepWeights(args, lambda values: mean_over_pairs(self.accelerator, values))
        if self.step_weights.weighting.needs_gradients:
            require_exact_gradients(args.fp16, is_sharded)
        columns = getattr(self.train_dataset, "column_names", None) or []
        self.objective = choose_objective(args.objective, has_margin="margin" in columns)
        data = self.train_dataset if self.train_dataset is not None else self.eval_dataset
        self.layout = choose_layout_of_run(self.model, data, self.data_collator, args.layout, is_sharded)
        self._step = StepRecord()
        self._evaluated: list[Rewards] = []
        self.resumed_log: UnfinishedLog | None = None
        self.add_callback(ExactResume(self))

    @property
    def running_mean(self) -> RunningMean:
        """μ of eq. 12, in the weighting's unit."""
        return self.step_weights.running_mean

    # ---- the step: weigh each pair's loss, then let the pairs into the running mean ----------------------------------

    def _training_loss(self, model: nn.Module, batch: PairBatch) -> Tensor:
        """NormBT's loss (paper eq. 13): the mean of weight times Bradley-Terry over the pairs of one pass."""
        pairs, gradients = self._forward_with_gradients(model, batch)
        quantity = self.step_weights.weighting.quantity(pairs).detach()  # ‖h_w − h_l‖, (pairs,)
        weights, at_bound = self.step_weights.weigh(quantity)  # eq. 11, (pairs,)
        self._step.add(detached_rewards(pairs), quantity, pairs.representation_distance.detach(), weights, at_bound)
        return self._weighted_loss(pairs, weights, batch.margin, gradients) + self._centering(pairs)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """TRL's step; after the last micro-batch the running mean takes in the step's pairs.

        Raises:
            NotFiniteError: Loss or gradients of the step are not finite. The parameters are still those before it.
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
        self._log_rewards("train", *self._gather_rewards(self._step.rewards[-len(parts) :]))
        self._step.loss += loss.item()
        if self.accelerator.sync_gradients:
            self._require_finite_step()
            self._finish_step()
        return loss

    def _finish_step(self) -> None:
        step, self._step = self._step, StepRecord()
        self._metrics["train"]["running_mean"].append(self.step_weights.finish_step(step.quantities))
        distances, weights = (gather_pairs(self.accelerator, values) for values in (step.distances, step.weights))
        at_bound = None if self.args.max_weight is None else gather_pairs(self.accelerator, step.at_bound)
        self._add_metrics("train", weight_metrics(distances, weights, at_bound))

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
        return (loss, as_logits(self._step.rewards[-len(parts) :])) if return_outputs else loss

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

    def _loss_of_no_pairs(self, model: nn.Module, parts: list[PairBatch]) -> Tensor:
        """Zero, after the passes that the other processes wait for."""
        outputs = [self._forward(model, part) for part in parts]
        self._step.add_no_pairs(like=outputs[0].reward_chosen)
        return 0.0 * torch.stack([(pairs.reward_chosen + pairs.reward_rejected).sum() for pairs in outputs]).sum()

    def _require_finite_step(self) -> None:
        loss = sum_over_processes(self.accelerator, self._step.loss)
        if not math.isfinite(loss):
            what = f"the loss became {loss}"
        elif not gradients_are_finite(self.model, self.accelerator):
            what = "the gradients became infinite or NaN"
        else:
            return
        pairs = torch.cat(self._step.pair_indices).tolist() if self._step.pair_indices else []
        raise NotFiniteError(
            f"{what} at step {self.state.global_step + 1}, pairs {pairs or 'unknown'} of the training data: too high a "
            "learning rate, an overflow in float16, or damaged rows. The parameters were not updated with it; the last "
            "good checkpoint is kept. Lower learning_rate, set max_grad_norm, or look at these pairs.",
            pairs,
        )

    # ---- forward passes ----------------------------------------------------------------------------------------------

    def _batches(self, inputs: dict[str, Any]) -> list[PairBatch]:
        """The pairs of the collator's batch in the layout of the run, split where they exceed the token budget."""
        pad = pad_token_id(self.model)
        return self.layout.micro_batches(PairBatch.from_padded(inputs, pad), pad, self.args.max_tokens_per_batch)

    def _forward(self, model: nn.Module, batch: PairBatch) -> PairOutputs:
        with tapped_score_head(model) as tapped:
            model(**batch.model_inputs())
        return outputs_from_tap(tapped, batch, average_pool=self.step_weights.weighting.needs_average_pool)

    def _forward_with_gradients(self, model: nn.Module, batch: PairBatch) -> tuple[PairOutputs, PairGradients | None]:
        """A forward pass; where weights need exact gradients, with these and their norms. None otherwise."""
        if not self.step_weights.weighting.needs_gradients:
            return self._forward(model, batch), None
        with recorded_calls(self.model) as calls:
            pairs = self._forward(model, batch)
        gradients = gradients_of_forward(self.model, batch, pairs, calls, retain_graph=self._needs_graph)
        return replace(pairs, gradient_distance=gradients.norms.gradient_distance), gradients

    @property
    def _needs_graph(self) -> bool:
        """Centring pulls both rewards one way, which gradients of their difference do not hold."""
        return self.args.center_rewards_coefficient is not None

    # ---- before the step: its pairs, and what its weights need from all of them --------------------------------------

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], int | None]:
        """The micro-batches of one optimizer step, and the number of pairs in them over all processes.

        Where the step's weights need a statistic of the whole global batch before its first backward pass
        (`StepWeights.looks_ahead`), it is measured here by forward passes.
        """
        batch_samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if not batch_samples:
            return batch_samples, None
        batch_samples[-1] = without_repeats(self.accelerator, batch_samples[-1])
        pairs = sum_over_processes(self.accelerator, float(sum(pairs_that_count(inputs) for inputs in batch_samples)))
        if self.step_weights.looks_ahead:
            self.model.train()
            # Dropout that depends on the step alone: a resumed run restores its random numbers only after this.
            with seeded_dropout(self.args.seed + self.state.global_step, self.accelerator.device):
                self.step_weights.look_ahead(self._quantities_ahead(batch_samples))
        return batch_samples, int(pairs)

    def _quantities_ahead(self, batch_samples: list[Any]) -> list[Tensor]:
        quantities = []
        for inputs in batch_samples:
            with self.compute_loss_context_manager():
                ahead = [self._quantity_ahead(part) for part in self._batches(self._prepare_inputs(inputs))]
            quantities += [quantity[:0] for quantity in ahead] if inputs.get("only_repeats") else ahead
        return quantities

    def _quantity_ahead(self, batch: PairBatch) -> Tensor:
        weighting = self.step_weights.weighting
        if weighting.needs_gradients:
            return gradient_norms(self.model, batch).gradient_distance
        # Past DDP's wrapper, which would wait for other processes though each has a number of passes of its own.
        is_ddp = isinstance(self.model_wrapped, nn.parallel.DistributedDataParallel)
        with torch.no_grad():
            return weighting.quantity(self._forward(self.model if is_ddp else self.model_wrapped, batch))

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(dataset, Dataset) and "pair_index" not in dataset.column_names:
            dataset = dataset.add_column("pair_index", list(range(len(dataset))))
        return super()._prepare_dataset(dataset, *args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["chosen_ids", "rejected_ids", "margin", "pair_index"]

    # ---- evaluation: plain Bradley-Terry, each pair counted once -----------------------------------------------------

    def _evaluation_loss(
        self, model: nn.Module, parts: list[PairBatch], inputs: dict[str, Any], return_outputs: bool
    ) -> Any:
        rewards = self._rewards(model, parts)
        loss = bradley_terry(torch.cat([chosen - rejected for chosen, rejected in rewards])).mean()
        if has_repeats(self.accelerator):
            once = without_repeats(self.accelerator, inputs)
            counted = self._rewards(model, self._batches(once))  # on every process: under FSDP passes are in step
            self._evaluated += [] if once["only_repeats"] else counted
        else:
            self._evaluated += rewards
        return (loss, as_logits(rewards)) if return_outputs else loss

    def _rewards(self, model: nn.Module, parts: list[PairBatch]) -> list[Rewards]:
        return [detached_rewards(self._forward(model, part)) for part in parts]

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """TRL's loop, whose loss and metrics are means over pairs, each counted once.

        TRL averages over batches, and over pairs that fill up the last one.
        """
        self._evaluated = []
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        nothing = torch.empty(0, device=self.accelerator.device)
        chosen, rejected = self._gather_rewards(self._evaluated or [(nothing, nothing)])
        self._log_rewards("eval", chosen, rejected)
        output.metrics[f"{metric_key_prefix}_loss"] = bradley_terry(chosen - rejected).mean().item()
        return output

    # ---- logs --------------------------------------------------------------------------------------------------------

    def _count_tokens(self, attention_mask: Tensor) -> None:
        self._total_train_tokens += self.accelerator.gather(attention_mask.sum()).sum().item() // self._tp_size

    def _gather_rewards(self, rewards: list[Rewards]) -> tuple[Tensor, Tensor]:
        """Rewards of the chosen and the rejected responses of all processes, shape (pairs,) each."""
        chosen, rejected = zip(*rewards, strict=True)
        return gather_pairs(self.accelerator, list(chosen)), gather_pairs(self.accelerator, list(rejected))

    def _log_rewards(self, mode: str, chosen: Tensor, rejected: Tensor) -> None:
        self._metrics[mode]["num_tokens"] = [self._total_train_tokens]
        self._add_metrics(mode, reward_metrics(chosen, rejected))

    def _add_metrics(self, mode: str, metrics: dict[str, float]) -> None:
        """Let values into the means of the next log."""
        for name, value in metrics.items():
            self._metrics[mode][name].append(value)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        self._add_metrics("train", {"clip_rate": float(float(norm) > self.args.max_grad_norm)})
        return norm

    # ---- checkpoints -------------------------------------------------------------------------------------------------

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
        if not parameters_are_finite(self.model, self.accelerator):
            raise NotFiniteError(
                f"the parameters are infinite or NaN after step {self.state.global_step}: too high a learning rate, or "
                "an overflow. They were not stored; the last good checkpoint is kept. Lower learning_rate."
            )
        run_dir = self._get_output_dir(trial=trial)
        folder = Path(run_dir) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            break_seal(folder)
        log = UnfinishedLog.of(self)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with explained_writing(folder, "the checkpoint"):
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

        Raises:
            UsageError: The checkpoint's running mean is of another quantity (`StepWeights.resume`).
        """
        output_dir = Path(self.args.output_dir)
        checkpoint = checkpoint_to_resume(output_dir, resume_from_checkpoint)
        step = self._restore(checkpoint) if checkpoint else 0
        self.accelerator.wait_for_everyone()  # every process has found the same checkpoint before one renames any
        if self.args.should_save:
            set_aside_after(output_dir, step)
        return super().train(resume_from_checkpoint=str(checkpoint) if checkpoint else None, **kwargs)

    def _restore(self, checkpoint: Path) -> int:
        state = NormBTState.read(checkpoint)
        self.step_weights.resume(state)
        self._total_train_tokens = state.num_tokens
        self.resumed_log = UnfinishedLog.read(checkpoint)
        return state.global_step


def _short_name(model: Any) -> str:
    name = model if isinstance(model, str) else getattr(model.config, "_name_or_path", "") or "model"
    return str(name).rstrip("/").split("/")[-1]
