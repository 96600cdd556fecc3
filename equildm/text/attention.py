"""Attention over a caption. It has a few hundred tokens at most, so all scores are in memory."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def causal_attend(
    query: Float[Array, "tokens heads width"],
    key: Float[Array, "tokens heads width"],
    value: Float[Array, "tokens heads width"],
    mask: Bool[Array, "tokens"] | None = None,
) -> Float[Array, "tokens heads width"]:
    """`softmax(Q K^T / sqrt(width)) V` where token `i` attends to tokens `0 .. i` alone.

    For `CrossAttn(..., attend=causal_attend)`; `mask` is true for the tokens that are read.
    """
    tokens, _, width = query.shape
    visible = jnp.tril(jnp.ones((tokens, tokens), bool))
    visible = visible if mask is None else visible & mask
    return biased_attend(query, key, value, jnp.zeros(()), visible, 1.0 / math.sqrt(width))


def biased_attend(
    query: Float[Array, "queries heads width"],
    key: Float[Array, "keys heads width"],
    value: Float[Array, "keys heads width"],
    bias: Float[Array, "heads queries keys"] | Float[Array, ""],
    visible: Bool[Array, "#queries keys"],
    scale: float,
) -> Float[Array, "queries heads width"]:
    """`softmax(scale Q K^T + bias) V`, the softmax in float32.

    **Arguments:**

    - `query`, `key`, `value`: one example.
    - `bias`: added to the scores.
    - `visible`: true where a query reads a key. A query that reads none averages all of them.
    - `scale`: factor of the products.
    """
    scores = jnp.einsum("qhw,khw->hqk", query, key, preferred_element_type=jnp.float32)
    scores = jnp.where(visible, scores * scale + bias, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("hqk,khw->qhw", weights, value)
