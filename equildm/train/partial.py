"""Training a part of a model, chosen by the paths of its arrays."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Keys
from .objective import AbstractObjective, Metrics

Where: TypeAlias = Callable[[str, Any], bool]
"""Says of an array, by its path and itself, whether it is meant.

A path is made of the attributes that lead to the array, with dots:
`down.0.stages.1.transformer.blocks.0.attention.to_q.weight`."""


def matching(*patterns: str) -> Where:
    """Arrays whose path fits one of the patterns, such as `"*attention*"` or `"conv_in.*"`."""
    return lambda path, array: any(fnmatchcase(path, pattern) for pattern in patterns)


def divided(model: Any, where: Where) -> tuple[Any, Any]:
    """`(trained, frozen)`: the model twice, with None for what is in the other; see `eqx.combine`.

    Only arrays of floating point are trained. Raises `ValueError` where none is.
    """
    chosen = jax.tree_util.tree_map_with_path(
        lambda path, leaf: _is_trainable(leaf) and where(path_name(path), leaf), model
    )
    if not any(jax.tree.leaves(chosen)):
        raise ValueError(f"Some arrays must be trained; none is. {_paths(model)}")
    return eqx.partition(model, chosen)


def check_patterns(model: Any, patterns: Sequence[str]) -> None:
    """Raises `ValueError` for a pattern that fits the path of no array."""
    leaves = jax.tree_util.tree_leaves_with_path(model)
    paths = [path_name(path) for path, leaf in leaves if _is_trainable(leaf)]
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            raise ValueError(
                f"No array of {type(model).__name__} has a path like {pattern!r}. {_paths(model)}"
            )


def path_name(path: Any) -> str:
    """A path of `jax.tree_util` as `Where` sees it."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


class OnPart(AbstractObjective):
    """An objective of a model as one of its trained part alone.

    The model of the `TrainState` is then what `divided` gave first: gradients, optimiser, averages
    and checkpoints are of its size.

        trained, frozen = divided(network, matching("*attention*"))
        state = TrainState.create(trained, optimizer, ema)
        step = make_step(OnPart(objective, frozen), optimizer, ema, key=key)
        network = eqx.combine(state.average(), frozen)

    **Fields:**

    - `objective`: of the whole model.
    - `frozen`: the other part.
    """

    objective: AbstractObjective
    frozen: Any

    def __call__(self, model: Any, batch: Any, keys: Keys) -> tuple[Float[Array, ""], Metrics]:
        """See `AbstractObjective`."""
        return self.objective(eqx.combine(model, self.frozen), batch, keys)


def _is_trainable(leaf: Any) -> bool:
    # Shapes count as the arrays that they stand for.
    return eqx.is_inexact_array(leaf) or (
        isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)
    )


def _paths(model: Any) -> str:
    leaves = jax.tree_util.tree_leaves_with_path(model)
    paths = [path_name(path) for path, leaf in leaves if _is_trainable(leaf)]
    return f"Paths are {', '.join(paths[:4])} and {max(0, len(paths) - 4)} more."
