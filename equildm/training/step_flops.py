"""The operations of a training step, for its share of the devices' peak."""

import dataclasses

import equinox as eqx
import jax
from jaxtyping import PyTree

from .._types import Batch
from ..data import full_precision
from ..runtime import count_flops
from .objectives.base import AbstractMovingObjective, AbstractObjective
from .state import TrainState


def step_flops(
    objective: AbstractObjective | AbstractMovingObjective, state: TrainState, batch: Batch
) -> int:
    """Operations of matrix products and convolutions in the loss and its gradient, over the batch.

    Operations that rematerialisation repeats do not count, as in the model-FLOPs utilisation of
    Chowdhery et al. 2022 (appendix B). Tracing takes as long as that of the step; nothing is
    computed.

    **Arguments:**

    - `objective`: the loss.
    - `state`, `batch`: arrays or their shapes.

    **Raises** `ValueError` for a loss with a loop of unknown length.
    """

    def gradient(
        objective: AbstractObjective | AbstractMovingObjective, state: TrainState, batch: Batch
    ) -> PyTree:
        loss = objective.at(state) if isinstance(objective, AbstractMovingObjective) else objective
        loss = without_remat(loss)
        trained, frozen = eqx.partition(state.model, eqx.is_inexact_array)
        batch = full_precision(batch)
        keys = jax.random.split(jax.random.key(0), jax.tree.leaves(batch)[0].shape[0])
        return jax.grad(lambda trained: loss(eqx.combine(trained, frozen), batch, keys)[0])(trained)

    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if eqx.is_array(x) else x,
        (objective, state, batch),
    )
    return count_flops(gradient, *shapes).total


def without_remat(objective: AbstractObjective) -> AbstractObjective:
    """The objective, with every activation stored."""

    def stores(node: PyTree) -> bool:
        return isinstance(node, eqx.Module) and hasattr(node, "remat")

    return jax.tree.map(
        lambda node: dataclasses.replace(node, remat="none") if stores(node) else node,
        objective,
        is_leaf=stores,
    )
