"""A gradient of a large batch, computed on slices of it one after the other."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Batch, Keys
from ..runtime.platform import platform

ValueAndGrad: TypeAlias = Callable[[PyTree, Batch, Keys], PyTree]
"""`(model, batch, keys)` to a mean over the batch: values, metrics and gradients in any tree."""


def accumulate(value_and_grad: ValueAndGrad, parts: int) -> ValueAndGrad:
    """The same function, evaluated on `parts` slices of the batch and averaged.

    Memory holds the activations of one slice at a time. Every example has its own key, so the
    result equals that of the whole batch but for rounding. Slices are strided, so that a batch
    which is sharded over devices stays where it is.

    On CPUs the loop is unrolled, because XLA's gradients of convolutions inside loops are 50 to 100
    times slower there. On other devices it is a scan.

    **Raises** `ValueError`, when called, for a batch that `parts` does not divide.
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

    def accumulated(model: PyTree, batch: Batch, keys: Keys) -> PyTree:
        def add(total: PyTree, part: tuple[Batch, Keys]) -> tuple[PyTree, None]:
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
