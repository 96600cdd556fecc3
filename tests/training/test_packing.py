"""Packing is a rearrangement: nothing that is computed from it differs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import trees_equal

from equildm.runtime import Checkpoints
from equildm.runtime.sharding import SMALL
from equildm.training import adamw, DecayEMA, pack, packed, TrainState, unpack


@pytest.fixture
def tree():
    draw = np.random.default_rng(0).normal
    shapes = {"kernel": (3, 3, 2, 4), "bias": (4,), "scalar": (), "same": (3, 3, 2, 4)}
    arrays = {name: jnp.asarray(draw(size=shape), jnp.float32) for name, shape in shapes.items()}
    large = jnp.asarray(draw(size=(2, SMALL)), jnp.float32)
    return arrays | {"large": large, "half": jnp.ones((2, 3), jnp.bfloat16), "none": None}


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("inside", [pack, jax.jit(pack)])
@pytest.mark.parametrize("outside", [unpack, jax.jit(unpack)])
def test_what_was_packed_comes_out_again(tree, inside, outside):
    small = inside(tree)
    assert small.kernels.shape == (144,) and small.vectors.shape == (5,)
    assert {leaf.shape for leaf in small.others} == {(2, SMALL), (2, 3)}
    same(outside(small, tree), tree)


def test_shapes_are_enough_to_unpack(tree):
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
    same(unpack(pack(tree), shapes), tree)


def test_nothing_small_is_nothing_lost():
    tree = {"large": jnp.ones((2, SMALL))}
    same(unpack(pack(tree), tree), tree)


def test_adamw_is_that_of_optax(tree):
    """Four updates beside optax's own on the unpacked tree, decay on matrices and kernels."""
    tree = eqx.filter(tree, lambda x: x.dtype == jnp.float32)
    mask = jax.tree.map(lambda x: x.ndim > 1, tree)
    theirs = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(1e-2, weight_decay=0.3, mask=mask)
    )
    ours = adamw(1e-2, weight_decay=0.3)
    results = []
    for optimizer in (ours, theirs):

        @jax.jit
        def step(params, state, i, optimizer=optimizer):
            grads = jax.tree.map(lambda x: jnp.sin(x * (i + 1)), tree)
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        params, state = tree, jax.jit(optimizer.init)(tree)
        for i in range(4):
            params, state = step(params, state, i)
        results.append(params)
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_a_transformation_without_parameters_is_packed_too(tree):
    optimizer = packed(optax.scale(-1.0))
    updates, _ = jax.jit(lambda tree: optimizer.update(tree, optimizer.init(tree)))(tree)
    same(updates, jax.tree.map(lambda x: -np.asarray(x), tree))


@pytest.mark.parametrize(
    "tree",
    [
        {"kernel": jnp.arange(6.0).reshape(2, 3)},  # low-rank adapters are of this kind
        {"vector": jnp.arange(3.0)},
        {"count": jnp.arange(3)},
    ],
)
def test_what_there_is_none_of_is_not_there(tree, tmp_path):
    assert trees_equal(unpack(pack(tree), tree), tree)
    assert trees_equal(jax.jit(lambda tree: unpack(pack(tree), tree))(tree), tree)
    state = TrainState.create(eqx.filter(tree, eqx.is_inexact_array), adamw(1e-3), DecayEMA())
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state.pieces(), {})
        restored = checkpoints.restore(state.pieces())
    assert trees_equal(state.with_pieces(restored.items), state)
