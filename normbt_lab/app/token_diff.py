"""The two answers side by side, token by token, with what the other one has not in its place."""

from __future__ import annotations

import html
from collections.abc import Sequence

from normbt_lab.app.reading import Reading
from normbt_lab.app.trace import MOST_COMPARED, TracedToken


def token_diff_html(reading: Reading) -> str:
    """Both answers as the model's tokens, those marked that differ; a screen reader says which they are.

    Args:
        reading: A reading with its trace.
    """
    trace = reading.trace
    if trace is None:
        return ""
    chosen, rejected = answer_tokens(reading, "chosen"), answer_tokens(reading, "rejected")
    count = sum(token.differs for token in (*chosen, *rejected))
    of = len(chosen) + len(rejected)
    says = (
        f"{count} of {of} tokens have no counterpart in the other answer."
        if count
        else f"All {of} tokens are the same in both answers."
    )
    is_long = max(len(trace.chosen), len(trace.rejected)) - trace.shared > MOST_COMPARED
    note = f" Only the first {MOST_COMPARED:,} tokens after the answers part are compared." if is_long else ""
    sides = "".join(
        f'<div class="side"><h4>{name}</h4><pre class="tokens">{_marked(tokens, name)}</pre></div>'
        for name, tokens in (("chosen", chosen), ("rejected", rejected))
    )
    return f'<p class="says">{says}{note}</p><div class="diff">{sides}</div>'


def answer_tokens(reading: Reading, side: str) -> list[TracedToken]:
    """The tokens that make up an answer, without prompt and template; all where the answer is not found in them.

    Args:
        reading: A reading with its trace.
        side: ``chosen`` or ``rejected``.
    """
    tokens: list[TracedToken] = getattr(reading.trace, side)
    wanted = getattr(reading.scored, side).strip()
    start = "".join(token.text for token in tokens).rfind(wanted)
    if start < 0:
        return tokens
    found = []
    at = 0
    for token in tokens:
        if at + len(token.text) > start and at < start + len(wanted):
            found.append(token)
        at += len(token.text)
    return found


def _marked(tokens: Sequence[TracedToken], side: str) -> str:
    return "".join(
        f'<mark class="{side}" title="reward here: {token.reward:+.3f}">{_shown(token.text)}</mark>'
        if token.differs
        else f'<span title="reward here: {token.reward:+.3f}">{_shown(token.text, is_marked=False)}</span>'
        for token in tokens
    )


def _shown(text: str, is_marked: bool = True) -> str:
    """The token's text; a marked line break would be invisible, so it gets a sign."""
    return html.escape(text.replace("\n", "⏎\n") if is_marked else text)
