"""Counts against numbers worked out by hand and against XLA's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from equildm.nn import Conv, Linear
from equildm.runtime import count_flops, count_parameters, Flops, xla_flops


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def convolve(strides=(1, 1), padding=((1, 1), (1, 1)), **kwargs):
    def fn(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **kwargs
        )

    return fn


def test_products_by_hand():
    assert count_flops(jnp.dot, floats(3, 5), floats(5, 7)) == Flops(matmul=2 * 3 * 5 * 7)
    batched = count_flops(
        lambda a, b: jnp.einsum("bhqd,bhkd->bhqk", a, b), floats(2, 3, 4, 5), floats(2, 3, 6, 5)
    )
    assert batched == Flops(matmul=2 * 2 * 3 * 4 * 6 * 5)
    assert count_flops(jnp.dot, floats(5), floats(5)).total == 10
    assert count_flops(lambda x: jnp.sin(x) + x, floats(9)).total == 0


@pytest.mark.parametrize(
    ("fn", "image", "kernel", "full", "unpadded"),
    [
        # 8 outputs a side; of its 3 taps each of the two border outputs has one on padding.
        (convolve(), (2, 8, 8, 4), (3, 3, 4, 6), 2 * 2 * 64 * 9 * 4 * 6, 2 * 2 * 22 * 22 * 4 * 6),
        # stride 2: outputs at 0, 2, 4, 6 of which only the first meets padding.
        (convolve((2, 2)), (1, 8, 8, 4), (3, 3, 4, 6), 2 * 16 * 9 * 24, 2 * 11 * 11 * 24),
        # two groups: half the input channels for each output.
        (
            convolve(feature_group_count=2),
            (1, 8, 8, 4),
            (3, 3, 2, 6),
            2 * 64 * 9 * 2 * 6,
            2 * 22 * 22 * 2 * 6,
        ),
        # transposed, stride 2: 15 pixels a side, of which 8 are not holes. Outputs at even
        # places meet one tap, at odd places two: 8 + 2 * 7; padding adds the outermost two.
        (
            convolve(lhs_dilation=(2, 2)),
            (1, 8, 8, 4),
            (3, 3, 4, 6),
            2 * 22 * 22 * 24,
            2 * 22 * 22 * 24,
        ),
        # dilated kernel, no padding: 4 outputs a side.
        (
            convolve(padding="VALID", rhs_dilation=(2, 2)),
            (1, 8, 8, 4),
            (3, 3, 4, 6),
            2 * 16 * 9 * 24,
            2 * 16 * 9 * 24,
        ),
    ],
)
def test_convolutions_by_hand_and_by_xla(fn, image, kernel, full, unpadded):
    args = floats(*image), floats(*kernel)
    assert count_flops(fn, *args) == Flops(conv=full)
    assert count_flops(fn, *args, padded_taps=False) == Flops(conv=unpadded)
    assert xla_flops(fn, *args) == unpadded


def test_gradient_of_a_convolution():
    args = floats(1, 8, 8, 4), floats(3, 3, 4, 6)
    for fn in (convolve(), convolve((2, 2)), convolve((2, 2), ((0, 1), (0, 1)))):
        gradient = jax.grad(lambda x, k, fn=fn: jnp.sum(fn(x, k) ** 2), (0, 1))
        forward = count_flops(fn, *args, padded_taps=False)
        # Both transposes meet the pairs of pixel and tap that the forward pass met.
        assert count_flops(gradient, *args, padded_taps=False).conv == 3 * forward.conv


def test_loops_and_branches():
    def square(x):
        return x @ x

    once = 2 * 4**3
    x = floats(4, 4)

    def scan(x):
        return jax.lax.scan(lambda c, _: (square(c), None), x, length=5)[0]

    assert count_flops(scan, x).total == 5 * once
    assert count_flops(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: scan(y), x), x).total == (
        15 * once
    )
    branch = count_flops(
        lambda x: jax.lax.cond(x[0, 0] > 0, lambda y: square(square(y)), square, x), x
    )
    assert branch.total == 2 * once
    with pytest.raises(ValueError, match="known length"):
        count_flops(lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 1, square, x), x)
    harmless = count_flops(
        lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 1, lambda y: y + 1, x), x
    )
    assert harmless.total == 0


def test_calls_are_entered():
    @jax.custom_vjp
    def product(x):
        return x @ x

    product.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x.T + x.T @ g,))
    once = 2 * 4**3
    x = floats(4, 4)
    silu = jax.custom_jvp(lambda x: x @ x)
    silu.defjvps(lambda dx, ans, x: dx * ans)
    assert count_flops(jax.jit(product), x).total == once
    assert count_flops(silu, x).total == once
    assert count_flops(jax.grad(lambda x: product(x).sum()), x).total == 3 * once
    # Rematerialised, the forward pass runs twice.
    loss = jax.checkpoint(lambda x: (jnp.sin(x @ x) @ x).sum())
    assert count_flops(jax.grad(loss), x).total == (2 + 1 + 4) * once
    # The same jitted function called twice counts twice.
    assert count_flops(lambda x: jax.jit(product)(jax.jit(product)(x)), x).total == 2 * once
    mapped = eqx.filter_vmap(product)
    assert count_flops(mapped, floats(6, 4, 4)).total == 6 * once


def test_kernels_and_shards_count_every_instance():
    from jax.experimental import pallas as pl

    def kernel(x_ref, out_ref):
        out_ref[...] = x_ref[...] @ x_ref[...]

    block = pl.BlockSpec((4, 4), lambda i: (i, 0))
    call = pl.pallas_call(
        kernel,
        grid=(3,),
        in_specs=[block],
        out_specs=block,
        out_shape=floats(12, 4),
        interpret=True,
    )
    assert count_flops(call, floats(12, 4)).total == 3 * 2 * 4**3

    mesh = jax.sharding.AbstractMesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("data")
    mapped = jax.shard_map(lambda x: x @ x.T, mesh=mesh, in_specs=spec, out_specs=spec)
    assert count_flops(mapped, floats(16, 4)).total == 8 * 2 * 2 * 4 * 2


def test_modules_and_parameters():
    def build(key):
        return Conv(4, 8, key=key), Linear(8, 2, key=key)

    conv, linear = eqx.filter_eval_shape(build, jax.random.key(0))
    assert count_parameters((conv, linear, jnp.arange(3), "text", None)) == 9 * 4 * 8 + 8 + 18

    def fn(conv, linear, x):
        return linear(conv(x)), "not an array"

    count = count_flops(fn, conv, linear, floats(6, 6, 4))
    biases = 36 * 8 + 36 * 2
    assert count == Flops(2 * 36 * 8 * 2, 2 * 36 * 9 * 4 * 8, biases)
    assert count.total == count.matmul + count.conv


def test_xla_agrees_on_a_small_network():
    def fn(x, kernel, weights):
        x = convolve()(x, kernel)
        return jax.nn.softmax(jnp.einsum("bhwc,cd->bhwd", x, weights))

    args = floats(2, 16, 16, 32), floats(3, 3, 32, 32), floats(32, 32)
    ours, xla = count_flops(fn, *args, padded_taps=False), xla_flops(fn, *args)
    assert ours.total < xla < 1.02 * ours.total
    # The rest is the softmax: maximum, difference, sum, quotient of 16,384 elements.
    assert abs(ours.total + ours.elementwise - xla) < 0.1 * ours.elementwise
