"""All that a training step changes."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

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
    ) -> "TrainState":
        """The state before the first step. The first step takes over the model's memory.

        `step` is the number of steps done by models before this one in the same run.
        """
        trained = eqx.filter(model, eqx.is_inexact_array)
        return cls(model, optimizer.init(trained), ema.init(model), jnp.asarray(step, jnp.int32))

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
