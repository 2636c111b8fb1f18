"""What is looked at before training: pairs in, the ones that can be trained on out, and a count of all others.

A pair whose two sides are the same tokens has distance 0 and would get NormBT's largest weight (running mean / eps) for
nothing but rounding noise, so such pairs matter more here than elsewhere (decisions, point 9).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING

from normbt_lab.data.formats import has_equal_ratings, is_empty
from normbt_lab.data.margins import scaled_margins
from normbt_lab.data.pairs import PreferencePair
from normbt_lab.data.rejects import Reason, RejectLog
from normbt_lab.data.tokenization import TokenizedPair, UntokenizablePair, check_length_rule, tokenize_pair
from normbt_lab.errors import NormBTError, UsageError
from normbt_lab.pair_bar import pair_bar

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass
class CheckReport:
    """What the checks found, as counts.

    Attributes:
        read: Pairs that arrived, and rows that their reader rejected into the same log.
        kept: Pairs that are left.
        rejected: Rows that are not among them, by reason.
        truncated: Kept pairs of which at least one side was cut.
        with_margin: Kept pairs that have a margin.
        negative_margins: Kept pairs whose ratings contradict the label.
        categories: Kept pairs by category.
        max_length: The limit in tokens; None for none.
        lengths: Tokens in the longer sequence of each kept pair.
        longer_chosen: Share of kept pairs whose chosen side has more tokens, equal lengths counted half: the accuracy
            of a judge that looks at length only.
    """

    read: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    truncated: int = 0
    with_margin: int = 0
    negative_margins: int = 0
    categories: Counter[str] = field(default_factory=Counter)
    max_length: int | None = None
    lengths: list[int] = field(default_factory=list)
    longer_chosen: float = 0.0

    def lines(self) -> list[str]:
        """The report as a reader wants it: one finding a line, what did not occur left out."""
        lines = [f"{self.kept:,} of {self.read:,} pairs kept"]
        lines += [f"dropped {count:,}: {self._explained(reason)}" for reason, count in self.rejected.items()]
        if self.truncated:
            lines.append(f"cut {self.truncated:,} pairs to {self.max_length:,} tokens")
        if self.kept:
            lines.append(f"tokens in the longer side: {_spread(self.lengths)}")
            lines.append(f"length-only baseline: the longer side is the chosen one in {self.longer_chosen:.1%}")
        if len(self.categories) > 1:
            lines.append("categories: " + ", ".join(f"{name} {count:,}" for name, count in self.categories.items()))
        if 0 < self.with_margin < self.kept:
            lines.append(f"{self.with_margin:,} of {self.kept:,} pairs have a margin: without all, none is used")
        if self.negative_margins:
            lines.append(f"negative margins: {self.negative_margins:,} (the ratings contradict the labels)")
        return lines

    def _explained(self, reason: str) -> str:
        return f"{reason} (a side above {self.max_length:,} tokens)" if reason == Reason.OVER_LONG else reason

    def _add(self, pair: PreferencePair, tokenized: TokenizedPair) -> None:
        chosen, rejected = len(tokenized.chosen_ids), len(tokenized.rejected_ids)
        self.longer_chosen = (self.longer_chosen * self.kept + _longer_wins(chosen, rejected)) / (self.kept + 1)
        self.kept += 1
        self.lengths.append(max(chosen, rejected))
        self.truncated += tokenized.truncated_chosen or tokenized.truncated_rejected
        self.with_margin += pair.margin is not None
        self.negative_margins += pair.margin is not None and pair.margin < 0
        self.categories[pair.category or "none"] += 1


@dataclass(frozen=True)
class PreparedPairs:
    """Pairs that passed the checks, their token ids in the same order, and what the checks found."""

    pairs: list[PreferencePair]
    tokenized: list[TokenizedPair]
    report: CheckReport

    def __len__(self) -> int:
        return len(self.pairs)

    def to_dataset(self, *, with_margins: bool = True, margin_scale: str | None = None) -> Dataset:
        """The pairs as TRL's trainer takes them: columns ``chosen_ids``, ``rejected_ids``, ``index`` and ``margin``.

        ``index`` is the place in `pairs`, so that a batch can be named. ``margin`` is there only if every pair has one.

        Args:
            with_margins: False leaves the margins out, for a loss that does not read them.
            margin_scale: What the margins are divided by, as in `scaled_margins`.

        Raises:
            NormBTError: The margins cannot be brought to this scale.
        """
        from datasets import Dataset

        columns: dict[str, list] = {
            "chosen_ids": [tokenized.chosen_ids for tokenized in self.tokenized],
            "rejected_ids": [tokenized.rejected_ids for tokenized in self.tokenized],
            "index": list(range(len(self))),
        }
        margins = [pair.margin for pair in self.pairs if pair.margin is not None] if with_margins else []
        if margins and len(margins) == len(self):
            columns["margin"] = scaled_margins(margins, margin_scale)
        elif margins:
            missing = len(self) - len(margins)
            logger.warning("%d of %d pairs have no margin, so the margin column is left out", missing, len(self))
        return Dataset.from_dict(columns)


def prepare_pairs(
    pairs: Iterable[PreferencePair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None,
    overlong: str = "drop",
    rejects: RejectLog | None = None,
    progress: bool = True,
    limit: int | None = None,
) -> PreparedPairs:
    """Tokenised pairs that can be trained on, in order, with a report on all others.

    Left out, counted and written to the reject file are pairs that are over-long (unless they are to be cut), identical
    after tokenising, empty, rated alike, refused by the chat template, or ending in the pad token (the model would
    read the reward one token early).

    Args:
        pairs: Pairs, from `read_pairs` or made by hand; read once.
        tokenizer: The model's tokenizer.
        max_length: Longest allowed sequence in tokens; None for no limit.
        overlong: ``drop``, ``truncate_left`` or ``truncate_right``, as in `tokenize_pair`.
        rejects: Where rejected pairs are counted and written. Rows that `read_pairs` rejects into the same log while it
            feeds this function are part of the report.
        progress: Show a bar once it takes longer than two seconds.
        limit: Stop at so many kept pairs; None to take all. What stands behind the last of them is not read, so it is
            in no count of the report.

    Raises:
        NormBTError: No pair is left.
        UsageError: An unknown `overlong`, or a `max_length` or `limit` below 1.
    """
    check_length_rule(max_length, overlong)
    if limit is not None and limit < 1:
        raise UsageError(f"the number of pairs to keep is {limit}, expected 1 or more, or none for all")
    rejects = rejects or RejectLog()
    rejected_before = rejects.counts.copy()
    report = CheckReport(max_length=max_length)
    prepared = PreparedPairs([], [], report)
    one_of_each: dict[int, int] = {}
    for pair in pair_bar("Tokenising", pairs, shown=progress):
        checked = _checked(pair, tokenizer, max_length, overlong)
        if isinstance(checked, TokenizedPair):
            prepared.pairs.append(pair)
            prepared.tokenized.append(_sharing_integers(checked, one_of_each))
            report._add(pair, checked)
            if len(prepared) == limit:
                break
        else:
            reason, detail = checked
            rejects.reject(pair.origin, reason, pair.row or _as_row(pair), detail)
    report.rejected = rejects.counts - rejected_before
    report.read = report.kept + report.rejected.total()
    if not prepared.pairs:
        raise NormBTError("; ".join(report.lines()) + _hint(report))
    return prepared


def _checked(
    pair: PreferencePair, tokenizer: PreTrainedTokenizerBase, max_length: int | None, overlong: str
) -> TokenizedPair | tuple[Reason, str]:
    """The pair's tokens, or why it can't be trained on."""
    if is_empty(pair.chosen) or is_empty(pair.rejected):
        return Reason.EMPTY_RESPONSE, ""
    if has_equal_ratings(pair):
        return Reason.EQUAL_RATINGS, ""
    try:
        tokenized = tokenize_pair(pair, tokenizer, max_length, overlong)
    except UntokenizablePair as error:
        return Reason.NOT_TOKENIZABLE, str(error)
    if tokenized is None:
        return Reason.OVER_LONG, f"above {max_length} tokens"
    if tokenized.is_identical:
        return Reason.IDENTICAL, ""
    if tokenizer.pad_token_id in (tokenized.chosen_ids[-1], tokenized.rejected_ids[-1]):
        return Reason.ENDS_IN_PAD, f"{tokenizer.pad_token!r}: is the pad token also the end-of-sequence token?"
    return tokenized


def _sharing_integers(tokenized: TokenizedPair, one_of_each: dict[int, int]) -> TokenizedPair:
    """The same ids, equal ones being one object: 8 bytes a token instead of 36, which 80,000 long pairs feel."""
    share = one_of_each.setdefault
    return TokenizedPair(
        [share(token, token) for token in tokenized.chosen_ids],
        [share(token, token) for token in tokenized.rejected_ids],
        tokenized.truncated_chosen,
        tokenized.truncated_rejected,
    )


def _hint(report: CheckReport) -> str:
    if not report.read:
        return ": there was nothing to check"
    common = report.rejected.most_common(1)[0][0]
    hints = {
        Reason.OVER_LONG: "Raise max_length, or set overlong to truncate_left or truncate_right.",
        Reason.IDENTICAL: "Both sides say the same, or are cut where they still do: raise max_length.",
        Reason.ENDS_IN_PAD: "Give the tokenizer a pad token of its own, other than the end-of-sequence token.",
        Reason.NOT_TOKENIZABLE: "Take a model whose chat template takes such turns.",
    }
    return ". " + hints.get(Reason(common), "Look at the rows that were skipped.")


def _as_row(pair: PreferencePair) -> dict:
    """A record for the reject file of a pair that was made by hand."""
    return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected, "margin": pair.margin}


def _longer_wins(chosen: int, rejected: int) -> float:
    return 0.5 if chosen == rejected else float(chosen > rejected)


def _spread(lengths: list[int]) -> str:
    high = quantiles(lengths, n=10, method="inclusive")[-1] if len(lengths) > 1 else lengths[0]
    return f"median {median(lengths):,.0f}, 90th percentile {high:,.0f}, longest {max(lengths):,}"
