"""Everything that a training step changes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int, PyTree

from ..runtime import put, shardings
from .ema import AbstractEMA
from .packing import Packed, unpack


class TrainState(eqx.Module):
    """The model, its optimiser's state, its averages and the number of steps taken.

    It holds no random key: keys are `fold_in(key, step)`, so that a resumed run draws the numbers
    that the uninterrupted run would have drawn.

    **Fields:**

    - `model`: the trained model, or the trained part of one.
    - `optimizer`: the state of the optax transformation.
    - `ema`: the averages, packed; `average` unpacks one.
    - `step`: how many steps were taken.
    """

    model: PyTree
    optimizer: PyTree
    ema: tuple[Packed, ...]
    step: Int[Array, ""]

    @classmethod
    def create(
        cls,
        model: PyTree,
        optimizer: optax.GradientTransformation,
        ema: AbstractEMA,
        step: int = 0,
        mesh: Mesh | None = None,
    ) -> "TrainState":
        """The state before the first step.

        **Arguments:**

        - `model`: what is trained. Its buffers are donated to the first step.
        - `optimizer`, `ema`: as in `make_step`.
        - `step`: how many steps earlier models of the same run have taken.
        - `mesh`: the devices. The state of the optimiser and the averages are made in their shards,
            so that no device ever holds more than its own. By default everything is on one device.
        """
        number = jnp.asarray(step, jnp.int32)
        if mesh is None or mesh.size == 1:
            trained = eqx.filter(model, eqx.is_inexact_array)
            state = cls(model, optimizer.init(trained), ema.init(model), number)
            return state if mesh is None else put(state, shardings(state, mesh))

        # One program over all devices. A single device needs none, and none is compiled for it.
        model = put(model, shardings(model, mesh))
        model_arrays, model_static = eqx.partition(model, eqx.is_array)

        def initial(arrays: PyTree) -> tuple[PyTree, tuple[Packed, ...]]:
            model = eqx.combine(arrays, model_static)
            trained = eqx.filter(model, eqx.is_inexact_array)
            return optimizer.init(trained), ema.init(model)

        shapes = eqx.filter_eval_shape(initial, model_arrays)
        places = shardings(cls(model, shapes[0], shapes[1], number), mesh)
        arrays = jax.jit(
            lambda arrays: eqx.filter(initial(arrays), eqx.is_array),
            out_shardings=(places.optimizer, places.ema),
        )(model_arrays)
        _, static = eqx.partition(shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        optimizer_state, averages = eqx.combine(arrays, static)
        return cls(model, optimizer_state, averages, put(number, places.step))

    def average(self, index: int = 0) -> PyTree:
        """The model with averaged arrays. `index` counts the averages, see `AbstractEMA.names`."""
        return unpack(self.ema[index], self.model)

    def pieces(self) -> dict[str, PyTree]:
        """The arrays of the state, by the names that a checkpoint uses."""
        arrays = eqx.filter(self, eqx.is_array)
        return {
            "model": arrays.model,
            "optimizer": arrays.optimizer,
            "ema": arrays.ema,
            "step": arrays.step,
        }

    def with_pieces(self, pieces: dict[str, PyTree]) -> "TrainState":
        """This state with the arrays of `pieces`, as a checkpoint returns them."""
        static = eqx.filter(self, eqx.is_array, inverse=True)
        return eqx.combine(TrainState(**pieces), static)
