"""What the weights do, as numbers in a line and as a table of categories."""

from __future__ import annotations

import html
from collections.abc import Mapping

from normbt_lab.app.weight_tab_numbers import UpdateShares

NOTE = (
    "The update of a pair is its gradient at the score head, error times distance (paper eq. 6). Sizes are added, so "
    "pulls in opposite directions count fully."
)


def facts_html(facts: Mapping[str, str]) -> str:
    """Name and value of each number, in a line that wraps."""
    spans = "".join(f"<span>{html.escape(name)} <b>{html.escape(value)}</b></span>" for name, value in facts.items())
    return f'<p class="facts">{spans}</p>'


def shares_html(shares: Mapping[str, UpdateShares]) -> str:
    """One row per category: its share of the pairs, and of the update without and with the weights."""
    names = ("category", "of the pairs", "of the Bradley-Terry update", "of the update with these weights")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(map(_row, shares, shares.values()))
    table = f'<table class="shares"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'{table}<p class="hint">{NOTE}</p>'


def _row(name: str, share: UpdateShares) -> str:
    parts = (share.pairs, share.bradley_terry, share.weighted)
    cells = "".join(f"<td>{100 * part:.1f}&nbsp;%</td>" for part in parts)
    return f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>'
