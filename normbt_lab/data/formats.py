"""From one record to one `PreferencePair`: the column layouts that preference data comes in.

`read_pairs` finds the layout from the columns of each record; its name can also be given.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from normbt_lab.data.pairs import Message, PreferencePair, Text
from normbt_lab.data.rejects import BadRow, Reason
from normbt_lab.errors import UsageError

CATEGORY_SUBSETS: dict[str, tuple[str, ...]] = {
    "chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
    "chat hard": (
        "mt-bench-hard",
        "llmbar-natural",
        "llmbar-adver-neighbor",
        "llmbar-adver-GPTInst",
        "llmbar-adver-GPTOut",
        "llmbar-adver-manual",
    ),
    "safety": (
        "refusals-dangerous",
        "refusals-offensive",
        "xstest-should-refuse",
        "xstest-should-respond",
        "donotanswer",
    ),
    "reasoning": ("math-prm", "hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"),
}
"""The four RewardBench categories and their subsets (RewardBench's ``constants.SUBSET_MAPPING``)."""

SUBSET_CATEGORY: dict[str, str] = {
    subset: category for category, subsets in CATEGORY_SUBSETS.items() for subset in subsets
}

RATING_COLUMNS = (("score_chosen", "score_rejected"), ("rating_chosen", "rating_rejected"))
"""Columns whose difference is the margin where there is no ``margin`` column."""

SUMMARY_INSTRUCTION = "Generate one-sentence summary for the following post: "
"""What the reference code puts before posts of the summary sources, which come without an instruction."""


class Sides(NamedTuple):
    """What a layout says about a pair."""

    prompt: Text | None
    chosen: Text
    rejected: Text
    margin: float | None


def pair_from_row(row: Any, format: str = "auto", origin: str | None = None) -> PreferencePair:
    """The pair that a record holds.

    Args:
        row: A record as it was read: column names to values.
        format: A name in `FORMATS`, or ``auto`` to go by the columns.
        origin: Where the record came from, for messages.

    Raises:
        BadRow: The record is not a pair: which field, and what is wrong with it.
        UsageError: An unknown format.

    Example:
        >>> pair = pair_from_row({"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "subset": "hep-python"})
        >>> pair.chosen, pair.category
        ('4', 'reasoning')
    """
    check_format(format)
    if not isinstance(row, Mapping):
        raise BadRow(Reason.WRONG_TYPE, f"a record has named fields, this is {_described(row)}", row)
    try:
        sides = FORMATS[detect_format(row) if format == "auto" else format](row)
        return PreferencePair(*sides, category=_category(row), origin=origin, row=row)
    except BadRow as bad:
        bad.row = row
        raise


def check_format(format: str) -> None:
    """Raise UsageError unless `format` is ``auto`` or a name in `FORMATS`."""
    if format != "auto" and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}: expected auto, {', '.join(FORMATS)}")


def detect_format(row: Mapping[str, Any]) -> str:
    """Name of the layout that the columns show; ``trl`` where nothing tells otherwise.

    Example:
        >>> detect_format({"conv_A": [], "conv_B": [], "conv_A_rating": 1, "conv_B_rating": 2})
        'unified_feedback'
    """
    if "conv_A" in row or "conv_B" in row:
        return "unified_feedback"
    if any(_is_transcript(row.get(side)) for side in ("chosen", "rejected")):
        return "hh_rlhf"
    if row.get("prompt") is not None and _subset_category(row) is not None:
        return "rewardbench"
    if row.get("prompt") is None and isinstance(row.get("chosen"), Sequence) and not isinstance(row["chosen"], str):
        return "skywork"
    return "trl"


def has_equal_ratings(pair: PreferencePair) -> bool:
    """Whether the pair's margin is 0 because both responses are rated alike, so that nothing is preferred.

    A ``margin`` column that says 0 is kept apart: there someone did choose, by the smallest margin.
    """
    if pair.margin != 0 or pair.row.get("margin") is not None:
        return False
    return any(pair.row.get(chosen) is not None for chosen, _ in RATING_COLUMNS)


def is_empty(text: Text) -> bool:
    """Whether a response has nothing to say: blank text, no turns, or a blank last turn."""
    if isinstance(text, str):
        return not text.strip()
    return not text or not text[-1]["content"].strip()


def _trl(row: Mapping[str, Any]) -> Sides:
    """TRL's columns: strings or message lists, with or without a prompt."""
    chosen, rejected = _response(row, "chosen"), _response(row, "rejected")
    prompt = _text(row, "prompt") if row.get("prompt") is not None else None
    if not isinstance(chosen, str) and not isinstance(rejected, str):
        # Lists that open with the user's turn hold the whole conversation; a prompt string beside them repeats it.
        repeats_prompt = isinstance(prompt, str) and all(side[0]["role"] != "assistant" for side in (chosen, rejected))
        if not prompt or repeats_prompt:
            prompt, chosen, rejected = _split_prompt(chosen, rejected)
    return Sides(prompt or None, chosen, rejected, _margin(row))


def _skywork(row: Mapping[str, Any]) -> Sides:
    """Skywork-Reward-Preference: two whole conversations as message lists."""
    chosen, rejected = _conversation(row, "chosen"), _conversation(row, "rejected")
    return Sides(*_split_prompt(chosen, rejected), _margin(row))


def _rewardbench(row: Mapping[str, Any]) -> Sides:
    """RewardBench: prompt, chosen, rejected and the subset that gives the category."""
    for column in ("prompt", "subset"):
        _present(row, column)
    return _trl(row)


def _hh_rlhf(row: Mapping[str, Any]) -> Sides:
    """hh-rlhf: two transcripts with Human and Assistant turns, alike up to the last."""
    chosen, rejected = (_transcript_turns(row, side) for side in ("chosen", "rejected"))
    return Sides(*_split_prompt(chosen, rejected), _margin(row))


def _unified_feedback(row: Mapping[str, Any]) -> Sides:
    """Unified-Feedback: two rated conversations; the better rated is chosen, equal ratings are no pair.

    As in the code that the paper builds on: the margin is the rating difference, unscaled, and summary sources get an
    instruction (decisions, points 15 and 32).
    """
    ratings = {side: _number(row, f"conv_{side}_rating") for side in "AB"}
    conversations = {side: _conversation(row, f"conv_{side}") for side in "AB"}
    if ratings["A"] is None or ratings["B"] is None:
        raise BadRow(Reason.MISSING_FIELD, "conv_A_rating or conv_B_rating is empty")
    margin = _rating_difference(ratings["A"], ratings["B"])
    if margin == 0:
        raise BadRow(Reason.EQUAL_RATINGS, f"both {ratings['A']:g}")
    better, worse = ("A", "B") if margin > 0 else ("B", "A")
    prompt, chosen, rejected = _split_prompt(conversations[better], conversations[worse])
    if prompt and "summarize" in str(row.get("source")):
        prompt = [{**prompt[0], "content": SUMMARY_INSTRUCTION + prompt[0]["content"].strip()}, *prompt[1:]]
    return Sides(prompt, chosen, rejected, abs(margin))


FORMATS: dict[str, Callable[[Mapping[str, Any]], Sides]] = {
    "trl": _trl,
    "unified_feedback": _unified_feedback,
    "skywork": _skywork,
    "rewardbench": _rewardbench,
    "hh_rlhf": _hh_rlhf,
}
"""The layouts by name."""


def _split_prompt(
    chosen: Sequence[Message], rejected: Sequence[Message]
) -> tuple[Sequence[Message] | None, Sequence[Message], Sequence[Message]]:
    """The turns that both conversations share, and what each says after them (at least one turn)."""
    shared = 0
    for ours, theirs in zip(chosen[:-1], rejected[:-1], strict=False):
        if ours != theirs:
            break
        shared += 1
    return chosen[:shared] or None, chosen[shared:], rejected[shared:]


def _present(row: Mapping[str, Any], column: str) -> Any:
    if row.get(column) is None:
        found = ", ".join(map(str, row)) or "none"
        raise BadRow(Reason.MISSING_FIELD, f"no {column!r}; fields found: {found}")
    return row[column]


def _response(row: Mapping[str, Any], column: str) -> Text:
    text = _text(row, column)
    if is_empty(text):
        raise BadRow(Reason.EMPTY_RESPONSE, f"{column!r} is blank")
    return text


def _conversation(row: Mapping[str, Any], column: str) -> Sequence[Message]:
    text = _response(row, column)
    if isinstance(text, str):
        raise BadRow(Reason.WRONG_TYPE, f"{column!r}: expected a list of messages, got text")
    return text


def _text(row: Mapping[str, Any], column: str) -> Text:
    """The column as text or messages, checked so that no tokenizer trips over it."""
    value = _present(row, column)
    if isinstance(value, str):
        return _checked_string(value, column)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_checked_message(message, column) for message in value]
    raise BadRow(Reason.WRONG_TYPE, f"{column!r}: expected text or a list of messages, got {_described(value)}")


def _checked_message(message: Any, column: str) -> Message:
    if not isinstance(message, Mapping) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
        raise BadRow(
            Reason.WRONG_TYPE,
            f"{column!r}: a message is {{'role': text, 'content': text}}, got {_described(message)}",
        )
    for key in ("role", "content"):
        _checked_string(message[key], column)
    return message


def _checked_string(value: str, column: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow(Reason.NOT_UTF8, f"{column!r} holds half a surrogate pair, which is no character") from None
    return value


def _margin(row: Mapping[str, Any]) -> float | None:
    """The margin column, or the difference of the ratings; None where the record has neither."""
    margin = _number(row, "margin")
    if margin is not None:
        return margin
    for chosen_column, rejected_column in RATING_COLUMNS:
        chosen, rejected = _number(row, chosen_column), _number(row, rejected_column)
        if chosen is not None and rejected is not None:
            return _rating_difference(chosen, rejected)
    return None


def _rating_difference(chosen: float, rejected: float) -> float:
    if not math.isfinite(chosen - rejected):
        raise BadRow(Reason.BAD_MARGIN, f"the difference of the ratings {chosen:g} and {rejected:g}")
    return chosen - rejected


def _number(row: Mapping[str, Any], column: str) -> float | None:
    """The column as a finite number; None where it is absent or blank (CSV files hold numbers as text)."""
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadRow(Reason.BAD_MARGIN, f"{column!r} is {_described(value)}")
    return number


def _category(row: Mapping[str, Any]) -> str | None:
    """The record's own category, or that of its RewardBench subset; the four names are always in lower case."""
    category = row.get("category")
    if isinstance(category, str) and category.strip():
        plain = category.strip().lower().replace("_", " ").replace("-", " ")
        return plain if plain in CATEGORY_SUBSETS else category
    return _subset_category(row)


def _subset_category(row: Mapping[str, Any]) -> str | None:
    subset = row.get("subset")
    return SUBSET_CATEGORY.get(subset) if isinstance(subset, str) else None


_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def _is_transcript(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("\n\nHuman:")


def _transcript_turns(row: Mapping[str, Any], column: str) -> list[Message]:
    """The turns of a Human/Assistant transcript; neighbours of one role are joined, since chat templates want both."""
    text = _text(row, column)
    pieces = _TURN.split(text) if isinstance(text, str) else []  # [before, role, content, role, content, ...]
    if len(pieces) < 2 or pieces[0].strip():
        raise BadRow(Reason.WRONG_TYPE, f"{column!r}: expected a transcript that starts with 'Human:'")
    turns: list[dict[str, str]] = []
    for role, content in zip(pieces[1::2], pieces[2::2], strict=True):
        if turns and turns[-1]["role"] == _ROLES[role]:
            turns[-1]["content"] += "\n\n" + content.strip()
        else:
            turns.append({"role": _ROLES[role], "content": content.strip()})
    if turns[-1]["role"] != "assistant" or is_empty(turns):
        raise BadRow(Reason.EMPTY_RESPONSE, f"{column!r}: the transcript does not end with what the Assistant says")
    return list(turns)


def _described(value: Any) -> str:
    """The value for a message: short, on one line."""
    try:
        shown = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        shown = type(value).__name__
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
