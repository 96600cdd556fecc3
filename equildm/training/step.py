"""One training step, compiled."""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, PyTree

from .._types import Batch, Key, Keys, Metrics
from ..data import full_precision
from ..runtime.fsdp import mesh_of, on_mesh
from ..runtime.platform import platform
from .accumulate import accumulate
from .ema import AbstractEMA
from .objectives.base import AbstractMovingObjective, AbstractObjective
from .packing import pack
from .scheduled import ScheduledOptimizer
from .state import TrainState

T = TypeVar("T")

Step: TypeAlias = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
"""`state, batch -> state, metrics`. The buffers of the old state are donated."""


def _in_order(tree: T) -> T:
    """On a GPU, the arrays laid out in memory as they are stored, last axis fastest.

    There the gradient of a convolution comes in the order of cuDNN, which would pass on to the
    moments and averages: each would be transposed twice in a step. The barrier keeps the
    transposition out of the update. A kernel that transposes cannot write over the moments that it
    reads, so that all of them would be copied.
    """
    if platform() != "gpu":
        return tree

    def ordered(x: Array) -> Array:
        x = with_layout_constraint(x, Layout(tuple(range(x.ndim))))
        return jax.lax.optimization_barrier(x) if x.ndim > 3 else x

    return jax.tree.map(ordered, tree)


def make_step(
    objective: AbstractObjective | AbstractMovingObjective,
    optimizer: optax.GradientTransformation,
    ema: AbstractEMA,
    *,
    key: Key,
    parts: int = 1,
    shardings: PyTree = None,
) -> Step:
    """Compiles `state, batch -> state, metrics`.

    One program computes the gradient of `objective` at the keys `split(fold_in(key, step), batch)`,
    the optimiser's update and the averages. The old state's buffers are donated to the new state.
    Nothing in it waits for the host. Arrays of the batch in float16, as a cache stores them, are
    converted to float32 first.

    A step whose loss or gradient is not finite changes nothing but the number of steps, and its
    metric `finite` is false: the state never holds a NaN, and the loop decides what to do.

    **Arguments:**

    - `objective`: the loss.
    - `optimizer`: an optax transformation of its gradient.
    - `ema`: moving averages of the model.
    - `key`: of the run.
    - `parts`: slices of the batch that are computed one after the other, see `accumulate`.
    - `shardings`: a tree of shardings like the state's arrays, for the new state; by default the
        compiler decides.

    **Returns:** a function whose metrics are `loss`, `grad_norm`, `finite` and the objective's own,
    and `learning_rate` where the optimiser knows it (`ScheduledOptimizer`).
    """
    mesh = mesh_of(shardings)

    def loss(
        trained: PyTree, frozen: PyTree, objective: AbstractObjective, batch: Batch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        return objective(eqx.combine(trained, frozen), batch, keys)

    @eqx.filter_jit(donate="all-except-first")
    def compiled(
        inputs: tuple[AbstractObjective | AbstractMovingObjective, Key, Batch], state: TrainState
    ) -> tuple[TrainState, Metrics]:
        objective, key, batch = inputs
        batch = full_precision(batch)
        if isinstance(objective, AbstractMovingObjective):
            objective = objective.at(state)
        trained, frozen = eqx.partition(state.model, eqx.is_inexact_array)

        def gradient(trained: PyTree, batch: Batch, keys: Keys) -> PyTree:
            with on_mesh(mesh):
                return jax.value_and_grad(loss, has_aux=True)(
                    trained, frozen, objective, batch, keys
                )

        size = jax.tree.leaves(batch)[0].shape[0]
        keys = jax.random.split(jax.random.fold_in(key, state.step), size)
        (value, metrics), grads = accumulate(gradient, parts)(trained, batch, keys)

        grads = _in_order(grads)
        norm = optax.tree.norm(pack(grads))
        finite = jnp.isfinite(value) & jnp.isfinite(norm)

        def if_finite(new: T, old: T) -> T:
            return jax.tree.map(
                lambda a, b: jnp.where(finite, a, b) if eqx.is_array(a) else a, new, old
            )

        updates, optimizer_state = optimizer.update(grads, state.optimizer, trained)
        model = eqx.combine(if_finite(optax.apply_updates(trained, updates), trained), frozen)
        averages = ema.update(state.ema, model, state.step + 1)
        averages, optimizer_state = if_finite(
            (averages, optimizer_state), (state.ema, state.optimizer)
        )
        result = TrainState(model, optimizer_state, averages, state.step + 1)
        if shardings is not None:
            result = eqx.filter_shard(result, shardings)
        metrics = {"loss": value, "grad_norm": norm, "finite": finite, **metrics}
        if isinstance(optimizer, ScheduledOptimizer):
            metrics["learning_rate"] = optimizer.rate(state.optimizer)
        return result, metrics

    return lambda state, batch: compiled((objective, key, batch), state)
