"""What a training loop needs besides its checkpoints, so that a resumed run logs and evaluates like a whole one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from normbt_lab.whole_files import write_whole

LOG_FILE = "normbt_log.json"


@dataclass(frozen=True)
class UnfinishedLog:
    """What a run has summed up for its next log when a checkpoint falls between two logs.

    Without it, the first log after resuming would average over fewer steps than that of an uninterrupted run.

    Attributes:
        loss: Sum of the losses since the last log, mean over processes.
        last_logged_step: The step of that log.
        metrics: Name -> one value per micro-batch or step since then.
    """

    loss: float
    last_logged_step: int
    metrics: dict[str, list[float]]

    @classmethod
    def of(cls, trainer: Any) -> UnfinishedLog:
        """The unfinished log of a trainer; every process has to ask, because their losses are gathered."""
        loss = trainer.accelerator.gather(trainer._tr_loss).mean().item()
        return cls(loss, trainer._globalstep_last_logged, dict(trainer._metrics["train"]))

    def put_back(self, trainer: Any) -> None:
        """Let a trainer whose training has just begun continue this log."""
        trainer._tr_loss += self.loss
        trainer._total_loss_scalar -= self.loss  # train_loss is the mean over the steps of one call of train()
        trainer._globalstep_last_logged = self.last_logged_step
        for name, values in self.metrics.items():
            trainer._metrics["train"][name] = list(values)

    def write(self, folder: Path) -> None:
        """Write ``normbt_log.json`` into a checkpoint."""
        write_whole(folder / LOG_FILE, json.dumps(asdict(self)) + "\n", "the checkpoint")

    @classmethod
    def read(cls, folder: Path) -> UnfinishedLog:
        """The unfinished log of a whole checkpoint."""
        return cls(**json.loads((folder / LOG_FILE).read_text(encoding="utf-8")))


class ExactResume(TrainerCallback):
    """Continues an unfinished log, and saves after what the end of an epoch logs and evaluates.

    transformers saves after a step and evaluates after the epoch. A run resumed from a checkpoint between the two goes
    on with the next epoch, and the evaluation is never made.

    Args:
        trainer: The trainer whose callback this is; its `resumed_log` is put back when training begins.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self._save_is_due = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Continue the log of the checkpoint, in the mode in which the model then was."""
        if self.trainer.resumed_log is not None:
            self.trainer.resumed_log.put_back(self.trainer)
            # TRL logs the metrics of that mode, also where no step is left to set it.
            self.trainer.model.train(not _ends_with_evaluation(state))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put off the checkpoint of an epoch's last step."""
        if control.should_save and state.epoch == int(state.epoch):
            control.should_save = False
            self._save_is_due = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write it now; transformers logs and evaluates before it saves."""
        control.should_save = control.should_save or self._save_is_due
        self._save_is_due = False


def _ends_with_evaluation(state: Any) -> bool:
    """Whether a run has evaluated since its last step."""
    last = state.log_history[-1] if state.log_history else {}
    return last.get("step") == state.global_step and any(name.startswith("eval_") for name in last)
