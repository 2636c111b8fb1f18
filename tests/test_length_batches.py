"""Like lengths go together within the token budget."""

import random

from normbt_lab.data.length_batches import padded_slots, split_by_tokens

LENGTHS = [random.Random(i).randint(10, 400) for i in range(100)]


def test_every_pair_is_in_one_batch():
    batches = split_by_tokens(LENGTHS, max_tokens_per_batch=1000)
    assert sorted(pair for batch in batches for pair in batch) == list(range(100))


def test_no_batch_goes_over_the_budget():
    for batch in split_by_tokens(LENGTHS, max_tokens_per_batch=1000):
        assert len(batch) * max(LENGTHS[pair] for pair in batch) <= 1000


def test_a_pair_longer_than_the_budget_stands_alone():
    assert split_by_tokens([900, 30, 30], max_tokens_per_batch=100) == [[0], [1, 2]]


def test_like_lengths_together_save_padding():
    """Batches of 4 in random order pad each pair to the longest of 4; sorted ones of about 4 pad less."""
    at_random = sum(4 * max(LENGTHS[i : i + 4]) for i in range(0, 100, 4))
    batches = split_by_tokens(LENGTHS, max_tokens_per_batch=1000)
    by_length = sum(len(batch) * max(LENGTHS[pair] for pair in batch) for batch in batches)
    assert by_length < 0.85 * at_random


def test_both_rows_of_a_padded_pair_have_the_length_of_the_longer():
    assert padded_slots([1, 2, 3], [1]) == 6
