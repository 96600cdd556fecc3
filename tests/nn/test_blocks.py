"""Each block against its formula in float64, the dtypes it returns, and what it refuses."""

import math
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called

from equildm.nn import (
    Conv,
    CrossAttn,
    Downsample,
    GEGLU,
    GroupNorm,
    LayerNorm,
    Linear,
    ResBlock,
    sinusoid,
    SpatialTransformer,
    TimeEmbedding,
    Upsample,
    zeroed,
)

KEY = jax.random.key(0)


def normal(*shape):
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def moved(norm):
    """Weights that are not 1 and biases that are not 0."""
    return jax.tree.map(lambda w: jax.device_put(np.asarray(w) + normal(*w.shape)), norm)


@eqx.filter_jit
def value_and_pullback(layer, x, weight):
    value, pull = jax.vjp(layer, x)
    return value, *pull(weight)


def exact(x):
    return np.asarray(x, np.float64)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def convolved(x, layer):
    """The definition, one output at a time."""
    weight, stride = exact(layer.weight), layer.stride
    x = np.pad(exact(x), (*layer.padding, (0, 0)))
    side = weight.shape[0]
    rows, columns = ((n - side) // stride + 1 for n in x.shape[:2])
    out = np.zeros((rows, columns, weight.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            window = x[i * stride : i * stride + side, j * stride : j * stride + side]
            out[i, j] = np.einsum("abc,abcd->d", window, weight)
    return out + exact(layer.bias)


def mapped(x, layer):
    return exact(x) @ exact(layer.weight) + exact(layer.bias)


def group_normed(x, layer):
    split = exact(x).reshape(-1, layer.groups, x.shape[-1] // layer.groups)
    mean, variance = split.mean((0, 2), keepdims=True), split.var((0, 2), keepdims=True)
    y = ((split - mean) / np.sqrt(variance + layer.eps)).reshape(x.shape)
    return y * exact(layer.weight) + exact(layer.bias)


def silu(x):
    return x / (1 + np.exp(-x))


# Up to 16 outputs are computed in another way than more are.
@pytest.mark.parametrize("shape", [(2, 2), (1, 7), (4, 4), (9, 6)])
@pytest.mark.parametrize(
    "kernel, stride, padding",
    [(3, 1, None), (1, 1, None), (3, 2, ((1, 1), (1, 1))), (3, 2, ((2, 0), (0, 1))), (5, 3, None)],
)
def test_convolution(shape, kernel, stride, padding):
    layer = Conv(3, 5, kernel, stride=stride, padding=padding, key=KEY)
    x = normal(*shape, 3)
    close(called(layer, x), convolved(x, layer))


def test_gradient_of_a_convolution_with_few_outputs():
    layer, x, weight = Conv(3, 5, key=KEY), normal(4, 4, 3), normal(4, 4, 5)

    def ours(layer, x):
        return jnp.sum(weight * layer(x))

    def theirs(layer, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(
            x[None], layer.weight, (1, 1), layer.padding, dimension_numbers=numbers
        )
        return jnp.sum(weight * (y[0] + layer.bias))

    for a, b in zip(
        jax.tree.leaves(jax.jit(jax.grad(ours, (0, 1)))(layer, x)),
        jax.tree.leaves(jax.jit(jax.grad(theirs, (0, 1)))(layer, x)),
        strict=True,
    ):
        close(a, b)


def test_linear():
    layer, x = Linear(6, 4, key=KEY), normal(2, 3, 6)
    close(called(layer, x), mapped(x, layer))
    assert not np.any(called(lambda layer, x: zeroed(layer)(x), layer, x))
    assert Linear(6, 4, bias=False, key=KEY).bias is None


def test_norms():
    x = 3 * normal(5, 7, 12) + 20
    norm = moved(GroupNorm(3, 12, eps=0.1))
    np.testing.assert_allclose(called(norm, x), group_normed(x, norm), rtol=1e-4, atol=1e-4)

    layer = moved(LayerNorm(12, eps=0.1))
    rows = exact(x)
    y = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 0.1)
    y = y * exact(layer.weight) + exact(layer.bias)
    np.testing.assert_allclose(called(layer, x), y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mean", [0, 1000])
def test_group_norm_keeps_its_digits(mean):
    """Value and gradient, also far from 0, and with an outlier where the moments begin."""
    x = normal(16, 16, 12) + mean
    x[8, 0] += 30
    norm = moved(GroupNorm(3, 12))
    got, gradient = value_and_pullback(norm, x, np.sin(x))

    groups = exact(x).reshape(256, 3, 4)
    deviation = np.sqrt(groups.var((0, 2), keepdims=True) + norm.eps)
    unit = (groups - groups.mean((0, 2), keepdims=True)) / deviation
    np.testing.assert_allclose(got, group_normed(x, norm), rtol=2e-4, atol=2e-4)
    pulled = (np.sin(exact(x)) * exact(norm.weight)).reshape(256, 3, 4)
    along = (pulled * unit).mean((0, 2), keepdims=True) * unit
    right = (pulled - pulled.mean((0, 2), keepdims=True) - along) / deviation
    np.testing.assert_allclose(gradient, right.reshape(x.shape), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("mean", "outlier"), [(0, 0), (1000, 0), (-1000, 30), (0, 1e4)])
def test_layer_norm_keeps_its_digits(mean, outlier):
    """Value and gradient, also far from 0, and with an outlier where the moments begin."""
    x = normal(16, 320) + mean
    x[:, 0] += outlier
    layer = moved(LayerNorm(320))
    got, gradient = value_and_pullback(layer, x, np.sin(x))

    rows = exact(x)
    deviation = np.sqrt(rows.var(-1, keepdims=True) + layer.eps)
    unit = (rows - rows.mean(-1, keepdims=True)) / deviation
    np.testing.assert_allclose(
        got, unit * exact(layer.weight) + exact(layer.bias), rtol=2e-4, atol=2e-4
    )
    pulled = np.sin(rows) * exact(layer.weight)
    along = (pulled * unit).mean(-1, keepdims=True) * unit
    right = (pulled - pulled.mean(-1, keepdims=True) - along) / deviation
    np.testing.assert_allclose(gradient, right, rtol=1e-3, atol=1e-4 / deviation.max())


def test_geglu():
    layer, x = GEGLU(6, key=KEY), normal(5, 6)
    value, gate = np.split(mapped(x, layer.to_hidden), 2, axis=-1)
    gelu = 0.5 * gate * (1 + np.vectorize(math.erf)(gate / math.sqrt(2)))
    close(called(layer, x), mapped(value * gelu, layer.to_out))


def test_residual_block():
    norm = lambda channels: GroupNorm(2, channels)
    block = ResBlock(4, 6, time_width=8, norm=norm, key=KEY)
    x, time = normal(5, 6, 4), normal(8)
    y = convolved(silu(group_normed(x, block.norm1)), block.conv1)
    y = y + mapped(silu(exact(time)), block.time)
    y = convolved(silu(group_normed(y, block.norm2)), block.conv2)
    close(called(block, x, time), y + convolved(x, block.skip))

    same = ResBlock(4, 4, norm=norm, key=KEY)
    assert same.skip is None and same.time is None
    y = convolved(silu(group_normed(x, same.norm1)), same.conv1)
    y = convolved(silu(group_normed(y, same.norm2)), same.conv2)
    close(called(same, x), y + exact(x))
    with pytest.raises(ValueError, match="time embedding"):
        called(same, x, time)
    with pytest.raises(ValueError, match="time embedding"):
        called(block, x)


def test_resampling():
    x = normal(4, 6, 3)
    down = Downsample(3, padding=((0, 1), (0, 1)), key=KEY)
    close(called(down, x), convolved(x, down.conv))
    up = Upsample(3, key=KEY)
    close(called(up, x), convolved(exact(x).repeat(2, 0).repeat(2, 1), up.conv))
    with pytest.raises(ValueError, match="must be even"):
        called(down, normal(5, 6, 3))


def test_time_embedding():
    frequencies = 10000.0 ** (-np.arange(4) / 4)
    expected = np.concatenate([np.cos(812.5 * frequencies), np.sin(812.5 * frequencies)])
    np.testing.assert_allclose(called(sinusoid, jnp.asarray(812.5), 8), expected, atol=2e-4)
    layer, t = TimeEmbedding(8, 6, key=KEY), jnp.asarray(3.0)
    hidden = mapped(called(sinusoid, t, 8), layer.hidden)
    close(called(layer, t), mapped(silu(hidden), layer.out))
    with pytest.raises(ValueError, match="must be even"):
        sinusoid(t, 7)


def test_a_transformer_sees_an_image_as_its_rows():
    norm = lambda channels: GroupNorm(2, channels, eps=1e-6)
    layer = SpatialTransformer(8, 6, 2, depth=2, norm=norm, key=KEY)
    x, context = normal(3, 5, 8), normal(7, 6)
    mask = np.arange(7) < 4
    y = mapped(group_normed(x, layer.norm).reshape(15, 8), _as_linear(layer.proj_in))
    for block in layer.blocks:
        y = y + exact(called(block.self_attention, *[called(block.norm1, np.float32(y))] * 2))
        normed = called(block.norm2, np.float32(y))
        y = y + exact(called(block.cross_attention, normed, context[:4]))
        y = y + exact(called(block.feed_forward, called(block.norm3, np.float32(y))))
    y = mapped(y, _as_linear(layer.proj_out)).reshape(3, 5, 8)
    close(called(layer, x, context, mask), exact(x) + y)


def _as_linear(conv):
    """A 1x1 convolution as the linear map that it is."""
    return types.SimpleNamespace(weight=exact(conv.weight)[0, 0], bias=conv.bias)


def test_bfloat16_stays_bfloat16():
    x, image, context = normal(5, 8), normal(4, 6, 8), normal(7, 6)
    norm = lambda channels: GroupNorm(2, channels)
    cases = [
        (Conv(8, 5, key=KEY), (image,)),
        (Conv(8, 5, key=KEY), (image[:2, :2],)),
        (Linear(8, 5, key=KEY), (x,)),
        (GroupNorm(2, 8), (image,)),
        (LayerNorm(8), (x,)),
        (GEGLU(8, key=KEY), (x,)),
        (CrossAttn(8, 6, 2, key=KEY), (x, context)),
        (ResBlock(8, 4, norm=norm, key=KEY), (image,)),
        (SpatialTransformer(8, 6, 2, norm=norm, key=KEY), (image, context)),
        (Downsample(8, key=KEY), (image,)),
        (Upsample(8, key=KEY), (image,)),
    ]

    @eqx.filter_jit
    def results(cases, dtype):
        return [layer(*(a.astype(dtype) for a in arrays)) for layer, arrays in cases]

    pairs = zip(results(cases, jnp.float32), results(cases, jnp.bfloat16), strict=True)
    for (layer, _), (full, half) in zip(cases, pairs, strict=True):
        assert full.dtype == jnp.float32, layer
        assert half.dtype == jnp.bfloat16, layer
        full, half = exact(full), exact(half)
        assert np.linalg.norm(half - full) < 3e-2 * np.linalg.norm(full), layer


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: called(Conv(3, 5, key=KEY), normal(4, 4, 2)), "Conv takes 3 channels"),
        (lambda: called(Linear(3, 5, key=KEY), normal(4, 2)), "last axis of 3"),
        (lambda: GroupNorm(5, 12), "groups=5"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
