"""The loss on held-out examples, at times and noise that are the same in every step and run."""

import dataclasses
import operator
from collections.abc import Iterator, Sequence
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from .._types import Batch, Key, Time
from ..noise import AbstractSchedule, AbstractTimes
from ..runtime import batch_sharding, put, replicated
from ..runtime.fsdp import on_mesh
from .objectives.base import AbstractObjective
from .objectives.denoising import DenoisingObjective
from .objectives.prior_preservation import PriorPreservation
from .state import TrainState

PARTS = 4
"""Equal parts of the schedule's times, each of which has a loss of its own."""

_SEED = 20_210
"""Of the times and the noise: no option, so that all runs have the same."""


class PartOfTimes(AbstractTimes):
    """Times uniform over one of `PARTS` equal parts of the schedule.

    **Fields:**

    - `part`: its number; 0 has the least noise.
    """

    part: Int[Array, ""]

    def __call__(self, key: Key, schedule: AbstractSchedule) -> Time:
        """See `AbstractTimes`."""
        return (schedule.steps - 1) * (self.part + jax.random.uniform(key)) / PARTS


class Validation:
    """Scores the weights of a state on held-out examples.

        validation = Validation(objective, held_out, mesh=mesh, batch_size=32)
        validation(state)["validation_loss_ema"]

    Every example is seen at one time of each part of the schedule, with noise of its own. Both
    follow from the example's number alone. Captions are not dropped. So the numbers can be compared
    between the steps of a run, and between runs with the same held-out data, loss weight and
    schedule, whatever their seed, batch size and devices.
    """

    def __init__(
        self,
        objective: AbstractObjective,
        held_out: Batch,
        *,
        mesh: Mesh,
        batch_size: int,
    ):
        """**Arguments:**

        - `objective`: the loss that is trained. Of one with a `DenoisingObjective` inside, the
            times are chosen; any other is scored once, with fixed keys.
        - `held_out`: the examples as one batch, on the host. For `PriorPreservation` they are those
            of a subject, whose loss alone is scored.
        - `mesh`: of the training. The examples are split over it as in a step.
        - `batch_size`: examples that are scored at once, at most.

        **Raises** `ValueError` for a batch without an example.
        """
        self._count = jax.tree.leaves(held_out)[0].shape[0]
        if self._count == 0:
            raise ValueError(
                "A validation has at least 1 held-out example, received none. Leave `held_out` out."
            )
        numbered = held_out, np.arange(self._count, dtype=np.int32)
        size = _chunk_size(self._count, batch_size, mesh.shape["data"] * mesh.shape["fsdp"])
        self._chunks = list(_chunks(numbered, self._count, size))
        self._objective, self._mesh = objective, mesh
        self._parts = PARTS if _has_times(objective) else 1

        @eqx.filter_jit
        def mean_loss(
            objective: AbstractObjective, model: PyTree, chunk: PyTree, part: Int[Array, ""]
        ) -> Float[Array, ""]:
            batch, numbers = chunk
            key = jax.random.fold_in(jax.random.key(_SEED), part)
            keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers)
            with on_mesh(mesh):
                return _at_part(objective, part)(model, batch, keys)[0]

        self._mean_loss = mean_loss

    def __call__(self, state: TrainState) -> dict[str, float]:
        """The mean losses. Every process calls this.

        **Returns:** `validation_loss` of the weights as trained, `validation_loss_ema` of their
        first average, and of the average in each part of the times, from the least noise on,
        `validation_loss_ema_1` and so on.
        """
        trained, average = (self._losses(model) for model in (state.model, state.average()))
        parts = {f"validation_loss_ema_{i}": loss for i, loss in enumerate(average, start=1)}
        return {
            "validation_loss": float(np.mean(trained)),
            "validation_loss_ema": float(np.mean(average)),
            **(parts if self._parts > 1 else {}),
        }

    def _losses(self, model: PyTree) -> Sequence[float]:
        """The mean loss in each part of the times."""
        sums = []
        for chunk in self._chunks:
            size = len(chunk[1])
            chunk = put(chunk, _places(chunk, size, self._mesh))
            means = [
                self._mean_loss(self._objective, model, chunk, jnp.int32(part))
                for part in range(self._parts)
            ]
            sums.append(size * np.asarray(jax.device_get(means), np.float64))
        return (np.sum(sums, axis=0) / self._count).tolist()


def _chunk_size(count: int, most: int, parts: int) -> int:
    """The largest size of chunks, all of one size where that takes at most twice as many.

    Each size is compiled by itself, which takes longer than to score some more chunks.
    """
    fewest = -(-count // most)
    for chunks in range(fewest, 2 * fewest + 1):
        if count % (chunks * parts) == 0:
            return count // chunks
    return most


def _chunks(batch: PyTree, count: int, size: int) -> Iterator[PyTree]:
    for start in range(0, count, size):
        yield jax.tree.map(operator.itemgetter(slice(start, start + size)), batch)


def _places(chunk: PyTree, size: int, mesh: Mesh) -> PyTree:
    """Where its arrays lie: split like a batch, or complete where the mesh does not divide them."""
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    place = replicated(mesh) if size % parts else batch_sharding(mesh)
    return jax.tree.map(lambda _: place, chunk)


def _has_times(objective: AbstractObjective) -> bool:
    leaves = jax.tree.leaves(objective, is_leaf=lambda x: isinstance(x, DenoisingObjective))
    return any(isinstance(leaf, DenoisingObjective) for leaf in leaves)


def _at_part(objective: AbstractObjective, part: Int[Array, ""]) -> AbstractObjective:
    """The objective at times of that part, with every caption, and of the subject alone."""

    def changes(node: PyTree) -> bool:
        return isinstance(node, DenoisingObjective | PriorPreservation)

    def changed(node: PyTree) -> PyTree:
        if isinstance(node, PriorPreservation):
            node = node.objective
        if isinstance(node, DenoisingObjective):
            times = PartOfTimes(jnp.asarray(part))
            return dataclasses.replace(node, times=times, dropout=0.0, remat="none")
        return node

    return cast(AbstractObjective, jax.tree.map(changed, objective, is_leaf=changes))
