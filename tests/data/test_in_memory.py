"""Images that stay in memory."""

import numpy as np
import pytest

from equildm.data import FolderSource, InMemory


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


def test_reduced_images_are_held_apart(tmp_path, encode):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (tmp_path / "a.jpg").write_bytes(encode(pixels, "JPEG"))
    stored = InMemory(FolderSource(tmp_path))
    small = stored.stored(0).decode(side=16)
    assert small.shape == (32, 32, 3) and stored.stored(0).decode(side=16) is small
    assert stored.image(0).shape == (64, 64, 3)
    assert stored.stored(0).decode(side=8).shape == (64, 64, 3)  # which is there already
