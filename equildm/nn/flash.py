"""Attention that never stores the scores of all queries together."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Queries = Float[Array, "heads width queries"]
Keys = Float[Array, "heads width keys"]

BLOCK = 2**18
"""Scores held at a time for one example, over all heads: 1 MiB, so that they stay in cache."""

FEWEST = 16
"""Queries of a block, however many keys there are: fewer leave a matrix product's rows unused."""
NARROW, LONG = 8, 512
"""Up to this width of heads, and from this number of keys on, products over the width are sums of
elementwise products on a CPU. A matrix product over so short an axis takes twice as long."""


def attend(
    query: Float[Array, "queries heads width"],
    key: Float[Array, "keys heads width"],
    value: Float[Array, "keys heads width"],
    mask: Bool[Array, "keys"] | None = None,
) -> Float[Array, "queries heads width"]:
    """`softmax(Q K^T / sqrt(width)) V` for each head (Vaswani et al. 2017, equation 1).

    Scores are computed for a block of queries at a time. Their softmax is float32 (float64 for
    float64 inputs); products with it are in the inputs' dtype and accumulate in that of the
    softmax. As in FlashAttention (Dao et al. 2022, algorithms 1 and 4) only the log-sum-exp of each
    query is stored for the gradient, and the probabilities are computed again from it. Both modes
    of differentiation work, and `jax.vmap` puts the examples inside the loop over blocks, so that a
    batch can be sharded.

    **Arguments:**

    - `query`, `key`, `value`: one example.
    - `mask`: true where a key may be attended to. The result of a query without any such key is 0.
    """
    bias = None if mask is None else jnp.where(mask, 0.0, -jnp.inf)
    root = math.sqrt(query.shape[-1])
    # In 16 bits the scores are scaled, because that would round a query.
    half = query.dtype.itemsize < 4
    query, scale = (query, 1 / root) if half else (query / root, 1.0)
    to_block = partial(jnp.transpose, axes=(1, 2, 0))
    out = _attend(scale, to_block(query), to_block(key), to_block(value), bias)
    return jnp.transpose(out, (2, 0, 1))


# The width stands before the tokens, and no product below contracts the first axis of the scores:
# on a CPU a product with a transposed matrix of scores is 8 to 15 times slower.


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attend(
    scale: float, query: Queries, key: Keys, value: Keys, bias: Float[Array, "keys"] | None
) -> Queries:
    return _forward(scale, query, key, value, bias)[0]


def _forward(scale, query, key, value, bias):
    def block(query):
        scores = _scores(scale, query, key, bias)
        most = jnp.max(scores, axis=-1, keepdims=True, initial=jnp.finfo(jnp.float32).min)
        weights = jnp.exp(scores - most)
        out = _product(value, weights.astype(value.dtype), 2)
        # The largest weight is 1, so that the sum is less only where every key is masked.
        total = jnp.maximum(jnp.sum(weights, axis=-1), 1.0)
        out = (out / total[:, None]).astype(value.dtype)
        return out, most[..., 0] + jnp.log(total)

    return _over_blocks(block, key, query)


@_attend.defjvp
def _attend_jvp(scale, primals, tangents):
    query, key, value, bias = primals
    query_dot, key_dot, value_dot, _ = tangents
    out, log_total = _forward(scale, query, key, value, bias)

    # Linear in the tangents, and its transpose is FlashAttention's backward pass. The checkpoint
    # keeps that pass from storing the probabilities.
    @partial(jax.checkpoint, prevent_cse=False)
    def block(query, query_dot, log_total):
        weights = jnp.exp(_scores(scale, query, key, bias) - log_total[..., None])
        scores_dot = _product(query_dot, key, 1) + _product(query, key_dot, 1)
        weights_dot = weights * _scaled(scores_dot, scale)
        moved = _narrow(_values_by_sums, value, weights_dot.astype(value.dtype), 2)
        moved = moved + _product(value_dot, weights.astype(value.dtype), 2)
        return moved, jnp.sum(weights_dot, axis=-1)

    moved, mean = _over_blocks(block, key, query, query_dot, log_total)
    return out, (moved - out * mean[:, None]).astype(value.dtype)


def _scores(scale, query, key, bias):
    scores = _scaled(_narrow(_scores_by_sums, query, key, 1), scale)
    return scores if bias is None else scores + bias


def _scaled(scores, scale):
    return scores if scale == 1 else scores * scale


def _product(a, b, axis):
    """The products of each head's two matrices over the same axis, 1 or 2, of both."""
    dimensions = (((axis,), (axis,)), ((0,), (0,)))
    return jax.lax.dot_general(a, b, dimensions, preferred_element_type=_accumulator(a))


def _narrow(sums, a, b, axis):
    """`_product`, by `sums` for narrow heads and many keys, if it is compiled for a CPU."""
    product = partial(_product, axis=axis)
    if a.shape[1] > NARROW or b.shape[-1] < LONG:
        return product(a, b)
    return jax.lax.platform_dependent(a, b, cpu=sums, default=product)


def _scores_by_sums(query, key):
    query, key = (x.astype(_accumulator(x)) for x in (query, key))
    scores = sum(query[:, i, :, None] * key[:, i, None, :] for i in range(query.shape[1]))
    return jax.lax.optimization_barrier(scores)  # in one kernel with the exponential it is slower


def _values_by_sums(value, weights):
    """Slower than a product by itself; its transpose to the weights, the backward pass, is not."""
    value, weights = (x.astype(_accumulator(x)) for x in (value, weights))
    rows = [jnp.sum(value[:, i, None] * weights, axis=-1) for i in range(value.shape[1])]
    return jnp.stack(rows, axis=1)


def _accumulator(x):
    return jnp.promote_types(x.dtype, jnp.float32)


def _over_blocks(function, key, *arrays):
    """Maps over blocks of the last axis; the last block is filled with zeros, then cut."""
    heads, *_, queries = arrays[0].shape
    number = math.ceil(queries / max(BLOCK // (heads * key.shape[-1]), FEWEST))
    if number <= 1:
        return function(*arrays)

    def split(x):
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -queries % number)])
        return jnp.moveaxis(padded.reshape(*x.shape[:-1], number, -1), -2, 0)

    def join(x):
        x = jnp.moveaxis(x, 0, -2)
        return x.reshape(*x.shape[:-2], -1)[..., :queries]

    return jax.tree.map(join, jax.lax.map(lambda xs: function(*xs), tuple(map(split, arrays))))
