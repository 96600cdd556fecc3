"""A network of convolutions reaches a few pixels far: tiles must then give the plain result."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm.latents import tiled_decode, tiled_encode, VAEConfig
from equildm.latents.tiled import _fades, _starts


class _Nothing(eqx.Module):
    """In the place of a norm or of attention."""

    def __call__(self, x):
        return x


@pytest.fixture(scope="module")
def vae():
    config = VAEConfig(width=4, multipliers=(1, 1), depth=1, latent_channels=2, groups=2)
    return config.build(key=jax.random.key(0))


@pytest.fixture(scope="module")
def local(vae):
    """Without attention and norms. Its decoder reaches 5 + 3 positions: conv_in, 4 in the middle,
    then (4 + 1 + 4 + 1) convolutions of which 5 count half."""

    def nothing(v):
        return [v.encoder.middle.attention, v.decoder.middle.attention, *_norms(v)]

    return eqx.tree_at(nothing, vae, replace_fn=lambda _: _Nothing())


def _norms(vae):
    def blocks(half):
        return [half.middle.first, half.middle.second, *(b for v in half.levels for b in v.blocks)]

    halves = (vae.encoder, vae.decoder)
    inner = [norm for half in halves for b in blocks(half) for norm in (b.norm1, b.norm2)]
    return [*inner, *(half.norm_out for half in halves)]


def _normal(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@eqx.filter_jit
def _decode(vae, z, tile, overlap):
    """By tiles and at once."""
    return tiled_decode(vae, z, tile=tile, overlap=overlap), vae.decode(z)


@pytest.mark.parametrize(
    "shape",
    [(70, 49), pytest.param((49, 30), marks=pytest.mark.slow), (20, 100)],
)
def test_decode_of_a_local_network_is_exact(local, shape):
    tiled, plain = _decode(local, _normal(*shape, 2), 48, 44)
    np.testing.assert_allclose(tiled, plain, atol=1e-5)


def test_encode_of_a_local_network_is_exact(local):
    image = _normal(2 * 70, 2 * 50, 3)
    encode = eqx.filter_jit(
        lambda vae, image: (tiled_encode(vae, image, tile=48, overlap=44), vae.encode(image))
    )
    tiled, plain = encode(local, image)
    np.testing.assert_allclose(tiled.mean, plain.mean, atol=1e-5)
    np.testing.assert_allclose(tiled.log_variance, plain.log_variance, atol=1e-5)


def test_norms_and_attention_see_a_tile_only(vae):
    tiled, plain = map(np.asarray, _decode(vae, _normal(64, 64, 2), 32, 8))
    difference = np.sqrt(np.mean((tiled - plain) ** 2)) / np.std(plain)
    assert 1e-4 < difference < 0.1


def test_small_latents_are_decoded_at_once(vae):
    np.testing.assert_array_equal(*_decode(vae, _normal(16, 8, 2), 16, 4))


@pytest.mark.parametrize("side", [33, 48, 64, 65, 200])
@pytest.mark.parametrize("overlap", [1, 7, 16, 31])
def test_weights_sum_to_one_and_overlap_is_kept(side, overlap):
    starts = _starts(side, 32, overlap)
    assert starts[0] == 0
    assert starts[-1] == side - 32
    assert np.all(32 - np.diff(starts) >= overlap)
    total = np.zeros(2 * side)
    for start, weight in zip(starts, _fades(starts, side, 32, overlap, 2), strict=True):
        total[2 * start : 2 * (start + 32)] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize(("tile", "overlap"), [(16, 16), (16, 0)])
def test_overlaps_that_cannot_be_are_errors(vae, tile, overlap):
    with pytest.raises(ValueError, match="Tiles overlap by at least one"):
        tiled_decode(vae, jnp.zeros((32, 32, 2)), tile=tile, overlap=overlap)


def test_an_image_that_does_not_divide_is_an_error(vae):
    with pytest.raises(ValueError, match="received 64x65"):
        tiled_encode(vae, jnp.zeros((64, 65, 3)), tile=16, overlap=4)
