"""The last batch of an epoch on several processes, as accelerate fills it up; the run itself is in test_processes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from normbt_lab.global_batch import gather_pairs, mean_over_pairs, pairs_that_count, without_repeats


def process(index, processes=3, remainder=3, end=True):
    state = SimpleNamespace(end_of_dataloader=end, remainder=remainder)
    return SimpleNamespace(num_processes=processes, process_index=index, even_batches=True, gradient_state=state)


def batch():
    """Two pairs: chosen rows 1 and 2, rejected rows -1 and -2."""
    return {"input_ids": torch.tensor([[1], [2], [-1], [-2]]), "margin": torch.tensor([0.1, 0.2])}


@pytest.mark.parametrize(
    "index, rows, counted",
    [(0, [1, 2, -1, -2], 2), (1, [1, -1], 1), (2, [1, -1], 0)],
    ids=["whole", "one of two", "repeats alone"],
)
def test_three_pairs_on_three_processes_of_two_are_each_there_once(index, rows, counted):
    """Process 0 has pairs 1 and 2, process 1 pair 3 and a repeat, process 2 repeats; a forward pass needs one."""
    found = without_repeats(process(index), batch())
    assert found["input_ids"].flatten().tolist() == rows
    assert len(found["margin"]) == len(rows) // 2
    assert pairs_that_count(found) == counted


@pytest.mark.parametrize("accelerator", [process(0, processes=1), process(2, end=False), process(2, remainder=0)])
def test_where_nothing_was_filled_up_the_batch_stays(accelerator):
    given = batch()
    assert without_repeats(accelerator, given) is given
    assert pairs_that_count(given) == 2


def test_a_mean_over_pairs_counts_pairs_and_not_passes():
    """1, 2, 3 and 6 have the mean 3; the mean of the two passes' means is 4."""
    alone = process(0, processes=1)
    passes = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])]
    assert mean_over_pairs(alone, passes) == 3.0
    assert gather_pairs(alone, passes).tolist() == [1.0, 2.0, 3.0, 6.0]


class OnAppleGpu(torch.Tensor):
    """Stands for a tensor on a device without float64; it lies on the CPU and refuses what such a device refuses."""

    @property
    def device(self):
        return torch.device("mps")

    def double(self):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")


def test_a_mean_over_pairs_asks_a_device_without_float64_for_none():
    passes = [torch.tensor(values).as_subclass(OnAppleGpu) for values in ([1.0, 2.0, 3.0], [6.0])]
    assert mean_over_pairs(process(0, processes=1), passes) == 3.0
