"""What a NormBT run keeps beside the stock files of a model: its running mean and the settings behind it.

It lies in ``normbt_state.json``, never in the weights, so that the reward model itself stays stock (decisions, point
41).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from normbt_lab.errors import NormBTError
from normbt_lab.whole_files import write_whole

STATE_FILE = "normbt_state.json"


@dataclass(frozen=True)
class NormBTState:
    """The state of a run at one step, plain numbers and text.

    Attributes:
        running_mean: μ of eq. 12 after `global_step` steps; None before the first.
        global_step: Optimizer steps done.
        num_tokens: Tokens trained on, as TRL counts them.
        settings: Arguments of `NormBTConfig` that define the weights.
        backbone: What the model stands on (name, number of layers, label, SHA-256, quantised), so that an adapter finds
            its backbone on another machine; empty in checkpoints and for models of other tools.
    """

    running_mean: float | None
    global_step: int = 0
    num_tokens: float = 0
    settings: dict[str, Any] = field(default_factory=dict)
    backbone: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``normbt_state.json`` into a folder, whole or not at all."""
        write_whole(folder / STATE_FILE, json.dumps(asdict(self), indent=2) + "\n", "the state of the run")

    @classmethod
    def read(cls, folder: Path) -> NormBTState:
        """The state in a folder.

        Raises:
            NormBTError: The file is missing or damaged.
        """
        path = folder / STATE_FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise NormBTError(
                f"{folder} has no {STATE_FILE}: not a checkpoint of NormBTTrainer, or one whose writing was cut short. "
                "Resume from an older checkpoint."
            ) from None
        except (ValueError, TypeError) as error:
            raise NormBTError(f"{path} is damaged ({error}). Resume from an older checkpoint.") from error
