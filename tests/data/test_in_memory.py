"""Images that stay in memory."""

import numpy as np
import pytest

from equildm.data import InMemory


def test_images_are_decoded_once_as_far_as_memory_goes(make_source):
    source = make_source(3, 16)
    stored = InMemory(source, limit=2 * 16 * 16 * 3)
    for _ in range(3):
        for i in range(3):
            np.testing.assert_array_equal(stored.image(i), source.image(i))
    assert source.decoded == 9 + 1 + 1 + 3  # by the comparison, and by `stored`
    half = InMemory(source, 2).image(0)
    mean = source.image(0).reshape(8, 2, 8, 2, 3).mean((1, 3))
    np.testing.assert_allclose(half, mean, atol=0.51)
    with pytest.raises(ValueError, match="whole factor"):
        InMemory(source, 0)
