"""Faults of preference data: pairs that cannot teach, ones that teach something else, margins of several scales."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean, median
from typing import TYPE_CHECKING

import torch

from normbt_lab.data.checks import CheckReport, PreparedPairs
from normbt_lab.data.pairs import PreferencePair, Text
from normbt_lab.data.rejects import Reason
from normbt_lab.doctor.finding import Fault, Finding, Severity
from normbt_lab.doctor.measure import Measured, differing_span
from normbt_lab.weights import pair_weights

if TYPE_CHECKING:
    from normbt_lab.trainer import NormBTConfig

IDENTICAL_LINK = "https://github.com/natolambert/rlhf-book/issues/503"
OVERLONG_LINK = "https://github.com/huggingface/trl/issues/1832"
LENGTH_LINK = "https://github.com/allenai/reward-bench/issues/267"
MARGIN_LINK = "https://github.com/huggingface/trl/issues/718"
PAPER_LINK = "https://arxiv.org/abs/2512.06343"

OVERLONG_SHARE = 0.05
SHORTCUT_ACCURACY = 0.6
NEAR_DUPLICATE_SHARE = 0.01
ONE_CHARACTER_IN = 50
"""Two responses that differ in no more than one character of so many differ little."""
LARGE_WEIGHT = 10.0
"""A pair that pulls as ten others do."""
SCALE_RATIO = 3.0
FEWEST_OF_SOURCE = 10
SOURCE_COLUMNS = ("source", "dataset", "data_source")

IDENTICAL_PAIRS = Fault(
    "identical_pairs",
    Severity.WARNING,
    "no model can tell the sides apart; at distance 0 NormBT's weight is running mean / eps, and other tools train on "
    "such pairs",
    "raise max_length if the sides differ only beyond it, or remove the pairs from the data",
    IDENTICAL_LINK,
)
OVERLONG_PAIRS = Fault(
    "overlong_pairs",
    Severity.WARNING,
    "what is left is not the data you chose: long answers are missing, or judged by a part of them",
    "raise max_length; or choose the loss knowingly with overlong: drop, truncate_left or truncate_right",
    OVERLONG_LINK,
)
LENGTH_SHORTCUT = Fault(
    "length_shortcut",
    Severity.WARNING,
    "length is the easiest thing to learn, and a model that learned it looks good on data of the same kind",
    "compare every accuracy with this one; balance the data by length, or evaluate where length does not help",
    LENGTH_LINK,
)
NEAR_DUPLICATES = Fault(
    "near_duplicates",
    Severity.WARNING,
    "unless the prompt asks for a form, the label says nothing there; their representations are close, so NormBT "
    "weighs such pairs up",
    "look at a few; remove them where the difference means nothing, or bound the weight with max_weight",
    PAPER_LINK,
)
SMALL_DIFFERENCES = Fault(
    "small_differences",
    Severity.NOTE,
    "their representations are close, so NormBT weighs them up: what it is for where the letter decides, as a wrong "
    "variable does, and noise where it is a slip of the pen",
    "look at a few, and keep them if the label is right",
    PAPER_LINK,
)
LARGE_WEIGHT_EXPECTED = Fault(
    "large_weight",
    Severity.WARNING,
    "one such pair moves the model as much as that many others, right or wrong",
    f"look at the pair; max_weight: {LARGE_WEIGHT:.0f} bounds it, weight_norm: mean1 keeps the step's size",
    PAPER_LINK,
)
MARGINS_INCOMPLETE = Fault(
    "margins_incomplete",
    Severity.WARNING,
    "a batch needs one for every pair, so the column is left out and none is used",
    "give every pair a margin, or say objective: bradley_terry",
    MARGIN_LINK,
)
MARGINS_NEGATIVE = Fault(
    "margins_negative",
    Severity.WARNING,
    "the ratings say the rejected response is the better one: exchanged columns, or labels that contradict ratings",
    "look at such pairs, and exchange or remove them",
    MARGIN_LINK,
)
MARGIN_SCALES_MIXED = Fault(
    "margin_scales_mixed",
    Severity.WARNING,
    "sources rate on scales of their own; taken as one scale, the source with the larger numbers dominates",
    "divide each source's margins by their mean before mixing (margin_scale: mean1 has one mean for all), or say "
    "objective: bradley_terry",
    MARGIN_LINK,
)


def check_identical(report: CheckReport) -> list[Finding]:
    """``identical_pairs``: both sides are the same tokens, as the data has them or because both were cut."""
    count = report.rejected.get(Reason.IDENTICAL, 0)
    if not count:
        return []
    limit = f" at max_length {report.max_length:,}" if report.max_length else ""
    evidence = f"{count:,} of {report.read:,} pairs are the same tokens on both sides{limit}; they are left out here"
    return [IDENTICAL_PAIRS.found(evidence)]


def check_overlong(report: CheckReport) -> list[Finding]:
    """``overlong_pairs``: a share of the data that is dropped or cut."""
    dropped = report.rejected.get(Reason.OVER_LONG, 0)
    share = (dropped + report.truncated) / max(report.read, 1)
    if share < OVERLONG_SHARE:
        return []
    return [
        OVERLONG_PAIRS.found(
            f"{share:.0%} of {report.read:,} pairs are above max_length {report.max_length:,}: {dropped:,} dropped, "
            f"{report.truncated:,} cut"
        )
    ]


def check_length_shortcut(report: CheckReport) -> list[Finding]:
    """``length_shortcut``: who always prefers the longer (or the shorter) side is right too often.

    A shortcut must be beyond chance as well: three standard errors of a fair coin.
    """
    if not report.kept:
        return []
    accuracy = max(report.longer_chosen, 1 - report.longer_chosen)
    if accuracy < SHORTCUT_ACCURACY or accuracy - 0.5 < 3 * 0.5 / report.kept**0.5:
        return []
    which = "longer" if report.longer_chosen > 0.5 else "shorter"
    return [LENGTH_SHORTCUT.found(f"preferring the {which} side is right in {accuracy:.0%} of {report.kept:,} pairs")]


def check_near_duplicates(data: PreparedPairs) -> list[Finding]:
    """``near_duplicates`` (the sides say the same words) and ``small_differences`` (they differ in a letter or two)."""
    same = {i for i, pair in enumerate(data.pairs) if _letters(pair.chosen) == _letters(pair.rejected)}
    close = [i for i, pair in enumerate(data.pairs) if _differs_little(pair) and i not in same]
    enough = max(NEAR_DUPLICATE_SHARE * len(data), 1)
    findings = []
    if len(same) >= enough:
        counted = _counted(sorted(same), data)
        findings.append(NEAR_DUPLICATES.found(f"{counted} differ in case, blanks or punctuation marks only"))
    if len(close) >= enough:
        findings.append(SMALL_DIFFERENCES.found(f"{_counted(close, data)} differ in a letter or two"))
    return findings


def _counted(found: Sequence[int], data: PreparedPairs) -> str:
    return f"{len(found):,} of {len(data):,} pairs (the first: {data.pairs[found[0]].origin or f'number {found[0]}'})"


def check_maximum_weight(measured: Measured, data: PreparedPairs, config: NormBTConfig) -> list[Finding]:
    """``large_weight``: the largest weight to expect, from the closest pairs and the mean distance of typical ones."""
    if config.weighting != "normbt" or config.ema_beta is None:
        return []
    smallest = min(measured.closest)
    running_mean = mean(measured.typical)
    weight = pair_weights(
        torch.tensor([smallest]), "normbt", running_mean, config.norm_alpha, config.norm_eps, config.max_weight
    ).item()
    if weight <= LARGE_WEIGHT:
        return []
    position = measured.closest_pairs[measured.closest.index(smallest)]
    where = data.pairs[position].origin or f"number {position}"
    return [
        LARGE_WEIGHT_EXPECTED.found(
            f"expect weights of {weight:,.0f} and more: the mean distance is about {running_mean:.3g}, that of pair "
            f"{where} {smallest:.3g}"
        )
    ]


def check_margins(pairs: Sequence[PreferencePair], objective: str = "auto") -> list[Finding]:
    """``margins_incomplete``, ``margins_negative`` or ``margin_scales_mixed``, where the objective uses margins.

    Args:
        pairs: Pairs; their source is a column ``source``, ``dataset`` or ``data_source``, or else the category.
        objective: `NormBTConfig.objective`.
    """
    margins = [pair.margin for pair in pairs if pair.margin is not None]
    if not margins or objective not in ("auto", "margin", "margin_outside"):
        return []
    findings = []
    if len(margins) < len(pairs):
        findings.append(
            MARGINS_INCOMPLETE.found(f"{len(pairs) - len(margins):,} of {len(pairs):,} pairs have no margin")
        )
    negative = sum(margin < 0 for margin in margins)
    if negative:
        findings.append(MARGINS_NEGATIVE.found(f"{negative:,} of {len(margins):,} margins are below 0"))
    scales = _scales(pairs)
    if len(margins) == len(pairs) and scales and max(scales.values()) >= SCALE_RATIO * min(scales.values()):
        low, high = min(scales, key=scales.__getitem__), max(scales, key=scales.__getitem__)
        evidence = f"the median margin is {scales[low]:.3g} in {low!r} and {scales[high]:.3g} in {high!r}"
        findings.append(MARGIN_SCALES_MIXED.found(evidence))
    return findings


def _scales(pairs: Iterable[PreferencePair]) -> dict[str, float]:
    """Median size of the margins of each source that has enough of them."""
    by_source = defaultdict(list)
    for pair in pairs:
        if pair.margin:
            by_source[_source(pair)].append(abs(pair.margin))
    return {source: median(sizes) for source, sizes in by_source.items() if len(sizes) >= FEWEST_OF_SOURCE}


def _source(pair: PreferencePair) -> str:
    named = next((pair.row[column] for column in SOURCE_COLUMNS if pair.row.get(column)), pair.category)
    return str(named)


def _differs_little(pair: PreferencePair) -> bool:
    chosen, rejected = _joined(pair.chosen), _joined(pair.rejected)
    return differing_span(chosen, rejected) * ONE_CHARACTER_IN <= max(len(chosen), len(rejected))


def _letters(text: Text) -> str:
    """What is left without case, blanks and punctuation marks. Signs such as <, + and : mean something, and stay."""
    return re.sub(r"[\s.,;!?]+", "", _joined(text)).lower()


def _joined(text: Text) -> str:
    return text if isinstance(text, str) else "\n".join(message["content"] for message in text)
