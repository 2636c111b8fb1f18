"""From pairs to scored pairs: a stream in, the same order out, memory that does not grow with it.

What the two responses of a pair have in common is computed once where the model allows it (`normbt_lab.layouts`). A
window of pairs is sorted by length, so that batches hold little padding, and put back in order. No pair sees another
and padding is masked, so a pair's rewards do not depend on who shares its batch, or on the layout, beyond float32
rounding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normbt_lab.data.length_batches import TOKENS_PER_BATCH
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.rejects import RejectLog
from normbt_lab.data.tokenization import check_length_rule
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.pair_bar import pair_bar
from normbt_lab.scoring.batching import ReadyPair, batch_of, batches_of_like_length, layout_for, ready_pairs
from normbt_lab.scoring.scored_pair import ScoredPair, as_text, reward_fields

if TYPE_CHECKING:
    from normbt_lab.layouts import Layout
    from normbt_lab.model import RewardModel
    from normbt_lab.representations import PairOutputs
    from normbt_lab.state import NormBTState

BATCHES_PER_WINDOW = 4
"""Batches sorted by length together; records come out, and are safe in a file, a window at a time."""

LONGEST_DEFAULT = 4096
"""Tokens kept of a response when nothing else is asked for: the paper's length."""


@dataclass(frozen=True)
class WeightRule:
    """The NormBT weight of a distance under a fixed running mean (paper eq. 11).

    Example:
        >>> round(WeightRule(running_mean=3.0)(2.0), 6)
        1.5
    """

    running_mean: float
    norm_alpha: float = 1.0
    norm_eps: float = 1e-8
    max_weight: float | None = None

    def __call__(self, distance: float) -> float:
        """Weight of a pair whose representations lie this far apart."""
        import torch

        from normbt_lab.weights import normbt_weight

        settings = (self.running_mean, self.norm_alpha, self.norm_eps, self.max_weight)
        return normbt_weight(torch.tensor(distance, dtype=torch.float64), *settings).item()


def weight_rule(state: NormBTState | None, running_mean: float | None = None) -> WeightRule | None:
    """How this model's training weighs a pair, or would have; None where that is not known.

    Known are models trained with NormBT weights, and those trained with uniform ones, whose running mean was tracked
    all the same. Other weightings have a running mean of another quantity. Their batch-wide rescaling to mean 1
    (``weight_norm``) has no meaning for a single pair and is left out.

    Args:
        state: What the model's folder keeps of its training.
        running_mean: Takes the place of the stored one.

    Example:
        >>> weight_rule(None, running_mean=3.0)
        WeightRule(running_mean=3.0, norm_alpha=1.0, norm_eps=1e-08, max_weight=None)
    """
    settings = state.settings if state else {}
    measures_distance = settings.get("weighting") in ("normbt", "uniform")
    if running_mean is None and state is not None and measures_distance:
        # A run without a moving average (ema_beta None) weighs by the raw inverse distance.
        running_mean = 1.0 if settings.get("ema_beta", 0.9) is None else state.running_mean
    if running_mean is None:
        return None
    names = ("norm_alpha", "norm_eps", "max_weight")
    known = {name: settings[name] for name in names if name in settings} if measures_distance else {}
    return WeightRule(running_mean, **known)


def score_pairs(
    reward_model: RewardModel,
    pairs: Iterable[PreferencePair],
    *,
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    max_tokens_per_batch: int = TOKENS_PER_BATCH,
    running_mean: float | None = None,
    rejects: RejectLog | None = None,
    progress: bool = False,
) -> Iterator[ScoredPair]:
    """Each pair with its rewards, representation distance and weight, in the order they came.

    Over-long responses are cut on the right, with a flag, never dropped. A pair that the tokenizer or its chat
    template refuses cannot be scored; it is named, counted in `rejects` and skipped, and keeps its `index`.

    Args:
        reward_model: From `load_reward_model`.
        pairs: Pairs, from `read_pairs` or made by hand; read once, as needed.
        batch_size: Most pairs in one forward pass.
        max_length: Most tokens of a response with its prompt; None for 4,096 or the model's own limit, if lower.
        layout: ``auto`` computes what both responses share once, where a check on the first pairs shows that the model
            honours it; ``shared_prefix`` insists on it; ``padded`` computes each response by itself.
        max_tokens_per_batch: Most token slots of a forward pass, padding included; a pair with more goes alone.
        running_mean: Mean distance that weights refer to; None for the model's own. Without either, weights are None.
        rejects: Where refused pairs are counted and written.
        progress: Show a bar once it takes longer than two seconds.

    Raises:
        NormBTError: A reward or distance is not a finite number; the message names the pair.
        UsageError: A batch size, length or running mean out of range, or a layout that the model does not support.
    """
    scored = score_each(
        reward_model,
        pairs,
        batch_size=batch_size,
        max_length=max_length,
        layout=layout,
        max_tokens_per_batch=max_tokens_per_batch,
        rule=weight_rule(reward_model.state, checked_running_mean(running_mean)),
        rejects=rejects,
        progress=progress,
    )
    return (record for _, record in scored)


def checked_running_mean(running_mean: float | None) -> float | None:
    """The running mean as it was given, once it is known to be usable."""
    if running_mean is not None and not (math.isfinite(running_mean) and running_mean > 0):
        raise UsageError(f"running_mean must be a number above 0, in units of the distance; got {running_mean}")
    return running_mean


def longest_sequence(reward_model: RewardModel, max_length: int | None) -> int:
    """Most tokens that are scored of a response with its prompt."""
    if max_length is not None:
        return max_length
    config: Any = reward_model.model.config
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min(LONGEST_DEFAULT, context or LONGEST_DEFAULT)


def score_each(
    reward_model: RewardModel,
    pairs: Iterable[PreferencePair],
    *,
    batch_size: int = 8,
    max_length: int | None = None,
    layout: str = "auto",
    max_tokens_per_batch: int = TOKENS_PER_BATCH,
    rule: WeightRule | None = None,
    rejects: RejectLog | None = None,
    progress: bool = False,
    skip: int = 0,
) -> Iterator[tuple[PreferencePair, ScoredPair]]:
    """What `score_pairs` gives, each with the pair it came from, for callers that need the pair's own fields.

    Args:
        reward_model: As in `score_pairs`, like all that is not named here.
        pairs: The same.
        batch_size: The same.
        max_length: The same.
        layout: The same.
        max_tokens_per_batch: The same.
        rule: How pairs are weighed; None for no weight.
        rejects: The same.
        progress: The same.
        skip: Leave out that many pairs that can be scored, at the start: they are tokenised, so that refused ones are
            counted as ever, but not run through the model.
    """
    from normbt_lab.layouts import require_layout_name

    for name, value in (("batch_size", batch_size), ("max_tokens_per_batch", max_tokens_per_batch)):
        if value < 1:
            raise UsageError(f"{name} must be 1 or more; got {value}")
    require_layout_name(layout)
    if reward_model.tokenizer.pad_token_id is None:
        raise NormBTError(
            f"{reward_model.name} has no pad token, so transformers cannot tell where a response ends: "
            "set one in its tokenizer, other than the end-of-sequence token"
        )
    longest = longest_sequence(reward_model, max_length)
    check_length_rule(longest, "truncate_right")
    ready = itertools.islice(ready_pairs(reward_model, pairs, longest, rejects or RejectLog()), skip, None)
    batching = _Batching(layout, batch_size, max_tokens_per_batch)
    return _scored(reward_model, ready, batching, rule, pair_bar("Scoring", pairs, shown=progress, done=skip))


@dataclass(frozen=True)
class _Batching:
    """Which pairs go through the model together, and how: the arguments of `score_each` that change speed only."""

    layout: str
    batch_size: int
    max_tokens_per_batch: int


def _scored(
    reward_model: RewardModel, ready: Iterator[ReadyPair], batching: _Batching, rule: WeightRule | None, bar: Any
) -> Iterator[tuple[PreferencePair, ScoredPair]]:
    size, most = batching.batch_size, batching.max_tokens_per_batch
    with bar:
        while window := list(itertools.islice(ready, size * BATCHES_PER_WINDOW)):
            layout = layout_for(reward_model, window, batching.layout)
            scored: dict[int, ScoredPair] = {}
            for batch in batches_of_like_length(window, size, layout, most):
                scored.update((record.index, record) for record in _score_batch(reward_model, batch, layout, rule))
                bar.update(len(batch))
            yield from ((item.pair, scored[item.index]) for item in window)


def _score_batch(
    reward_model: RewardModel, batch: list[ReadyPair], layout: Layout, rule: WeightRule | None
) -> list[ScoredPair]:
    import torch

    from normbt_lab.layouts import PADDED
    from normbt_lab.representations import pair_outputs

    with torch.no_grad():
        outputs = pair_outputs(reward_model.model, batch_of(reward_model, batch, layout))
        if layout != PADDED and not outputs.reward_difference.isfinite().all():
            # What is not finite spreads over its row. With a row for each response, it stays with its pair.
            outputs = pair_outputs(reward_model.model, batch_of(reward_model, batch, PADDED))
    return records(batch, outputs, rule)


def records(batch: Sequence[ReadyPair], outputs: PairOutputs, rule: WeightRule | None) -> list[ScoredPair]:
    """What the model computed of a batch, as one record per pair."""
    rewards_chosen, rewards_rejected = outputs.reward_chosen.tolist(), outputs.reward_rejected.tolist()
    distances = outputs.representation_distance.tolist()
    return [
        _record(*measured, rule) for measured in zip(batch, rewards_chosen, rewards_rejected, distances, strict=True)
    ]


def _record(
    item: ReadyPair, reward_chosen: float, reward_rejected: float, distance: float, rule: WeightRule | None
) -> ScoredPair:
    for quantity, value in (("reward", reward_chosen), ("reward", reward_rejected), ("distance", distance)):
        if not math.isfinite(value):
            raise NormBTError(
                f"{item.name}: the {quantity} is {value}, not a finite number: an overflow in float16, or damaged "
                "weights. Score with dtype float32, or take an earlier checkpoint."
            )
    pair, tokens = item.pair, item.tokens
    if tokens.is_identical:
        # Two rows of one batch may be rounded differently: that would rank what no model can tell apart.
        reward_rejected, distance = reward_chosen, 0.0
    return ScoredPair(
        index=item.index,
        origin=pair.origin,
        category=pair.category,
        prompt=as_text(pair.prompt),
        chosen=as_text(pair.chosen),
        rejected=as_text(pair.rejected),
        **reward_fields(reward_chosen, reward_rejected),
        representation_distance=distance,
        weight=rule(distance) if rule else None,
        tokens_chosen=len(tokens.chosen_ids),
        tokens_rejected=len(tokens.rejected_ids),
        truncated_chosen=tokens.truncated_chosen,
        truncated_rejected=tokens.truncated_rejected,
    )
