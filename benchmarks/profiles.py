"""Pairs of the three shapes that the benchmarks measure, as text whose length in tokens is exact."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

from normbt_lab.data.pairs import PreferencePair

SPREAD = 0.3
"""Every length is drawn evenly from 30 % below to 30 % above the profile's."""


@dataclass(frozen=True)
class Profile:
    """Lengths of a kind of pair, in tokens.

    Attributes:
        title: What it stands for.
        prompt: Of the prompt.
        common: Of what both responses begin with.
        response: Of the rest of each response.
    """

    title: str
    prompt: int
    common: int
    response: int


PROFILES = {
    "short": Profile("short prompt, two different answers", prompt=20, common=0, response=80),
    "multi-turn": Profile("prompt of several turns, two answers", prompt=300, common=0, response=60),
    "edit": Profile("code with a small edit", prompt=40, common=160, response=30),
}


def plain_tokenizer(tokenizer: Any) -> Any:
    """The tokenizer without its chat template: prompt and response are joined, so that lengths are the profile's."""
    tokenizer.chat_template = None
    return tokenizer


def make_pairs(profile: Profile, count: int, tokenizer: Any, seed: int = 0) -> list[PreferencePair]:
    """Pairs of random words, the same for the same seed.

    Args:
        profile: Their lengths.
        count: How many.
        tokenizer: From `plain_tokenizer`; words are those that it reads as one token.
        seed: Of the draw.
    """
    draw = random.Random(seed)
    words = one_token_words(tokenizer)

    def text(tokens: int) -> str:
        return "".join(draw.choices(words, k=round(tokens * draw.uniform(1 - SPREAD, 1 + SPREAD))))

    pairs = []
    for _ in range(count):
        common = text(profile.common)
        pairs.append(
            PreferencePair(text(profile.prompt), common + text(profile.response), common + text(profile.response))
        )
    return pairs


def one_token_words(tokenizer: Any) -> list[str]:
    """Words with the space before them that are one token wherever they stand, in the order of the vocabulary."""
    decoded = (tokenizer.decode([number]) for number in range(len(tokenizer)))
    words = [word for word in decoded if re.fullmatch(r" [a-z]{2,}", word)]
    if not words:
        raise SystemExit("this tokenizer has no word of one token with a space before it")
    return words
