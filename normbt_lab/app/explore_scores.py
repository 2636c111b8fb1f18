"""A data set through the eyes of one reward model: where its pairs come from, and everything computed of them at once.

One forward pass gives the scored records and the representations behind them, so that the Weight tab can weigh the
pairs anew, and train a score head on them, without the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from normbt_lab.data.bundled import load_bundled_pairs
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.readers import read_pairs
from normbt_lab.data.rejects import Reason, RejectLog
from normbt_lab.errors import NormBTError
from normbt_lab.evaluation.groups import group_names
from normbt_lab.scoring import ScoredPair, WeightRule, weight_rule
from normbt_lab.scoring.batching import ReadyPair, batch_of, batches_of_like_length, layout_for, ready_pairs
from normbt_lab.scoring.score import longest_sequence, records

if TYPE_CHECKING:
    from normbt_lab.layouts import Layout
    from normbt_lab.model import RewardModel
    from normbt_lab.representations import PairOutputs

MOST_EXPLORED = 500
"""Pairs that one visitor explores at a time: minutes on a CPU, and few megabytes of representations kept."""

LONGEST_RESPONSE = 1024
"""Tokens of a response with its prompt that are read here; longer ones are cut and flagged."""

NAMED_ROWS = 5
"""Rejected rows that the page names; all are counted."""

BATCH_SIZE = 8

UseModel = Callable[[], AbstractContextManager["RewardModel"]]
"""Gives the model for as long as the context lasts."""


@dataclass(frozen=True)
class PairSource:
    """Pairs before any model saw them.

    Attributes:
        name: What the page calls it.
        pairs: Pairs, `MOST_EXPLORED` at most.
        notices: What a reader must know: rows that were refused, pairs beyond the limit.
    """

    name: str
    pairs: Sequence[PreferencePair]
    notices: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Explored:
    """A data set as one reward model sees it. It belongs to one visitor, and to no other.

    Attributes:
        model: Name of the model on the page.
        source: Name of the data set.
        pairs: Pairs that could be scored.
        scored: Their records, in the same order; each has a weight. Where some have a category, the others are
            `UNCATEGORISED`, so that a part of the records is called what it is called among all.
        outputs: Rewards and representations behind the records, averages over the tokens included.
        rule: How the records are weighed.
        notices: What a reader must know to take the numbers for what they are; often nothing.
    """

    model: str
    source: str
    pairs: Sequence[PreferencePair]
    scored: Sequence[ScoredPair]
    outputs: PairOutputs
    rule: WeightRule
    notices: Sequence[str]


class Progress(NamedTuple):
    """How many of the pairs are scored."""

    done: int
    total: int


class NamedRejects(RejectLog):
    """A count of refused rows that also keeps the names of the first few.

    Example:
        >>> rejects = NamedRejects()
        >>> rejects.reject("pairs.jsonl:3", Reason.MISSING_FIELD, {}, "no 'rejected'")
        >>> rejects.named()
        "1 row rejected: 1 missing field. pairs.jsonl:3: missing field (no 'rejected')"
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def reject(self, origin: str | None, reason: Reason, row: Any, detail: str = "") -> None:
        """Count a row and keep its name if it is among the first."""
        super().reject(origin, reason, row, detail)
        if len(self.names) < NAMED_ROWS:
            self.names.append(f"{origin or 'a pair'}: {reason}" + (f" ({detail})" if detail else ""))

    def named(self) -> str:
        """The counts, then the first rows."""
        more = self.total - len(self.names)
        return f"{self.summary()}. {'; '.join(self.names)}" + (f"; and {more:,} more" if more else "")


def bundled_source(split: str, limit: int) -> PairSource:
    """The first pairs of a bundled split, which holds its categories in turn.

    Example:
        >>> bundled_source("test", 3).name
        'bundled test'
    """
    return PairSource(f"bundled {split.replace('_', ' ')}", load_bundled_pairs(split, limit=min(limit, MOST_EXPLORED)))


def uploaded_source(path: str | Path, limit: int) -> PairSource:
    """The first pairs of an uploaded file; refused rows are named in the notices.

    Args:
        path: JSONL, JSON, CSV or Parquet file.
        limit: Most pairs to take.

    Raises:
        NormBTError: It cannot be read, or holds no pair; the message calls it by its own name.
    """
    path = Path(path)
    limit = min(limit, MOST_EXPLORED)
    rejects = NamedRejects()
    try:
        found = list(itertools.islice(read_pairs(path, rejects=rejects), limit + 1))
    except NormBTError as error:
        raise NormBTError(_by_own_name(str(error), path)) from error
    notices = [_by_own_name(rejects.named(), path)] if rejects.total else []
    if len(found) > limit:
        notices.append(f"The first {limit:,} pairs of {path.name}; it holds more.")
    pairs = [replace(pair, origin=_by_own_name(pair.origin or "", path)) for pair in found[:limit]]
    return PairSource(path.name, pairs, notices)


def _by_own_name(message: str, path: Path) -> str:
    """The message without the folder that the server keeps uploads in."""
    return message.replace(str(path), path.name)


def explore_pairs(name: str, use_model: UseModel, source: PairSource) -> Explored:
    """What `explore_in_steps` comes to, for callers that wait for all of it."""
    *_, explored = explore_in_steps(name, use_model, source)
    assert isinstance(explored, Explored)
    return explored


def explore_in_steps(name: str, use_model: UseModel, source: PairSource) -> Iterator[Progress | Explored]:
    """What the model makes of the pairs: one forward pass per batch for records and representations alike.

    A generator, so that whoever drives it can stop: once it is closed, no further batch is computed. Without a running
    mean of its own, the model's pairs are weighed by the mean distance over these; a notice says so.

    Args:
        name: What the page calls the model.
        use_model: Gives the model exclusively, for one batch at a time, so that others need not wait for all of them.
        source: The pairs.

    Yields:
        How far it is, once the pairs are tokens and after each batch; at last what it came to.

    Raises:
        NormBTError: No pair could be scored, or a reward that is not finite.
    """
    rejects = NamedRejects()
    with use_model() as reward_model:
        longest = min(LONGEST_RESPONSE, longest_sequence(reward_model, None))
        rule = weight_rule(reward_model.state)
        ready = list(ready_pairs(reward_model, source.pairs, longest, rejects))
    if not ready:
        raise NormBTError(f"{source.name} has no pair that {name} could score: {rejects.named()}")
    yield Progress(0, len(ready))
    with use_model() as reward_model:
        layout = layout_for(reward_model, ready, "auto")
    scored: list[ScoredPair] = []
    parts: list[PairOutputs] = []
    for batch in batches_of_like_length(ready, BATCH_SIZE, layout):
        with use_model() as reward_model:
            parts.append(_outputs(reward_model, batch, layout))
        scored += records(batch, parts[-1], None)
        yield Progress(len(scored), len(ready))
    notices = [*source.notices, *_notices(name, rule, rejects, scored, longest)]
    rule = rule or WeightRule(sum(pair.representation_distance for pair in scored) / len(scored))
    order = sorted(range(len(scored)), key=lambda i: scored[i].index)
    weighted = [replace(scored[i], weight=rule(scored[i].representation_distance)) for i in order]
    yield Explored(
        model=name,
        source=source.name,
        pairs=[item.pair for item in ready],
        scored=_all_categorised(weighted),
        outputs=type(parts[0]).joined(parts).take(order),
        rule=rule,
        notices=notices,
    )


def _all_categorised(scored: Sequence[ScoredPair]) -> list[ScoredPair]:
    """The records, with a category for each where one has any."""
    categories = [pair.category for pair in scored]
    if not any(categories):
        return list(scored)
    return [replace(pair, category=name) for pair, name in zip(scored, group_names(categories), strict=True)]


def _outputs(reward_model: RewardModel, batch: Sequence[ReadyPair], layout: Layout) -> PairOutputs:
    import torch

    from normbt_lab.representations import pair_outputs

    with torch.no_grad():
        outputs = pair_outputs(reward_model.model, batch_of(reward_model, batch, layout), average_pool=True)
    return replace(outputs, **{name: value.float().cpu() for name, value in vars(outputs).items() if value is not None})


def _notices(
    name: str, rule: WeightRule | None, rejects: NamedRejects, scored: Sequence[ScoredPair], longest: int
) -> list[str]:
    cut = sum(pair.truncated_chosen or pair.truncated_rejected for pair in scored)
    same = sum(pair.representation_distance == 0 for pair in scored)
    found = {
        f"{name} refused some. {rejects.named()}": rejects.total,
        f"{cut:,} of {len(scored):,} pairs are longer than {longest:,} tokens and were cut there.": cut,
        f"{same:,} of {len(scored):,} pairs have distance 0: {name} reads both answers alike. The figures leave them "
        "out.": same,
        f"{name} keeps no running mean of the distance, so weights refer to the mean over these pairs.": rule is None,
    }
    return [notice for notice, is_so in found.items() if is_so]
