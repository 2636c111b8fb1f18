"""What the page says where there is something to say instead of numbers: in its place, never as a passing pop-up."""

from __future__ import annotations

import html


def problem_html(message: str) -> str:
    """What is wrong and how to mend it; a screen reader says it aloud."""
    return f'<p class="problem" role="alert">{html.escape(message)}</p>'


def notice_html(message: str) -> str:
    """What a reader must know to take the numbers beside it for what they are."""
    return f'<p class="notice">{html.escape(message)}</p>'


def hint_html(message: str) -> str:
    """What to do next, where nothing is shown yet."""
    return f'<p class="hint">{html.escape(message)}</p>'
