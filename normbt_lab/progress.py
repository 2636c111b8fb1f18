"""A training bar that says in words a reader knows how the run is going."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

SHOWN = {"loss": "loss", "accuracy": "accuracy", "distance_mean": "distance", "weight_mean": "weight"}
"""Logged metric -> what the bar calls it."""


class BarWithMetrics(TrainerCallback):
    """One progress bar for a run, with the last logged loss, accuracy, distance and weight beside it.

    Args:
        name: What the bar is called.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar, at the step where the run resumes."""
        if state.is_world_process_zero:
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.name, unit="step")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance by one optimizer step."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Show the last logged numbers."""
        if self.bar is not None and logs and "loss" in logs:
            self.bar.set_postfix({shown: f"{logs[name]:.3g}" for name, shown in SHOWN.items() if name in logs})

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """End the bar's line, also of a run that broke off: what is printed next begins on a line of its own."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


@contextmanager
def readable_progress(trainer: Any) -> Iterator[None]:
    """While the trainer trains, one bar with the numbers that matter in place of a dictionary per log.

    Under ``disable_tqdm`` there is neither.
    """
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    bar = BarWithMetrics(Path(trainer.args.output_dir).name)
    if not trainer.args.disable_tqdm:
        trainer.add_callback(bar)
    try:
        yield
    finally:
        bar.close()
