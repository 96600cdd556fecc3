"""One update of the weights, compiled."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from .._types import Key
from ..runtime.inside import mesh_of, on_mesh
from .accumulate import accumulate
from .ema import AbstractEMA
from .objective import AbstractMovingObjective, AbstractObjective, Metrics
from .packing import pack
from .state import TrainState

Step = Callable[[TrainState, Any], tuple[TrainState, Metrics]]


def make_step(
    objective: AbstractObjective | AbstractMovingObjective,
    optimizer: optax.GradientTransformation,
    ema: AbstractEMA,
    *,
    key: Key,
    parts: int = 1,
    shardings: Any = None,
) -> Step:
    """Compiles `state, batch -> state, metrics`.

    The gradient of `objective` at keys `split(fold_in(key, step), batch)`, the optimiser's update
    and the averages' in one program, with the old state's memory given to the new one. Nothing in
    it waits for the host.

    A step whose loss or gradient is not finite changes nothing but the step's number, and says so
    in its metrics (`finite`): the state never holds a NaN, and the loop decides what to do.

    **Arguments:**

    - `objective`: the loss.
    - `optimizer`: an optax transformation of its gradient.
    - `ema`: averages to keep.
    - `key`: the run's key.
    - `parts`: slices of the batch taken one after the other.
    - `shardings`: where the new state shall lie: a tree of shardings like the state's arrays, by
        default where the compiler leaves it.

    **Returns:** a function; its metrics are `loss`, `grad_norm`, `finite` and the objective's own.
    """

    mesh = mesh_of(shardings)

    def loss(trained, frozen, objective, batch, keys):
        return objective(eqx.combine(trained, frozen), batch, keys)

    @eqx.filter_jit(donate="all-except-first")
    def compiled(kept: Any, state: TrainState) -> tuple[TrainState, Metrics]:
        objective, key, batch = kept
        if isinstance(objective, AbstractMovingObjective):
            objective = objective.at(state)
        trained, frozen = eqx.partition(state.model, eqx.is_inexact_array)

        def gradient(trained, batch, keys):
            with on_mesh(mesh):
                return jax.value_and_grad(loss, has_aux=True)(
                    trained, frozen, objective, batch, keys
                )

        size = jax.tree.leaves(batch)[0].shape[0]
        keys = jax.random.split(jax.random.fold_in(key, state.step), size)
        (value, metrics), grads = accumulate(gradient, parts)(trained, batch, keys)

        norm = optax.tree.norm(pack(grads))
        finite = jnp.isfinite(value) & jnp.isfinite(norm)

        def kept_unless_finite(new, old):
            return jax.tree.map(
                lambda a, b: jnp.where(finite, a, b) if eqx.is_array(a) else a, new, old
            )

        updates, optimizer_state = optimizer.update(grads, state.optimizer, trained)
        model = eqx.combine(
            kept_unless_finite(optax.apply_updates(trained, updates), trained), frozen
        )
        averages = ema.update(state.ema, model, state.step + 1)
        averages, optimizer_state = kept_unless_finite(
            (averages, optimizer_state), (state.ema, state.optimizer)
        )
        result = TrainState(model, optimizer_state, averages, state.step + 1)
        if shardings is not None:
            result = eqx.filter_shard(result, shardings)
        return result, {"loss": value, "grad_norm": norm, "finite": finite, **metrics}

    return lambda state, batch: compiled((objective, key, batch), state)
