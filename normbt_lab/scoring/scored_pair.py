"""What is known of a pair once a model has scored it: plain numbers and text, no torch, so figures load in no time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

from normbt_lab.data.pairs import PreferencePair, Text


def _described(label: str, unit: str = "", *, is_computed: bool = False) -> Any:
    return field(metadata={"label": label, "unit": unit, "is_computed": is_computed})


def _computed(label: str, unit: str = "") -> Any:
    return _described(label, unit, is_computed=True)


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """One pair with everything that was computed for it.

    The fields stand here once, each with the label and unit that tables, hover texts and the app show
    (`field_label`). Those marked as computed are what `normbt score` adds to a record of its input.
    """

    index: int = _described("pair")
    origin: str | None = _described("read from")
    category: str | None = _described("category")
    prompt: str = _described("prompt")
    chosen: str = _described("chosen")
    rejected: str = _described("rejected")
    reward_chosen: float = _computed("reward of chosen", "log-odds")
    reward_rejected: float = _computed("reward of rejected", "log-odds")
    reward_difference: float = _computed("reward difference", "log-odds")
    preference_probability: float = _computed("preference probability", "0 to 1")
    prediction_error: float = _computed("prediction error", "0 to 1")
    representation_distance: float = _computed("representation distance", "units of h")
    weight: float | None = _computed("NormBT weight", "factor on the loss")
    tokens_chosen: int = _computed("length of chosen", "tokens")
    tokens_rejected: int = _computed("length of rejected", "tokens")
    truncated_chosen: bool = _computed("chosen was cut")
    truncated_rejected: bool = _computed("rejected was cut")

    @property
    def is_correct(self) -> bool:
        """Whether chosen has the higher reward; a tie is not correct."""
        return self.reward_difference > 0

    @property
    def is_tie(self) -> bool:
        """Whether the two rewards are exactly equal."""
        return self.reward_difference == 0

    @property
    def head_update_size(self) -> float:
        """Norm of the pair's Bradley-Terry gradient at the score head: error times distance (paper eq. 6)."""
        return self.prediction_error * self.representation_distance

    def with_rewards(self, chosen: float, rejected: float) -> ScoredPair:
        """The record with these rewards and all that follows from them; distance and weight stay.

        Args:
            chosen: Reward of the chosen response.
            rejected: Reward of the rejected one.
        """
        return replace(self, **reward_fields(chosen, rejected))

    def computed(self) -> dict[str, Any]:
        """The computed fields alone, in order, under the names they have in a scored record."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["is_computed"]}


def reward_fields(chosen: float, rejected: float) -> dict[str, Any]:
    """The fields of `ScoredPair` that the two rewards decide.

    Args:
        chosen: Reward of the chosen response.
        rejected: Reward of the rejected one.

    Example:
        >>> reward_fields(chosen=1.5, rejected=1.5)["prediction_error"]
        0.5
    """
    difference = chosen - rejected
    return {
        "reward_chosen": chosen,
        "reward_rejected": rejected,
        "reward_difference": difference,
        "preference_probability": _sigmoid(difference),
        "prediction_error": _sigmoid(-difference),  # not 1 - sigmoid(d), which is 0 long before the error is
    }


def _sigmoid(x: float) -> float:
    """1 / (1 + e^-x) without overflow on either side."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def field_label(name: str) -> str:
    """Label of a field of `ScoredPair` with its unit, as an axis or a column shows it.

    Example:
        >>> field_label("representation_distance")
        'representation distance (units of h)'
    """
    metadata = next(f.metadata for f in fields(ScoredPair) if f.name == name)
    return f"{metadata['label']} ({metadata['unit']})" if metadata["unit"] else metadata["label"]


def as_text(text: Text | None) -> str:
    """A text or conversation as a person reads it; roles are named where there is more than one turn.

    Example:
        >>> print(as_text([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]))
        user: 2 + 2?
        <BLANKLINE>
        assistant: 4
    """
    if text is None or isinstance(text, str):
        return text or ""
    if len(text) == 1:
        return text[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in text)


def own_fields(pair: PreferencePair) -> dict[str, Any]:
    """The fields of the record that a pair was read from; of a pair made by hand, its own."""
    names = ("prompt", "chosen", "rejected", "margin", "category")
    return dict(pair.row) or {name: getattr(pair, name) for name in names if getattr(pair, name) is not None}
