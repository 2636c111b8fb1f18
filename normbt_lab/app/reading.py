"""What one model makes of one pair: its scored record, the size of the update under either loss, what to know of it.

The update sizes are those of the score head, where they are exact (paper eq. 6); ``notebooks/01_bradley_terry.ipynb``
derives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normbt_lab.app.settings import LONGEST_TEXT
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.scoring import ScoredPair, score_pairs

if TYPE_CHECKING:
    from normbt_lab.model import RewardModel
    from normbt_lab.state import NormBTState


@dataclass(frozen=True)
class Reading:
    """One pair as one model sees it.

    Attributes:
        model: Name of the model on the page.
        scored: Its record of the pair.
        why_no_weight: A sentence where `scored.weight` is None, else empty.
    """

    model: str
    scored: ScoredPair
    why_no_weight: str = ""

    @property
    def update_bradley_terry(self) -> float:
        """Norm of this pair's Bradley-Terry gradient at the score head: error times distance (paper eq. 6)."""
        return self.scored.prediction_error * self.scored.representation_distance

    @property
    def update_normbt(self) -> float | None:
        """The same under NormBT: the weight times that (paper eq. 13). None without a weight."""
        if self.scored.weight is None:
            return None
        # At distance 0 the weight may be infinite; the gradient, weight times nothing, is still nothing.
        return self.scored.weight * self.update_bradley_terry if self.scored.representation_distance else 0.0

    @property
    def notices(self) -> list[str]:
        """What a reader must know to take the numbers for what they are; often nothing."""
        scored = self.scored
        cut = [
            f"The {side} answer is longer than {self.model} reads: it was cut after {tokens:,} tokens, prompt included."
            for side, tokens, was_cut in (
                ("chosen", scored.tokens_chosen, scored.truncated_chosen),
                ("rejected", scored.tokens_rejected, scored.truncated_rejected),
            )
            if was_cut
        ]
        if scored.representation_distance == 0:
            cut.append(
                f"Both answers reach {self.model} as the same tokens. They lie at distance 0, so neither loss learns "
                "from this pair, and its weight, the running mean divided by almost nothing, has no meaning."
            )
        return cut

    def to_json(self) -> dict[str, Any]:
        """The computed fields of the record, both update sizes, and what to know of them."""
        return {
            "model": self.model,
            **self.scored.computed(),
            "update_bradley_terry": self.update_bradley_terry,
            "update_normbt": self.update_normbt,
            "why_no_weight": self.why_no_weight or None,
            "notices": self.notices,
        }


def checked_pair(prompt: str, chosen: str, rejected: str) -> PreferencePair:
    """The three texts as a pair.

    Raises:
        UsageError: One is empty, or longer than `LONGEST_TEXT`.
    """
    for name, text in (("prompt", prompt), ("chosen answer", chosen), ("rejected answer", rejected)):
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"The {name} is empty. A pair is a prompt and two answers to it, as text.")
        if len(text) > LONGEST_TEXT:
            raise UsageError(
                f"The {name} has {len(text):,} characters; this page takes {LONGEST_TEXT:,}. Shorten it, or score a "
                "file: normbt score --model DIR --input PAIRS.jsonl --output SCORES.jsonl"
            )
    return PreferencePair(prompt, chosen, rejected)


def read_pair(name: str, reward_model: RewardModel, pair: PreferencePair) -> Reading:
    """The reading of one pair by one model.

    Args:
        name: What the page calls the model.
        reward_model: The model.
        pair: The pair.

    Raises:
        NormBTError: It cannot be scored by this model; the message says why.
    """
    rejects = RejectLog()
    for scored in score_pairs(reward_model, [pair], rejects=rejects):
        return Reading(name, scored, "" if scored.weight is not None else _why_no_weight(reward_model.state))
    raise NormBTError(f"This pair cannot be scored: {', '.join(rejects.counts)}.")


def _why_no_weight(state: NormBTState | None) -> str:
    if state is None:
        return "This model keeps no running mean of the distance: it was not trained with normbt_lab."
    if state.running_mean is None:
        return "This model has no running mean yet: its training was not begun."
    return f"This model was trained with {state.settings.get('weighting')} weights, a running mean of something else."
