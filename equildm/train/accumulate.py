"""A gradient taken over parts of the batch, one after the other."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..runtime.target import platform


def accumulate(value_and_grad: Callable[..., Any], parts: int) -> Callable[..., Any]:
    """The same function of `(model, batch, keys)`, evaluated on `parts` slices and averaged.

    Holds the activations of one slice at a time. Since every example has its own key, the result
    equals the whole batch's but for rounding. Slices are taken with a stride, so that a batch
    sharded over devices stays where it is.

    The loop is unrolled on CPUs, where XLA's gradients of convolutions inside loops are 50 to 100
    times slower; elsewhere it is a scan.
    """
    if parts == 1:
        return value_and_grad

    def slices(leaf: jax.Array) -> jax.Array:
        if leaf.shape[0] % parts:
            raise ValueError(
                f"Gradient accumulation splits the batch evenly, received a batch of "
                f"{leaf.shape[0]} and {parts} parts. Choose a batch size that is a multiple."
            )
        return jnp.moveaxis(leaf.reshape(leaf.shape[0] // parts, parts, *leaf.shape[1:]), 1, 0)

    def accumulated(model: Any, batch: Any, keys: Any) -> Any:
        def add(total: Any, part: Any) -> tuple[Any, None]:
            result = value_and_grad(model, *part)
            return jax.tree.map(lambda a, b: a + b / parts, total, result), None

        split = jax.tree.map(slices, (batch, keys))
        first = jax.tree.map(lambda leaf: leaf[0], split)
        zeros = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
            jax.eval_shape(value_and_grad, model, *first),
        )
        unroll = parts if platform() == "cpu" else 1
        return jax.lax.scan(add, zeros, split, unroll=unroll)[0]

    return accumulated
