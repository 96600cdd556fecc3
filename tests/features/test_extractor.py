"""Pooling the features of many images."""

import equinox as eqx
import jax
import numpy as np
import pytest

from equildm.features import AlexNet, pool_features

NETWORK = AlexNet(key=jax.random.key(0))
BYTES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_pools_each_image_alone():
    out = pool_features(NETWORK, iter(BYTES), taps=(1, -1), batch=2)
    assert out.shape == (5, 192 + 256) and out.dtype == np.float32
    taps = jax.device_get(eqx.filter_jit(NETWORK)(BYTES[3].astype(np.float32) / 127.5 - 1))
    expected = np.concatenate([np.mean(taps[1], (0, 1)), np.mean(taps[4], (0, 1))])
    np.testing.assert_allclose(out[3], expected, rtol=1e-4, atol=1e-6)


def test_bytes_and_floats_agree():
    floats = BYTES[:2].astype(np.float64) / 127.5 - 1
    np.testing.assert_allclose(
        pool_features(NETWORK, BYTES[:2], batch=2),
        pool_features(NETWORK, floats, batch=2),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("value", [255.0, np.nan])
def test_refuses_floats_of_another_range(value):
    with pytest.raises(ValueError, match=r"in \[-1, 1\]; received values up to"):
        pool_features(NETWORK, [np.full((32, 32, 3), value)])


def test_refuses_no_images():
    with pytest.raises(ValueError, match="at least one image, received none"):
        pool_features(NETWORK, [])
