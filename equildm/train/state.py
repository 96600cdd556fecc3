"""All that a training step changes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from ..runtime import put, shardings
from .ema import AbstractEMA
from .packing import unpack


class TrainState(eqx.Module):
    """The model, its optimiser's state, its averages and the number of steps taken.

    It holds no random key: randomness is `fold_in(key, step)`, so that a resumed run draws what
    the uninterrupted one would have drawn.
    """

    model: Any
    optimizer: Any
    ema: Any
    step: Int[Array, ""]

    @classmethod
    def create(
        cls,
        model: Any,
        optimizer: optax.GradientTransformation,
        ema: AbstractEMA,
        step: int = 0,
        mesh: Mesh | None = None,
    ) -> "TrainState":
        """The state before the first step. The first step takes over the model's memory.

        `step` is the number of steps done by models before this one in the same run. With `mesh`
        the state lies in shards on it, and the optimiser's and the averages' parts are made there:
        no device ever holds more than its own.
        """
        number = jnp.asarray(step, jnp.int32)
        if mesh is None or mesh.size == 1:
            trained = eqx.filter(model, eqx.is_inexact_array)
            state = cls(model, optimizer.init(trained), ema.init(model), number)
            return state if mesh is None else put(state, shardings(state, mesh))

        # As one program of many devices; on one, where nothing is to be placed, it would only be
        # one more to compile.
        model = put(model, shardings(model, mesh))
        model_arrays, static = eqx.partition(model, eqx.is_array)

        def rest(arrays: Any) -> Any:
            model = eqx.combine(arrays, static)
            trained = eqx.filter(model, eqx.is_inexact_array)
            return optimizer.init(trained), ema.init(model)

        shapes = eqx.filter_eval_shape(rest, model_arrays)
        places = shardings(cls(model, shapes[0], shapes[1], number), mesh)
        made = jax.jit(
            lambda arrays: eqx.filter(rest(arrays), eqx.is_array),
            out_shardings=(places.optimizer, places.ema),
        )(model_arrays)
        _, unmade = eqx.partition(shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        optimizer_state, averages = eqx.combine(made, unmade)
        return cls(model, optimizer_state, averages, put(number, places.step))

    def average(self, index: int = 0) -> Any:
        """The model with averaged arrays, of the average of that number."""
        return unpack(self.ema[index], self.model)

    def pieces(self) -> dict[str, Any]:
        """The state by the names that a checkpoint uses, arrays only."""
        arrays = eqx.filter(self, eqx.is_array)
        return {
            "model": arrays.model,
            "optimizer": arrays.optimizer,
            "ema": arrays.ema,
            "step": arrays.step,
        }

    def with_pieces(self, pieces: dict[str, Any]) -> "TrainState":
        """This state with the arrays of `pieces`, as a checkpoint returned them."""
        static = eqx.filter(self, eqx.is_array, inverse=True)
        return eqx.combine(TrainState(**pieces), static)
