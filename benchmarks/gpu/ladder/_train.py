"""A training whose whole data lie on the device: on an accelerator twenty steps are one call.

A small network's step takes a few milliseconds on a GPU, less than the host takes to prepare and
queue it. So the batches are gathered on the device, and the loop is in the program. On a CPU a call
is one step: inside a loop XLA runs it 4 to 20 times slower. The step itself is the library's
(`make_step`). The learning rate and the keys are arguments, so that all rates and seeds share one
program.
"""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from equildm import Batch, TrainState
from equildm._types import Key
from equildm.runtime.platform import platform
from equildm.training import AbstractEMA, AbstractObjective, adamw, make_step


def steps_of_call() -> int:
    """Training steps of a call."""
    return 1 if platform() == "cpu" else 20


class Training:
    """The program that trains one network, and its data on the device."""

    def __init__(
        self,
        objective: AbstractObjective,
        ema: AbstractEMA,
        examples: PyTree,
        batch_of: Callable[[PyTree, Int[Array, "batch"]], Batch],
        *,
        warmup: int,
        cosine: int | None = None,
    ):
        """**Arguments:**

        - `objective`, `ema`: see `make_step`.
        - `examples`: the data, arrays with a leading axis or tables.
        - `batch_of`: makes a batch of `examples` and the numbers of its examples.
        - `warmup`: steps of linear warm-up.
        - `cosine`: step at which a cosine ends; by default the rate is constant.
        """
        self._objective, self._ema, self._examples = objective, ema, examples
        self._batch_of, self._warmup, self._cosine = batch_of, warmup, cosine
        self._program: Any = None
        self._static: Any = None

    def place(self, examples: PyTree) -> None:
        """Takes other examples of the same shapes, such as real ones for shapes alone."""
        self._examples = examples

    def start(self, model: PyTree) -> TrainState:
        """The state before the first step."""
        return TrainState.create(model, adamw(self._schedule(jnp.ones(()))), self._ema)

    def compile(self, model: PyTree, batch_size: int) -> None:
        """Compiles the program. Several threads may compile theirs at once."""
        state = eqx.filter_eval_shape(self.start, model)
        arrays, self._static = eqx.partition(state, _is_array)
        indices = jax.ShapeDtypeStruct((steps_of_call(), batch_size), jnp.int32)
        key = eqx.filter_eval_shape(jax.random.key, 0)
        rate = jax.ShapeDtypeStruct((), jnp.float32)
        call = jax.jit(self._call, donate_argnums=0)
        self._program = call.lower(arrays, self._examples, indices, rate, key).compile()

    def run(
        self, state: TrainState, order: Int[np.ndarray, "steps batch"], rate: float, key: Key
    ) -> Iterator[tuple[TrainState, Float[Array, "steps"]]]:
        """The state and the losses after each call. Each state is donated to the next."""
        arrays = eqx.filter(state, eqx.is_array)
        for first in range(0, len(order), steps_of_call()):
            indices = jnp.asarray(order[first : first + steps_of_call()])
            arrays, losses = self._program(arrays, self._examples, indices, jnp.float32(rate), key)
            yield eqx.combine(arrays, self._static), losses

    def _call(
        self,
        arrays: PyTree,
        examples: PyTree,
        indices: Int[Array, "steps batch"],
        rate: Float[Array, ""],
        key: Key,
    ) -> tuple[PyTree, Float[Array, "steps"]]:
        step = make_step(self._objective, adamw(self._schedule(rate)), self._ema, key=key)

        def one(arrays: PyTree, index: Int[Array, "batch"]) -> tuple[PyTree, Float[Array, ""]]:
            state = eqx.combine(arrays, self._static)
            state, metrics = step(state, self._batch_of(examples, index))
            return eqx.filter(state, eqx.is_array), metrics["loss"]

        if len(indices) > 1:
            return jax.lax.scan(one, arrays, indices)
        arrays, loss = one(arrays, indices[0])
        return arrays, loss[None]

    def _schedule(self, rate: Float[Array, ""]) -> Callable[[Array], Array]:
        def at(step: Array) -> Array:
            share = jnp.minimum((step + 1.0) / self._warmup, 1.0)
            if self._cosine is not None:
                share = share * 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(step / self._cosine, 1)))
            return rate * share

        return at


def order_of(count: int, batch_size: int, steps: int, seed: int) -> Int[np.ndarray, "steps batch"]:
    """The numbers of each step's examples: every epoch in another order, cut into batches."""
    random = np.random.default_rng(seed)
    epochs = -(-steps * batch_size // count)
    numbers = np.concatenate([random.permutation(count) for _ in range(epochs)])
    return numbers[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array(leaf)
