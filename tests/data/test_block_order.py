"""Files one after the other, samples mixed within a window of files."""

import numpy as np
import pytest

from equildm.data.block_order import BlockOrder

STARTS, COUNT = np.array([0, 5, 6, 20, 31]), 40


@pytest.mark.parametrize("window", [1, 2, 3, 5, 9])
def test_each_sample_once_an_epoch(window):
    order = BlockOrder(STARTS, COUNT, window, seed=3)
    drawn = [order(position) for position in range(3 * COUNT)]
    for epoch in range(3):
        assert sorted(drawn[epoch * COUNT : (epoch + 1) * COUNT]) == list(range(COUNT))
    assert drawn[:COUNT] != drawn[COUNT : 2 * COUNT]
    # A function of the position: the same in any order, and for another object.
    again = BlockOrder(STARTS, COUNT, window, seed=3)
    assert [again(position) for position in reversed(range(3 * COUNT))] == drawn[::-1]
    assert [BlockOrder(STARTS, COUNT, window, seed=4)(p) for p in range(COUNT)] != drawn[:COUNT]


@pytest.mark.parametrize("window", [1, 2])
def test_few_files_are_read_at_a_time(window):
    order = BlockOrder(STARTS, COUNT, window, seed=0)
    files = np.searchsorted(STARTS, [order(p) for p in range(COUNT)], side="right") - 1
    # A file that was left does not come again.
    last = {file: position for position, file in enumerate(files)}
    first = {file: position for position, file in reversed(list(enumerate(files)))}
    for position in range(COUNT):
        opened = [f for f in first if first[f] <= position <= last[f]]
        assert len(opened) <= window


def test_samples_are_mixed():
    order = BlockOrder(np.array([0, 500, 1000]), 1500, 2, seed=0)
    drawn = np.array([order(position) for position in range(1500)])
    assert np.abs(np.diff(drawn)).mean() > 100


def test_a_window_has_a_file():
    with pytest.raises(ValueError, match=r"At least 1 file .* window of 0"):
        BlockOrder(STARTS, COUNT, 0, seed=0)
