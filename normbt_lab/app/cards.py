"""A pair and what the models make of it, to take away: as Markdown for an issue, as a picture for a lecture."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Mapping, Sequence

from normbt_lab.app.reading import Reading
from normbt_lab.app.table import GROUPS, number_text
from normbt_lab.app.token_diff import answer_tokens
from normbt_lab.app.trace import TracedToken
from normbt_lab.figures import BACKGROUND, GRID, INK, listed

PAGE_ADDRESS = "PAGE_ADDRESS"
"""Stands in a card for the address of the page, which only the browser knows."""

FILL_ADDRESS = f"""(text) => text.replace("{PAGE_ADDRESS}",
    window.location.href.length > 4000 ? window.location.origin : window.location.href)"""
"""JavaScript: put the address into a card; one that would be longer than the card gives way to the page's own."""

_SAVE = """(blob, name) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }"""

SAVE_MARKDOWN = f"""(text) => {{
    const save = {_SAVE};
    save(new Blob([text], {{type: "text/markdown"}}), "pair.md");
}}"""
"""JavaScript: the card as a Markdown file."""

SAVE_PICTURE = f"""() => {{
    const save = {_SAVE};
    const svg = document.querySelector("#pair-card svg");
    const image = new Image();
    image.onload = () => {{
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        canvas.toBlob((blob) => save(blob, "pair.png"));
    }};
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(svg));
}}"""
"""JavaScript: the card as a PNG, drawn by the browser with twice the pixels."""

WIDTH = 1200
MARGIN = 40
LINE = 19
LETTERS = 64
"""Of a line of an answer in the picture."""
MOST_LINES = 18
FAINT = "#5b6675"
MARKS = {"chosen": "#00795a", "rejected": "#b3362e"}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONOSPACE = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def card_markdown(readings: Sequence[Reading]) -> str:
    """The pair, its numbers under each model, and a link that reopens it.

    Args:
        readings: One reading per model of the same pair.
    """
    scored = readings[0].scored
    texts = [
        f"**{name}**\n\n{_fenced(text)}"
        for name, text in (("Prompt", scored.prompt), ("Chosen", scored.chosen), ("Rejected", scored.rejected))
    ]
    head = " | ".join(_cell(reading.model) for reading in readings)
    rows = [f"| | {head} |", f"|---|{'---:|' * len(readings)}"]
    rows += [
        f"| {' | '.join([quantity.label, *(quantity.text(reading) for reading in readings)])} |"
        for group in GROUPS.values()
        for quantity in group
    ]
    return (
        "\n\n".join([f"### {verdict(readings)}", *texts, "\n".join(rows), f"[Open this pair]({PAGE_ADDRESS})"]) + "\n"
    )


def verdict(readings: Sequence[Reading]) -> str:
    """Which answer each model prefers, in a sentence.

    Args:
        readings: One reading per model of the same pair.
    """

    def preferred(reading: Reading) -> str:
        if reading.scored.is_tie:
            return "neither answer"
        return "the chosen answer" if reading.scored.is_correct else "the rejected answer"

    if len({preferred(reading) for reading in readings}) == 1 and len(readings) > 1:
        return f"{listed(reading.model for reading in readings)} prefer {preferred(readings[0])}"
    return ", ".join(f"{reading.model} prefers {preferred(reading)}" for reading in readings)


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def card_svg(readings: Sequence[Reading], colors: Mapping[str, str]) -> str:
    """The same as a picture: the answers with their differing tokens, and the numbers of each model.

    Args:
        readings: One reading per model of the same pair, with traces.
        colors: Name of each model -> its colour.
    """
    reading = readings[0]
    prompt = textwrap.wrap(" ".join(reading.scored.prompt.split()), width=118, max_lines=3, placeholder=" …")
    answers = {side: _answer_lines(reading, side) for side in ("chosen", "rejected")}
    parts = [_text(MARGIN, 62, verdict(readings), size=26, weight=700)]
    y = 100
    for line in prompt:
        parts.append(_text(MARGIN, y, line, size=17, fill=FAINT))
        y += 24
    y += 12
    half = (WIDTH - 3 * MARGIN // 2 - MARGIN) // 2
    height = 44 + LINE * max(len(lines) for lines in answers.values())
    for number, (side, lines) in enumerate(answers.items()):
        parts += _answer_box(MARGIN + number * (half + MARGIN // 2), y, half, height, side, lines)
    y += height + 24
    width = (WIDTH - 2 * MARGIN - (len(readings) - 1) * MARGIN // 2) // len(readings)
    for number, one in enumerate(readings):
        parts += _model_panel(MARGIN + number * (width + MARGIN // 2), y, width, one, colors[one.model])
    y += 196
    parts.append(
        _text(MARGIN, y, "update: size of the pair's gradient at the score head; normbt_lab", size=13, fill=FAINT)
    )
    total = y + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}" '
        f'role="img" aria-label="{html.escape(verdict(readings))}" font-family="{FONT}">'
        f'<rect width="100%" height="100%" fill="{BACKGROUND["light"]}"/>{"".join(parts)}</svg>'
    )


Run = tuple[str, bool]
"""Letters of a line, and whether they differ from the other answer."""


def _answer_lines(reading: Reading, side: str) -> list[list[Run]]:
    """The answer in lines that fit its box, from a few lines before the first difference."""
    lines = _wrapped(answer_tokens(reading, side))
    first = next((i for i, line in enumerate(lines) if any(differs for _, differs in line)), 0)
    start = max(0, min(first - MOST_LINES // 2, len(lines) - MOST_LINES))
    shown = lines[start : start + MOST_LINES]
    if start:
        shown[0] = [("…", False)]
    if start + MOST_LINES < len(lines):
        shown[-1] = [("…", False)]
    return shown


def _wrapped(tokens: Sequence[TracedToken]) -> list[list[Run]]:
    lines: list[list[Run]] = [[]]
    used = 0
    for token in tokens:
        for number, piece in enumerate(token.text.replace("\t", "    ").split("\n")):
            if number or (used + len(piece) > LETTERS and used):
                lines.append([])
                used = 0
            for start in range(0, len(piece), LETTERS):
                if start:
                    lines.append([])
                lines[-1].append((piece[start : start + LETTERS], token.differs))
                used = len(piece) - start if start else used + len(piece)
    return lines


def _answer_box(
    x: float, y: float, width: float, height: float, side: str, lines: Sequence[Sequence[Run]]
) -> list[str]:
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="none" stroke="{GRID["light"]}"/>',
        _text(x + 14, y + 24, side, size=14, weight=700, fill=MARKS[side]),
    ]
    for number, line in enumerate(lines):
        runs = "".join(
            f'<tspan fill="{MARKS[side]}" font-weight="700" text-decoration="underline">{_escaped(text)}</tspan>'
            if differs
            else _escaped(text)
            for text, differs in line
        )
        at = y + 46 + LINE * number
        parts.append(
            f'<text x="{x + 14}" y="{at}" font-size="13.5" fill="{INK["light"]}" style="white-space: pre" '
            f'xml:space="preserve" font-family="{MONOSPACE}">{runs}</text>'
        )
    return parts


def _model_panel(x: float, y: float, width: float, reading: Reading, color: str) -> list[str]:
    scored = reading.scored
    share = scored.preference_probability
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="166" rx="8" fill="none" stroke="{GRID["light"]}"/>',
        f'<circle cx="{x + 22}" cy="{y + 25}" r="7" fill="{color}"/>',
        _text(x + 38, y + 31, reading.model, size=17, weight=700),
        f'<rect x="{x + 16}" y="{y + 48}" width="{width - 32}" height="9" rx="4" fill="{GRID["light"]}"/>',
        f'<rect x="{x + 16}" y="{y + 48}" width="{(width - 32) * share:.1f}" height="9" rx="4" fill="{color}"/>',
        _text(x + 16, y + 75, f"chosen {100 * share:.1f} %", size=13, fill=FAINT),
        _text(x + width - 16, y + 75, f"rejected {100 - 100 * share:.1f} %", size=13, fill=FAINT, anchor="end"),
    ]
    numbers = [
        ("error", scored.prediction_error),
        ("distance", scored.representation_distance),
        ("BT update", reading.update_bradley_terry),
        ("weight", scored.weight),
        ("NormBT update", reading.update_normbt),
    ]
    step = (width - 32) / len(numbers)
    for number, (label, value) in enumerate(numbers):
        parts.append(_text(x + 16 + number * step, y + 112, label, size=13, fill=FAINT))
        parts.append(_text(x + 16 + number * step, y + 140, number_text(value), size=17, weight=700))
    return parts


def _text(
    x: float, y: float, text: str, *, size: float, weight: int = 400, fill: str = INK["light"], anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{_escaped(text)}</text>'
    )


def _escaped(text: str) -> str:
    """The text as XML: without the control characters that XML cannot hold."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", text))
