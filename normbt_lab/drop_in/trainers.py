"""NormBT in somebody else's trainer: two mixins, one for TRL's ``RewardTrainer``, one for transformers' ``Trainer``.

They are for a class hierarchy that must stay; a new run is better off with `normbt_lab.NormBTTrainer`, which also logs
distances and weights. Both save the running mean with each checkpoint and read it when they resume.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from normbt_lab.data.batches import PairBatch
from normbt_lab.drop_in.weights import WeightState, normbt_weights
from normbt_lab.errors import NormBTError
from normbt_lab.objectives import bradley_terry, margin_inside, reward_centering
from normbt_lab.representations import PairOutputs, outputs_from_tap, pad_token_id, tapped_score_head
from normbt_lab.whole_files import write_whole

STATE_FILE = "normbt_weights.json"

if TYPE_CHECKING:
    from transformers import Trainer as _Trainer
else:
    _Trainer = object


class _Weighted(_Trainer):
    """The running mean of a trainer: where it is kept, saved and restored."""

    def __init__(self, *args: Any, weight_state: WeightState | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight_state = weight_state or WeightState()

    def _weights(self, pairs: PairOutputs) -> Tensor:
        is_parallel = self.accelerator.num_processes > 1
        weights, self.weight_state = normbt_weights(
            pairs.h_chosen,
            pairs.h_rejected,
            self.weight_state,
            ends_step=self.accelerator.sync_gradients,
            sum_over_processes=partial(self.accelerator.reduce, reduction="sum") if is_parallel else None,
        )
        return weights

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            write_whole(folder / STATE_FILE, json.dumps(asdict(self.weight_state)), "the running mean")

    def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
        """The trainer's own; resuming restores the running mean too.

        Raises:
            NormBTError: The checkpoint has no running mean.
        """
        if resume_from_checkpoint is True:
            from transformers.trainer_utils import get_last_checkpoint

            resume_from_checkpoint = get_last_checkpoint(self.args.output_dir) or True  # True: the trainer's own error
        if isinstance(resume_from_checkpoint, str | Path):
            self.weight_state = _read_state(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)


def _read_state(checkpoint: Path) -> WeightState:
    try:
        return WeightState(**json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise NormBTError(
            f"{checkpoint} has no readable {STATE_FILE} ({error}): it was written by another trainer or cut short. "
            "Resume from an older checkpoint, or start again"
        ) from error


class NormBTRewardTrainerMixin(_Weighted):
    """Before TRL's ``RewardTrainer`` in a class's bases: its losses are weighted, everything else is TRL's.

    Margins and ``center_rewards_coefficient`` work as in TRL; the evaluation loss is TRL's, unweighted.

    Example:
        >>> from trl import RewardTrainer
        >>> class WeightedTrainer(NormBTRewardTrainerMixin, RewardTrainer):
        ...     pass
    """

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's forward pass and metrics, and the weighted loss in the place of TRL's."""
        if not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        with tapped_score_head(model) as tapped:
            _, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        batch = PairBatch.from_padded(inputs, pad_token_id(self.model))
        pairs = outputs_from_tap(tapped, batch)
        difference = pairs.reward_difference
        loss = bradley_terry(difference) if batch.margin is None else margin_inside(difference, batch.margin)
        weighted = (self._weights(pairs) * loss).mean()  # eq. 13
        coefficient = self.args.center_rewards_coefficient
        if coefficient is not None:
            weighted = weighted + coefficient * reward_centering(pairs.reward_chosen, pairs.reward_rejected).mean()
        return (weighted, outputs) if return_outputs else weighted


class NormBTTrainerMixin(_Weighted):
    """Before transformers' ``Trainer`` in a class's bases: it trains a reward model on pairs with weighted losses.

    A batch is ``input_ids`` and ``attention_mask`` of all chosen responses, then of all rejected ones in the same
    order; optionally ``margin``, one per pair. The evaluation loss is plain Bradley-Terry.
    """

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Weighted Bradley-Terry loss of a micro-batch; unweighted in evaluation."""
        batch = PairBatch.from_padded(inputs, pad_token_id(self.model))
        with tapped_score_head(model) as tapped:
            outputs = model(**batch.model_inputs())
        pairs = outputs_from_tap(tapped, batch)
        difference = pairs.reward_difference
        if not self.model.training:
            loss = bradley_terry(difference).mean()
        else:
            losses = bradley_terry(difference) if batch.margin is None else margin_inside(difference, batch.margin)
            loss = (self._weights(pairs) * losses).mean()  # eq. 13
        return (loss, outputs) if return_outputs else loss

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Tensor, None, None]:
        """The evaluation loss alone: pairs have no labels, and without these the Trainer would compute none."""
        with torch.no_grad(), self.compute_loss_context_manager():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach(), None, None
