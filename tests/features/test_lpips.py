"""LPIPS and its backbones against the `lpips` package."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from helpers import called, others_slow

from equildm.features import AlexNet, LPIPS, VGG16
from equildm.interop import load_lpips

KEY = jax.random.key(0)


def _images(height, width):
    """A smooth image, and the same with noise: all of LPIPS's range."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:height, 0:width] / 8
    smooth = np.stack([np.sin(x), np.cos(x + y), np.sin(y * x / 4)], -1) * 0.9
    noise = rng.uniform(-1, 1, (height, width, 3))
    a = np.stack([smooth, smooth, noise]).astype(np.float32)
    b = np.stack([0.8 * smooth + 0.2 * noise, noise, -noise]).astype(np.float32)
    return a, b


@pytest.mark.peer
@pytest.mark.parametrize(
    ("backbone", "size"), others_slow([("vgg", (33, 48)), ("alex", (35, 32))], ("alex", (35, 32)))
)
def test_equals_the_package(peer, backbone, size):
    """Its packaged heads, the same convolutions: distance, gradient and every tap."""
    lpips = load_lpips(backbone)
    a, b = _images(*size)
    weights = {}
    for i, layer in enumerate(lpips.backbone.convs):
        weights[f"weight{i}"] = np.asarray(layer.weight).transpose(3, 2, 0, 1)
        weights[f"bias{i}"] = np.asarray(layer.bias)
    theirs = peer("lpips_package", {"backbone": backbone}, a=a, b=b, **weights)

    @eqx.filter_jit
    def ours(lpips, a, b):
        return jax.vmap(jax.value_and_grad(lpips))(a, b), jax.vmap(lpips.backbone)(a)

    (distance, gradient), taps = jax.device_get(ours(lpips, a, b))
    print(f"{backbone}: {distance}, relative error {distance / theirs['distance'] - 1}")
    np.testing.assert_allclose(distance, theirs["distance"], rtol=1e-5)
    for i, tap in enumerate(taps):
        assert _error(tap, theirs[f"tap{i}"]) < 1e-5
    # Where an image is smooth, VGG has many units at 0 and rounding decides on which side of
    # the ReLU's corner: no two float32 implementations agree there. Noise has none of them.
    errors = [_error(gradient[i], theirs["gradient"][i]) for i in range(3)]
    print(f"gradient: relative errors {errors}")
    assert errors[2] < 1e-4 and max(errors) < 0.05


def _error(ours, theirs):
    assert ours.shape == theirs.shape
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.fixture(scope="module")
def small():
    """LPIPS over an AlexNet of random weights: fast, and it needs no package."""
    heads = [np.full(c, 1 / c, np.float32) for c in AlexNet.channels]
    return LPIPS(AlexNet(key=KEY), jax.device_put(heads))


def test_is_a_distance(small):
    a, b = _images(32, 40)
    distance = partial(called, small)
    assert 0 <= float(distance(a[0], a[0])) < 1e-10
    assert float(distance(a[0], b[0])) == pytest.approx(float(distance(b[0], a[0])), rel=1e-5)
    assert 0 < float(distance(a[0], b[0])) < float(distance(a[0], b[1]))


def test_gradient_is_finite_where_all_features_are_zero(small):
    """A bias that silences every ReLU: the root of 0 has an infinite slope."""
    silence = lambda x: np.full(x.shape, -100, np.float32) if x.ndim == 1 else x
    dead = jax.tree.map(silence, small.backbone)
    lpips = LPIPS(dead, small.heads)
    a, b = _images(32, 32)
    derivative = eqx.filter_jit(lambda lpips, *images: jax.value_and_grad(lpips)(*images))
    value, gradient = jax.device_get(derivative(lpips, a[0], b[0]))
    assert value == 0.0 and np.isfinite(gradient).all()


def test_computes_in_the_images_dtype(small):
    a, b = (x[0].astype(jnp.bfloat16) for x in _images(32, 40))
    assert all(tap.dtype == jnp.bfloat16 for tap in jax.eval_shape(small.backbone, a))
    distance = partial(called, small)
    assert distance(a, b).dtype == jnp.float32
    floats = (x.astype(np.float32) for x in (a, b))
    np.testing.assert_allclose(distance(a, b), distance(*floats), rtol=0.05)


def test_refuses(small, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    a, _ = _images(32, 40)
    with pytest.raises(ValueError, match=r"one size, received \(32, 40, 3\) and \(32, 32, 3\)"):
        small(a[0], a[0, :, :32])
    with pytest.raises(ValueError, match=r"at least 31 pixels .* received \(30, 40, 3\)"):
        small.backbone(jnp.asarray(a[0, :30]))
    with pytest.raises(ValueError, match=r"VGG16 takes an RGB image .* received \(32, 40, 1\)"):
        jax.eval_shape(VGG16(key=KEY), jnp.asarray(a[0, ..., :1]))
    with pytest.raises(ValueError, match=r"sizes \(64, 192, 384, 256, 256\), received \(64,\)"):
        LPIPS(small.backbone, small.heads[:1])


def test_smallest_sizes_pass():
    for network in (VGG16(key=KEY), AlexNet(key=KEY)):
        image = np.zeros((network.smallest, network.smallest, 3), np.float32)
        taps = jax.eval_shape(network, image)
        assert tuple(tap.shape[-1] for tap in taps) == network.channels
        assert min(taps[-1].shape) >= 1
