"""Training a part of a model, chosen by the paths of its arrays."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._types import Batch, Keys, Metrics, Network
from ..nn.lora import Adapters, with_lora_layers
from ..runtime._leaves import is_vector, path_name
from .objectives.base import AbstractObjective

Where: TypeAlias = Callable[[str, Array | jax.ShapeDtypeStruct], bool]
"""Whether an array is chosen, by its path and by itself.

A path holds the attributes that lead to the array, with dots:
`down.0.stages.1.transformer.blocks.0.cross_attention.to_query.weight`."""


def matching(*patterns: str) -> Where:
    """Arrays whose path matches one of the patterns, such as `"*attention*"` or `"conv_in.*"`."""
    return lambda path, array: any(fnmatchcase(path, pattern) for pattern in patterns)


def partition_trainable(model: PyTree, where: Where) -> tuple[PyTree, PyTree]:
    """`(trained, frozen)`: the model twice, each with `None` for the arrays of the other.

    `eqx.combine` is the inverse. Only floating-point arrays are trained.

    **Raises** `ValueError` if no array is chosen.
    """
    chosen = jax.tree_util.tree_map_with_path(
        lambda path, leaf: _is_trainable(leaf) and where(path_name(path), leaf), model
    )
    if not any(jax.tree.leaves(chosen)):
        raise ValueError(
            f"A training needs at least one array, received patterns that match none. "
            f"{_paths(model)}"
        )
    return eqx.partition(model, chosen)


def check_patterns(model: PyTree, patterns: Sequence[str]) -> None:
    """Raises `ValueError` for a pattern that matches the path of no floating-point array."""
    paths = _trainable_paths(model)
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise ValueError(
                f"A pattern matches the path of at least one array, received {pattern!r}, which "
                f"matches none. {_paths(model)}"
            )


def check_new_weights(frozen: PyTree, start: PyTree, unused: Sequence[str] = ()) -> None:
    """Raises `ValueError` where a frozen kernel is not one of `start`'s and ignores an input.

    Such weights were added as zeros, for a training that gives them a meaning.

    **Arguments:**

    - `frozen`: arrays of the network that are not trained.
    - `start`: the network that was added to. Kernels that equal one of its own are copies.
    - `unused`: paths of new kernels that may stay zero.
    """
    old = [leaf for leaf in jax.tree.leaves(start) if _is_trainable(leaf)]
    known = {id(leaf) for leaf in old}
    new = {
        path_name(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(frozen)
        if _is_trainable(leaf) and id(leaf) not in known and not is_vector(path, leaf.ndim)
    }
    stuck = [
        name
        for name, kernel in new.items()
        if name not in unused
        and _ignores_an_input(kernel)
        and not any(jnp.array_equal(kernel, other) for other in old)
    ]
    if stuck:
        raise ValueError(
            f"New weights are zero until they are trained, received options that leave "
            f"{', '.join(stuck)} as zero. Name them in --trainable, such as --trainable "
            f"'*attention*' {' '.join(stuck)}; --lora trains adapters alone."
        )


def _ignores_an_input(kernel: Array) -> bool:
    others = tuple(axis for axis in range(kernel.ndim) if axis != kernel.ndim - 2)
    return not bool(jnp.all(jnp.any(kernel != 0, axis=others)))


class PartialObjective(AbstractObjective):
    """An objective of a whole model, as an objective of its trained part.

    The model of the `TrainState` is then the trained part. Gradients, optimiser, averages and
    checkpoints have its size.

        trained, frozen = partition_trainable(network, matching("*attention*"))
        state = TrainState.create(trained, optimizer, ema)
        step = make_step(PartialObjective(objective, frozen), optimizer, ema, key=key)
        network = eqx.combine(state.average(), frozen)

    **Fields:**

    - `objective`: of the whole model.
    - `frozen`: the part that is not trained.
    """

    objective: AbstractObjective
    frozen: PyTree

    def __call__(self, model: PyTree, batch: Batch, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        return self.objective(eqx.combine(model, self.frozen), batch, keys)


class LoRAObjective(AbstractObjective):
    """An objective of a network, as an objective of its low-rank adapters.

    The model of the `TrainState` is then the `Adapters`. Gradients, optimiser, averages and
    checkpoints have their size, and the network gets no gradient.

        adapters = new_lora(network, rank=8, key=key)
        state = TrainState.create(adapters, optimizer, ema)
        step = make_step(LoRAObjective(objective, network), optimizer, ema, key=key)

    **Fields:**

    - `objective`: of the network with its adapters.
    - `network`: the frozen network.
    """

    objective: AbstractObjective
    network: Network

    def __call__(
        self, model: Adapters, batch: Batch, keys: Keys
    ) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        return self.objective(with_lora_layers(self.network, model), batch, keys)


def _is_trainable(leaf: object) -> bool:
    # A shape counts as the array that it stands for.
    return eqx.is_inexact_array(leaf) or (
        isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)
    )


def _trainable_paths(model: PyTree) -> list[str]:
    leaves = jax.tree_util.tree_leaves_with_path(model)
    return [path_name(path) for path, leaf in leaves if _is_trainable(leaf)]


def _paths(model: PyTree) -> str:
    paths = _trainable_paths(model)
    return f"Paths are {', '.join(paths[:4])} and {max(0, len(paths) - 4)} more."
