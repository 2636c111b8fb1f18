"""The explored pairs as rows to filter and to sort, and one of them as text to read."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from normbt_lab.evaluation.groups import group_names
from normbt_lab.figures import count_of_pairs
from normbt_lab.scoring.scored_pair import own_fields

if TYPE_CHECKING:
    from normbt_lab.app.explore_scores import Explored
    from normbt_lab.scoring.scored_pair import ScoredPair

VERDICTS = ("all", "right", "wrong")

COLUMNS = ("pair", "category", "ranked", "difference", "error", "distance", "update", "weight", "prompt")

EXCERPT = 90
"""Characters of a prompt in the table."""


@dataclass(frozen=True)
class Filter:
    """Which of the explored pairs are shown.

    Attributes:
        categories: Shown categories.
        verdict: One of `VERDICTS`; a tie is ranked wrong, as everywhere.
        low: Least distance; None for no bound.
        high: Largest distance; None for no bound.
    """

    categories: Collection[str]
    verdict: str = VERDICTS[0]
    low: float | None = None
    high: float | None = None

    def keeps(self, pair: ScoredPair) -> bool:
        """Whether this pair is shown."""
        return (
            _group(pair) in self.categories
            and (self.verdict == VERDICTS[0] or pair.is_correct == (self.verdict == VERDICTS[1]))
            and (self.low is None or pair.representation_distance >= self.low)
            and (self.high is None or pair.representation_distance <= self.high)
        )


def in_order(scored: Sequence[ScoredPair], order: str) -> list[ScoredPair]:
    """The pairs in one of `ORDERS`; those that are alike in it as they came."""
    return sorted(scored, key=ORDERS[order])


def neighbour(shown: Sequence[ScoredPair], index: int | None, step: int) -> ScoredPair | None:
    """The pair so many steps from the one of this index; at an end that end, and the first where it is not shown.

    Args:
        shown: The pairs shown, in their order.
        index: `ScoredPair.index` of the pair to start from; None for none.
        step: 1 for the next, -1 for the previous, 0 for the pair itself.
    """
    places = [pair.index for pair in shown]
    if index not in places:
        return shown[0] if shown else None
    return shown[min(max(places.index(index) + step, 0), len(shown) - 1)]


def table_rows(scored: Sequence[ScoredPair]) -> list[list[str | int | float]]:
    """One row per pair under `COLUMNS`."""
    return [
        [
            pair.index,
            _group(pair),
            "right" if pair.is_correct else "tie" if pair.is_tie else "wrong",
            _rounded(pair.reward_difference),
            _rounded(pair.prediction_error),
            _rounded(pair.representation_distance),
            _rounded(pair.head_update_size),
            _rounded(pair.weight or 0.0),
            textwrap.shorten(pair.prompt[: 8 * EXCERPT], EXCERPT, placeholder=" ..."),
        ]
        for pair in scored
    ]


def _group(pair: ScoredPair) -> str:
    """What it is counted among: of explored pairs, all have a category or none has."""
    return group_names([pair.category])[0]


ORDERS: dict[str, Callable[[ScoredPair], float]] = {
    "update, largest first": lambda pair: -pair.head_update_size,
    "distance, largest first": lambda pair: -pair.representation_distance,
    "distance, smallest first": lambda pair: pair.representation_distance,
    "reward difference, largest first": lambda pair: -pair.reward_difference,
    "reward difference, smallest first": lambda pair: pair.reward_difference,
    "weight, largest first": lambda pair: -(pair.weight or 0.0),
    "weight, smallest first": lambda pair: pair.weight or 0.0,
    "as in the data": lambda pair: pair.index,
}
"""What the page calls an order -> what it sorts by, from small to large. The first holds until another is chosen."""


def _rounded(value: float) -> float:
    """Three significant digits, as a number, so that a table still sorts by size."""
    return float(f"{value:.3g}")


def summary_html(explored: Explored, shown: Sequence[ScoredPair]) -> str:
    """What was scored, how much of it is shown, and how right the model is on that."""
    name, source = html.escape(explored.model), html.escape(explored.source)
    count = f"{len(shown):,} of {count_of_pairs(len(explored.scored))}"
    if not shown:
        return f"<p><b>{source}</b> through <b>{name}</b>: {count} shown. Widen the filters to see some.</p>"
    right = sum(pair.is_correct for pair in shown)
    share = f"{right:,} of them ranked right ({100 * right / len(shown):.1f}&nbsp;%)"
    mean = f"Running mean behind the weights: {explored.rule.running_mean:#.3g}."
    return f"<p><b>{source}</b> through <b>{name}</b>: {count} shown, {share}. {mean}</p>"


def reading_html(pair: ScoredPair) -> str:
    """One pair to read: its numbers in a line, then the three texts, shown as they are."""
    ranked = "ranked right" if pair.is_correct else "a tie" if pair.is_tie else "ranked wrong"
    numbers = {
        "error": f"{pair.prediction_error:.3f}",
        "distance": f"{pair.representation_distance:.3g}",
        "update": f"{pair.head_update_size:.3g}",
        "weight": f"{pair.weight or 0:.3g}",
        "reward difference": f"{pair.reward_difference:+.3f}",
    }
    line = "".join(f"<span>{label} <b>{value}</b></span>" for label, value in numbers.items())
    where = f" · {html.escape(pair.origin)}" if pair.origin else ""
    heading = f"Pair {pair.index} · {html.escape(_group(pair))} · {ranked}{where}"
    texts = "".join(
        f"<h4>{label}</h4><pre>{html.escape(text)}</pre>"
        for label, text in (
            ("prompt", pair.prompt),
            (f"chosen, reward {pair.reward_chosen:+.3f}", pair.chosen),
            (f"rejected, reward {pair.reward_rejected:+.3f}", pair.rejected),
        )
        if text
    )
    return f'<article class="reading"><h3>{heading}</h3><p class="facts">{line}</p>{texts}</article>'


def place_html(place: int, count: int) -> str:
    """Where the pair that is read stands among those shown; a screen reader says it when it changes."""
    return f'<p role="status">{place:,} of {count:,}</p>'


def write_records(explored: Explored, folder: Path) -> Path:
    """The scored records as JSON lines, each with the fields of its input, as ``normbt score`` writes them."""
    path = folder / f"{Path(explored.source).stem.replace(' ', '-')}.scored.jsonl"
    lines = [
        json.dumps({**own_fields(pair), **scored.computed()}, ensure_ascii=False, default=str)
        for pair, scored in zip(explored.pairs, explored.scored, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
