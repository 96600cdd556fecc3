"""The kernels of accelerators, as far as a CPU can tell: chosen where they fit, lowered for their
platform, and (Pallas, interpreted) equal to `attend`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow
from jax.experimental.pallas import tpu as pltpu

from equildm.nn import attend, CrossAttn, fused_attend, pallas
from equildm.runtime.platform import compiling_for


def inputs(length, width, dtype=jnp.float32):
    # Of this seed no sum of sines below is near 0, where its relative error would be large.
    arrays = np.random.default_rng(2).standard_normal((3, length, 2, width), np.float32)
    return tuple(jax.device_put(x) for x in arrays.astype(dtype))


def lowered(platform, *arrays):
    """The program of a batch and its gradient for a platform that is not here."""

    def loss(*arrays):
        return jnp.sum(jax.vmap(fused_attend)(*arrays).astype(jnp.float32))

    batch = [jax.ShapeDtypeStruct((2, *x.shape), x.dtype) for x in arrays]
    program = jax.jit(jax.grad(loss, (0, 1, 2))).trace(*batch)
    return program.lower(lowering_platforms=(platform,)).as_text()


@pytest.fixture
def tpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")


@pytest.fixture
def gpu(monkeypatch):
    from jax._src.cudnn import fused_attention_stablehlo as cudnn

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91200)
    monkeypatch.setattr(cudnn, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(cudnn, "is_cuda_compute_capability_equal", lambda capability: False)


@pytest.mark.parametrize("width", [8, 40])
def test_tpus_take_pallas(tpu, width):
    # One kernel forward, one backward; 64 queries are too few.
    assert lowered("tpu", *inputs(256, width, jnp.bfloat16)).count("tpu_custom_call") == 2
    assert "tpu_custom_call" not in lowered("tpu", *inputs(64, width))


def test_the_target_of_a_compilation_decides():
    with compiling_for("tpu"):
        assert lowered("tpu", *inputs(128, 8)).count("tpu_custom_call") == 2
    assert "tpu_custom_call" not in lowered("tpu", *inputs(128, 8))


@pytest.mark.parametrize("width", [8, 40])
def test_gpus_take_cudnn(gpu, width):
    program = lowered("cuda", *inputs(64, width, jnp.bfloat16))
    assert "__cudnn$fmhaSoftmax" in program and "__cudnn$fmhaSoftmaxBackward" in program
    for other in (inputs(64, width), inputs(64, 12, jnp.bfloat16), inputs(64, 264, jnp.bfloat16)):
        assert "cudnn" not in lowered("cuda", *other)


@pytest.mark.parametrize("queries", [1, 9])
def test_cudnn_takes_odd_numbers_of_queries(gpu, queries):
    """As of the lowest level of latents of 8x8 and 24x24: JAX refuses these."""
    query, *_ = inputs(queries, 40, jnp.bfloat16)
    assert "__cudnn$fmha" in lowered("cuda", query, *inputs(77, 40, jnp.bfloat16)[1:])


@pytest.mark.parametrize("shown", [None, 20, 0])
@pytest.mark.parametrize(("queries", "keys"), others_slow([(64, 64), (64, 77), (9, 77)], (9, 77)))
def test_cudnn_agrees_with_attend_under_a_mask(gpu, monkeypatch, queries, keys, shown):
    """By XLA's form of the same function, in half precision: the mask is one more row."""
    whole = jax.nn.dot_product_attention

    def by_xla(*arrays, implementation, **options):
        assert implementation == "cudnn" and arrays[1].shape[1] % 8 == arrays[0].shape[1] % 2 == 0
        return whole(*arrays, implementation="xla", **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", by_xla)
    query, *_ = inputs(queries, 40, jnp.bfloat16)
    _, key, value = inputs(keys, 40, jnp.bfloat16)
    mask = None if shown is None else jax.device_put(np.arange(keys) < shown)

    def value_and_grad(function):
        def loss(*arrays):
            return jnp.sum(jnp.sin(function(*arrays).astype(jnp.float32)))

        # Compiled: then scaling and subtracting the maximum are one operation, as in a kernel.
        return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(query, key, value, mask)

    got, right = value_and_grad(fused_attend), value_and_grad(attend)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(right), strict=True):
        a, b = (np.asarray(x, np.float32) for x in (a, b))
        assert np.linalg.norm(a - b) <= 0.02 * np.linalg.norm(b) + 1e-6


@pytest.mark.parametrize("shown", [None, 20, 0])
@pytest.mark.parametrize("keys", others_slow([256, 77], 77))
def test_pallas_agrees_with_attend(tpu, keys, shown):
    query, *_ = inputs(256, 40)
    _, key, value = inputs(keys, 40)
    mask = None if shown is None else np.arange(keys) < shown

    def value_and_grad(function):
        def loss(*arrays):
            return jnp.sum(jnp.sin(function(*arrays)))

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(query, key, value, mask)

    with pltpu.force_tpu_interpret_mode():
        got = value_and_grad(fused_attend)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(value_and_grad(attend)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6)


def test_pallas_goes_past_many_blocks(tpu, monkeypatch):
    monkeypatch.setattr(pallas, "BLOCK", 128)
    arrays = inputs(512, 8)
    with pltpu.force_tpu_interpret_mode():
        got = jax.jit(lambda *arrays: fused_attend(*arrays))(*arrays)
    np.testing.assert_allclose(got, jax.jit(attend)(*arrays), rtol=1e-5, atol=1e-6)


def test_pallas_is_mapped_and_differentiated_in_any_order(tpu):
    """Also over an axis that only some of the arguments have."""
    arrays = [np.stack([x, x / 2]) for x in map(np.asarray, inputs(128, 8))]

    def gradient(function, *arrays):
        return jax.grad(lambda *a: jnp.sum(jnp.sin(function(*a))), (0, 1, 2))(*arrays)

    def outside(attend, query, key, value):
        return gradient(jax.vmap(attend, (0, None, 0)), query, key[0], value)

    def inside(attend, query, key, value):
        each = jax.vmap(lambda q, v: gradient(attend, q, key[0], v))(query, value)
        return each[0], jnp.sum(each[1], 0), each[2]

    call = jax.jit(lambda order, attend, *arrays: order(attend, *arrays), static_argnums=(0, 1))
    with pltpu.force_tpu_interpret_mode():
        results = [call(order, fused_attend, *arrays) for order in (outside, inside)]
    for result in results:
        for a, b in zip(result, call(outside, attend, *arrays), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6)


def test_choices_are_kept(tpu):
    chosen = CrossAttn(16, 16, 2, attend=attend, key=jax.random.key(0))
    x = np.ones((128, 16), np.float32)
    assert np.all(np.isfinite(eqx.filter_jit(chosen)(x, x)))
