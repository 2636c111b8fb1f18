"""The state of the Pair tab in the address of the page, so that a link reopens it.

It stands behind the ``#``: there a browser keeps it to itself, so that no server or proxy on the way logs the texts or
finds the address too long.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs

LONGEST_ADDRESS = 30_000
"""Letters of an address that is still written; chat programs and browsers cut longer ones."""

READ_ADDRESS = "() => window.location.hash.slice(1)"
"""JavaScript: what stands behind the ``#``."""

WRITE_ADDRESS = f"""(prompt, chosen, rejected, model, compare) => {{
    const parts = {{prompt, chosen, rejected, model: model ?? "", compare: compare ?? ""}};
    const state = new URLSearchParams(parts).toString();
    const place = window.location.pathname + window.location.search;
    window.history.replaceState(null, "", state.length > {LONGEST_ADDRESS} ? place : place + "#" + state);
}}"""
"""JavaScript: put the pair and the models behind the ``#``; texts that are too long for that are left out."""

COPY_ADDRESS = """() => {
    if (navigator.clipboard) navigator.clipboard.writeText(window.location.href);
    else window.prompt("The link to this pair", window.location.href);
}"""
"""JavaScript: the address into the clipboard; without one (a page served without https), in a box to copy from."""


@dataclass(frozen=True)
class Address:
    """What an address says of the page; None for what it leaves open."""

    prompt: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    model: str | None = None
    compare: str | None = None

    @classmethod
    def parsed(cls, fragment: str) -> Address:
        """What stands behind the ``#``; of anything else, nothing.

        Example:
            >>> Address.parsed("prompt=2+%2B+2&chosen=4&compare=").compare
            ''
        """
        try:
            given = parse_qs(fragment, keep_blank_values=True, max_num_fields=20)
        except ValueError:
            return cls()
        return cls(**{name: given[name][0] for name in cls.__dataclass_fields__ if name in given})
