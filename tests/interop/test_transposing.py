"""Copies in tiles equal numpy's, whatever the order of the axes."""

import itertools

import numpy as np
import pytest

from equildm.interop.transposing import contiguous

SHAPES = [(130, 65), (3, 3, 70, 129), (1, 1, 5, 200), (2, 65, 64), (7,), (), (0, 5), (64, 1, 64)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [None, np.float16])
def test_equals_numpy(shape, dtype):
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for axes in itertools.permutations(range(array.ndim)):
        view = array.transpose(axes)
        copy = contiguous(view, dtype)
        assert copy.flags.c_contiguous
        assert copy.dtype == (dtype or np.float32)
        np.testing.assert_array_equal(copy, view.astype(copy.dtype))


def test_views_that_are_no_transposition():
    array = np.arange(200 * 150, dtype=np.int32).reshape(200, 150)
    for view in (
        array[::-1],
        array[:, ::-2],
        array.T[::3, 5:],
        np.broadcast_to(array[:1], (9, 150)),
    ):
        np.testing.assert_array_equal(contiguous(view), view)
