"""Readings of one pair as an HTML table: a column per model, and under each number a sentence that says what it is."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from normbt_lab.app.reading import Reading
from normbt_lab.scoring import field_label


@dataclass(frozen=True)
class Quantity:
    """One row: what it is called, what it tells a reader, and the text of its number."""

    label: str
    meaning: str
    text: Callable[[Reading], str]


def _of_record(name: str, form: str, meaning: str) -> Quantity:
    """A quantity that is a field of the scored record, under the field's own label."""
    return Quantity(field_label(name), meaning, lambda reading: number_text(getattr(reading.scored, name), form))


def number_text(value: float | None, form: str = "") -> str:
    """The number in its own form, or with three significant digits, the last zero too: 0.700 stands under 0.563."""
    if value is None:
        return "none"
    if form:
        return format(value, form)
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:#.3g}"


GROUPS: dict[str, list[Quantity]] = {
    "Which answer the model prefers": [
        _of_record("reward_chosen", "+.3f", "What the score head gives to this answer. Its zero is arbitrary."),
        _of_record("reward_rejected", "+.3f", "The same for the other answer. Only their difference means something."),
        _of_record("reward_difference", "+.3f", "Chosen minus rejected. Above 0, the model agrees with you."),
        _of_record("preference_probability", "", "The sigmoid of the difference: how sure the model is of chosen."),
    ],
    "How hard the pair pulls": [
        _of_record("prediction_error", "", "1 minus that probability. A wrong pair should pull harder."),
        _of_record(
            "representation_distance",
            "",
            "How far apart the answers lie where the score head reads them. It says nothing about right and wrong.",
        ),
        Quantity(
            "update under Bradley-Terry",
            "Error times distance: the pair's gradient at the score head (paper eq. 6).",
            lambda reading: number_text(reading.update_bradley_terry),
        ),
    ],
    "What NormBT makes of it": [
        Quantity(
            field_label("weight"),
            "Mean distance in training over this distance (paper eq. 11). Above 1, the pair is closer than usual.",
            lambda reading: number_text(reading.scored.weight),
        ),
        Quantity(
            "update under NormBT",
            "Weight times the update above (paper eq. 13). The distance cancels; the error stays.",
            lambda reading: number_text(reading.update_normbt),
        ),
    ],
    "What the model read": [
        _of_record("tokens_chosen", ",", "Prompt and chosen answer, in this model's tokens."),
        _of_record("tokens_rejected", ",", "Prompt and rejected answer."),
    ],
}
"""The rows of the table under the headings of its parts, in the order of the argument."""


def verdicts_html(readings: Sequence[Reading], colors: Mapping[str, str]) -> str:
    """Which answer each model prefers, and how sure it is.

    Args:
        readings: One reading per model of the same pair.
        colors: Name of each model -> its colour.
    """
    verdicts = "".join(_verdict(reading, colors[reading.model]) for reading in readings)
    return f'<div class="verdicts">{verdicts}</div>'


def _verdict(reading: Reading, color: str) -> str:
    scored = reading.scored
    share = 100 * scored.preference_probability
    sure = max(share, 100 - share)
    if scored.is_tie:
        says = "sees no difference"
    else:
        side = "chosen" if scored.is_correct else "rejected"
        says = f"prefers <b>{side}</b>, {'over 99.9' if sure > 99.9 else f'{sure:.1f}'} % sure"
    return (
        f'<div class="verdict" style="--model: {color}"><p>{_dot()}<b>{html.escape(reading.model)}</b> {says}</p>'
        f'<div class="bar"><div style="width: {share:.2f}%"></div></div>'
        "<p class='ends'><span>chosen</span><span>rejected</span></p></div>"
    )


def table_html(readings: Sequence[Reading], colors: Mapping[str, str]) -> str:
    """Every number of the pair with a sentence that says what it is, a column per model.

    Args:
        readings: One reading per model of the same pair.
        colors: Name of each model -> its colour.
    """
    columns = "".join(
        f'<th scope="col" style="--model: {colors[reading.model]}">{_dot()}{html.escape(reading.model)}</th>'
        for reading in readings
    )
    body = "".join(_group(heading, quantities, readings) for heading, quantities in GROUPS.items())
    return f'<table class="readings"><thead><tr><td></td>{columns}</tr></thead>{body}</table>'


def _group(heading: str, quantities: Sequence[Quantity], readings: Sequence[Reading]) -> str:
    across = len(readings) + 1
    rows = "".join(
        f'<tr><th scope="row">{_with_faint_unit(quantity.label)}</th>'
        + "".join(f"<td>{quantity.text(reading)}</td>" for reading in readings)
        + f'</tr><tr class="meaning"><td colspan="{across}">{quantity.meaning}</td></tr>'
        for quantity in quantities
    )
    return f'<tbody><tr><th class="group" colspan="{across}" scope="rowgroup">{heading}</th></tr>{rows}</tbody>'


def _with_faint_unit(label: str) -> str:
    name, bracket, unit = label.partition(" (")
    return f'{name} <span class="unit">({unit}</span>' if bracket else name


def _dot() -> str:
    return '<span class="dot"></span>'
