"""Many pairs at once: the same numbers as one by one, in the order they came."""

from __future__ import annotations

import pytest
import torch

from normbt_lab import PreferencePair, collate_pairs, pair_outputs
from normbt_lab.backbones import load_tokenizer, resolve_backbone
from normbt_lab.data.tokenization import tokenize_pair
from normbt_lab.model import build_reward_model
from normbt_lab.represent import represent_pairs

BACKBONE = resolve_backbone("tiny-random")
# Of very different lengths, so that sorting by length moves them.
PAIRS = [
    PreferencePair("Count.", "one two three " * repeats, "three two one " * (7 - repeats))
    for repeats in (1, 5, 2, 6, 3)
]


def test_each_pair_gets_what_it_gets_alone_and_keeps_its_place() -> None:
    model, tokenizer = build_reward_model(BACKBONE).eval(), load_tokenizer(BACKBONE)
    together = represent_pairs(model, tokenizer, PAIRS, batch_size=2)
    for i, pair in enumerate(PAIRS):
        tokens = tokenize_pair(pair, tokenizer)
        assert tokens is not None
        alone = pair_outputs(model, collate_pairs([(tokens.chosen_ids, tokens.rejected_ids)], tokenizer.pad_token_id))
        for name in ("reward_chosen", "reward_rejected", "h_chosen", "h_rejected"):
            torch.testing.assert_close(getattr(together, name)[i], getattr(alone, name)[0], rtol=1e-4, atol=1e-5)


def test_no_gradient_is_kept() -> None:
    outputs = represent_pairs(build_reward_model(BACKBONE, "head"), load_tokenizer(BACKBONE), PAIRS)
    assert not outputs.reward_chosen.requires_grad


def test_a_response_beyond_the_limit_is_cut_on_the_right() -> None:
    """Cut to 16 tokens, two responses that differ only later are the same."""
    model, tokenizer = build_reward_model(BACKBONE), load_tokenizer(BACKBONE)
    pair = PreferencePair("Count.", "one " * 40 + "end", "one " * 40 + "stop")
    assert represent_pairs(model, tokenizer, [pair], max_length=16).representation_distance.item() == 0
    assert represent_pairs(model, tokenizer, [pair]).representation_distance.item() > 0


def test_bfloat16_arithmetic_gives_float32_results_close_to_float32_ones() -> None:
    model, tokenizer = build_reward_model(BACKBONE), load_tokenizer(BACKBONE)
    exact = represent_pairs(model, tokenizer, PAIRS)
    rounded = represent_pairs(model, tokenizer, PAIRS, dtype=torch.bfloat16)
    assert rounded.h_chosen.dtype == rounded.reward_chosen.dtype == torch.float32
    assert not torch.equal(rounded.h_chosen, exact.h_chosen)
    torch.testing.assert_close(rounded.h_chosen, exact.h_chosen, rtol=0.05, atol=0.05)


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="got none"):
        represent_pairs(build_reward_model(BACKBONE), load_tokenizer(BACKBONE), [])


@pytest.mark.parametrize("layout", ["padded", "shared_prefix"])
def test_the_layout_changes_nothing_but_rounding(layout: str) -> None:
    model, tokenizer = build_reward_model(BACKBONE).eval(), load_tokenizer(BACKBONE)
    expected = represent_pairs(model, tokenizer, PAIRS, batch_size=1, layout="padded", average_pool=True)
    found = represent_pairs(model, tokenizer, PAIRS, batch_size=3, layout=layout, average_pool=True)
    for name in ("reward_chosen", "h_rejected", "average_chosen", "average_rejected"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
