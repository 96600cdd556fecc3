"""Flash attention on TPUs for heads of any width, by Pallas.

A TPU holds the last axis of an array in rows of 128. Heads of this family are 8 to 96 wide where
the images are large, so the tokens stand last, as in `attend`: an array `(width, tokens)` is full,
where `(tokens, width)` would be 16 times its size for heads of 8. A block of scores is
`(keys, queries)`, and the sums of a softmax are one row.

All keys and values of one head lie in the fast memory. Forward, each program takes a block of
queries past all keys with a running softmax (Dao et al. 2022, algorithm 1) and stores the
log-sum-exp; backward, each takes a block of keys past all queries (algorithm 4).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, PyTree

from ..runtime.fsdp import per_device

Tokens = Float[Array, "heads width tokens"]

BLOCK = 512
"""Queries and keys of one block of scores, at most."""

LIMIT = 2**20
"""Values of a head's keys, at most: four arrays of them, and their copies in flight, fit in the 16
MiB of fast memory of a kernel."""

MASKED = -1e29
"""Scores below this are those of a masked key, which has no weight."""


def fits(queries: int, keys: int, width: int) -> bool:
    """Whether the kernel takes these sizes. The number of keys before padding is free."""
    rows = -(-width // 16) * 16
    return queries % 128 == 0 and rows * max(queries, keys) <= LIMIT


@jax.custom_vjp
def flash(query: Tokens, key: Tokens, value: Float[Array, "heads width2 tokens"]) -> Tokens:
    """`V softmax(K^T Q)` of queries that are scaled already. Numbers of tokens divide by 128.

    A key whose scores are all below `MASKED` has no weight.
    """
    return _forward(query, key, value)[0]


def _flash_forward(query, key, value):
    out, log_total = _forward(query, key, value)
    return out, (query, key, value, out, log_total)


def _flash_backward(residuals, grad):
    query, key, value, out, log_total = residuals
    mean = jnp.sum(out.astype(jnp.float32) * grad.astype(jnp.float32), 1, keepdims=True)
    dquery, dkey, dvalue = _backward(query, key, value, grad, log_total, mean)
    return dquery.astype(query.dtype), dkey, dvalue


flash.defvjp(_flash_forward, _flash_backward)


def _over_examples(kernel: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`kernel`, of arrays `(batch, heads, ...)`, as a function of one example.

    `vmap` adds axes to the batch, in one kernel, and each device takes its own examples.
    """

    def flat(*arrays: Array) -> PyTree:
        batch = arrays[0].shape[:-3]
        merged = [x.reshape(-1, *x.shape[len(batch) :]) for x in arrays]
        return jax.tree.map(lambda y: y.reshape(*batch, *y.shape[1:]), kernel(*merged))

    @custom_vmap
    def call(*arrays: Array) -> PyTree:
        return per_device(flat, arrays[0].ndim - 3, *arrays)

    @call.def_vmap
    def vmapped(size: int, batched: Sequence[bool], *arrays: Array) -> PyTree:
        same = [
            x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
            for x, is_batched in zip(arrays, batched, strict=True)
        ]
        out = call(*same)
        return out, jax.tree.map(lambda _: True, out)

    def one(*arrays: Array) -> PyTree:
        return jax.tree.map(lambda y: y[0], call(*(x[None] for x in arrays)))

    return one


def _dot(a: Array, b: Array, a_axis: int, b_axis: int) -> Array:
    dimensions = (((a_axis,), (b_axis,)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


def _block(tokens: int) -> int:
    return next(size for size in (BLOCK, 256, 128) if tokens % size == 0)


def _forward_kernel(query_ref, key_ref, value_ref, out_ref, log_ref):
    query, keys = query_ref[0, 0], key_ref.shape[-1]
    block = _block(keys)

    def step(i, carry):
        most, total, out = carry
        at = pl.ds(pl.multiple_of(i * block, block), block)
        scores = _dot(key_ref[0, 0, :, at], query, 0, 0)
        new = jnp.maximum(most, jnp.max(scores, 0, keepdims=True))
        weights, shrink = jnp.exp(scores - new), jnp.exp(most - new)
        value = value_ref[0, 0, :, at]
        out = out * shrink + _dot(value, weights.astype(value.dtype), 1, 0)
        return new, total * shrink + jnp.sum(weights, 0, keepdims=True), out

    zeros = jnp.zeros((1, query.shape[1]), jnp.float32)
    start = (zeros + MASKED, zeros, jnp.zeros(out_ref.shape[2:], jnp.float32))
    most, total, out = jax.lax.fori_loop(0, keys // block, step, start)
    # The largest weight is 1, so that the total is less only where every key is masked.
    total = jnp.maximum(total, 1.0)
    out_ref[0, 0] = (out / total).astype(out_ref.dtype)
    log_ref[0, 0] = most + jnp.log(total)


def _backward_kernel(query_ref, key_ref, value_ref, grad_ref, log_ref, mean_ref, *out_refs):
    dquery_ref, dkey_ref, dvalue_ref = out_refs
    key, value = key_ref[0, 0], value_ref[0, 0]
    queries = query_ref.shape[-1]
    block = _block(queries)

    @pl.when(pl.program_id(2) == 0)
    def _():
        dquery_ref[...] = jnp.zeros_like(dquery_ref)

    def step(i, carry):
        dkey, dvalue = carry
        at = pl.ds(pl.multiple_of(i * block, block), block)
        query, grad = query_ref[0, 0, :, at], grad_ref[0, 0, :, at]
        weights = jnp.exp(_dot(key, query, 0, 0) - log_ref[0, 0, :, at])
        dweights = _dot(value, grad, 0, 0) - mean_ref[0, 0, :, at]
        dscores = (weights * dweights).astype(key.dtype)
        dvalue += _dot(grad, weights.astype(grad.dtype), 1, 1)
        dkey += _dot(query, dscores, 1, 1)
        dquery_ref[0, 0, :, at] += _dot(key, dscores, 1, 0)
        return dkey, dvalue

    start = (jnp.zeros(key.shape, jnp.float32), jnp.zeros(value.shape, jnp.float32))
    dkey, dvalue = jax.lax.fori_loop(0, queries // block, step, start)
    dkey_ref[0, 0] = dkey.astype(dkey_ref.dtype)
    dvalue_ref[0, 0] = dvalue.astype(dvalue_ref.dtype)


def _specs(block: int, *arrays: Array | jax.ShapeDtypeStruct) -> list[pl.BlockSpec]:
    """The blocks of arrays `(batch, heads, rows, tokens)`: one head, `block` tokens (0 for all)."""

    def spec(x: Array | jax.ShapeDtypeStruct) -> pl.BlockSpec:
        shape = (1, 1, x.shape[2], block or x.shape[3])
        return pl.BlockSpec(shape, lambda b, h, i: (b, h, 0, i if block else 0))

    return [spec(x) for x in arrays]


@_over_examples
def _forward(query, key, value):
    batch, heads, _, queries = query.shape
    block = _block(queries)
    out = jax.ShapeDtypeStruct((batch, heads, value.shape[2], queries), value.dtype)
    log = jax.ShapeDtypeStruct((batch, heads, 1, queries), jnp.float32)
    return pl.pallas_call(
        _forward_kernel,
        grid=(batch, heads, queries // block),
        in_specs=[*_specs(block, query), *_specs(0, key, value)],
        out_specs=_specs(block, out, log),
        out_shape=[out, log],
    )(query, key, value)


@_over_examples
def _backward(query, key, value, grad, log_total, mean):
    batch, heads, _, keys = key.shape
    block = _block(keys)
    dquery = jax.ShapeDtypeStruct(query.shape, jnp.float32)
    return pl.pallas_call(
        _backward_kernel,
        grid=(batch, heads, keys // block),
        in_specs=[
            *_specs(0, query),
            *_specs(block, key, value),
            *_specs(0, grad, log_total, mean),
        ],
        out_specs=[*_specs(0, dquery), *_specs(block, key, value)],
        out_shape=[dquery, *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (key, value))],
    )(query, key, value, grad, log_total, mean)
