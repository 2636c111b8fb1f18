"""What one model makes of one pair: its scored record, the size of the update under either loss, what to know of it.

The update sizes are those of the score head, where they are exact (paper eq. 6); ``notebooks/01_bradley_terry.ipynb``
derives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normbt_lab.app.settings import LONGEST_TEXT
from normbt_lab.app.trace import Trace, pooled_states, trace_of
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.rejects import RejectLog
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.scoring import ScoredPair, weight_rule

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
        trace: The pair's way through the model.
        running_mean: Mean distance in the model's training, to which weights refer; None where it is not known.
    """

    model: str
    scored: ScoredPair
    why_no_weight: str = ""
    trace: Trace | None = None
    running_mean: float | None = None

    @property
    def update_bradley_terry(self) -> float:
        """Norm of this pair's Bradley-Terry gradient at the score head."""
        return self.scored.head_update_size

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


def checked_pair(prompt: str, chosen: str, rejected: str) -> tuple[PreferencePair, list[str]]:
    """The three texts as a pair, and which of them were cut to `LONGEST_TEXT`, a sentence each.

    Raises:
        UsageError: One is empty.
    """
    texts, notices = [], []
    for name, text in (("prompt", prompt), ("chosen answer", chosen), ("rejected answer", rejected)):
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"The {name} is empty. A pair is a prompt and two answers to it, as text.")
        texts.append(text[:LONGEST_TEXT])
        if len(text) > LONGEST_TEXT:
            notices.append(
                f"The {name} has {len(text):,} characters, of which this page reads the first {LONGEST_TEXT:,}. For "
                "longer texts: normbt score --model DIR --input PAIRS.jsonl --output SCORES.jsonl"
            )
    return PreferencePair(texts[0], texts[1], texts[2]), notices


def read_pair(name: str, reward_model: RewardModel, pair: PreferencePair) -> Reading:
    """The reading of one pair by one model, from one forward pass.

    Args:
        name: What the page calls the model.
        reward_model: The model.
        pair: The pair.

    Raises:
        NormBTError: It cannot be scored by this model; the message says why.
    """
    import torch

    from normbt_lab.layouts import PADDED
    from normbt_lab.representations import outputs_from_tap, tapped_score_head
    from normbt_lab.scoring.batching import batch_of, ready_pairs
    from normbt_lab.scoring.score import longest_sequence, records

    rejects = RejectLog()
    ready = next(ready_pairs(reward_model, [pair], longest_sequence(reward_model, None), rejects), None)
    if ready is None:
        raise NormBTError(f"This pair cannot be scored: {', '.join(rejects.counts)}.")
    # A row for each answer, although what they share is then computed twice: the trace shows the score head at every
    # token of both, and of shared rows a batch gives back the pooled tokens only.
    batch = batch_of(reward_model, [ready], PADDED)
    model = reward_model.model
    with torch.no_grad(), pooled_states(model, batch) as states, tapped_score_head(model) as tapped:
        model(**batch.model_inputs())
    outputs = outputs_from_tap(tapped, batch)
    rule = weight_rule(reward_model.state)
    (scored,) = records([ready], outputs, rule)
    assert tapped.scores is not None  # outputs_from_tap has seen to it
    if states:
        states.append(torch.cat([outputs.h_chosen, outputs.h_rejected]))
    return Reading(
        name,
        scored,
        "" if rule else _why_no_weight(reward_model.state),
        trace_of(ready.tokens, reward_model.tokenizer, tapped.scores.squeeze(-1), states),
        rule.running_mean if rule else None,
    )


def _why_no_weight(state: NormBTState | None) -> str:
    if state is None:
        return "This model keeps no running mean of the distance: it was not trained with normbt_lab."
    if state.running_mean is None:
        return "This model has no running mean yet: its training was not begun."
    return f"This model was trained with {state.settings.get('weighting')} weights, a running mean of something else."


def all_notices(readings: Sequence[Reading]) -> list[str]:
    """What there is to know of these readings, and why one of them has no weight."""
    notices = [notice for reading in readings for notice in reading.notices]
    return notices + [f"{reading.model}: {reading.why_no_weight}" for reading in readings if reading.why_no_weight]
