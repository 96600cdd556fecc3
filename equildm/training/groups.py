"""Learning rates by group of parameters."""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase

import jax
import optax
from jaxtyping import PyTree

from ..runtime._leaves import path_name
from .trainable import check_patterns


def rate_groups(factors: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiplies the learning rate of some arrays by a factor.

        optimizer = optax.chain(adamw(1e-5), rate_groups({"text.*": 0.1, "*attention*": 2.0}))

    It is the last of a chain: an update of AdamW, its weight decay included, is proportional to the
    learning rate. Gradients are clipped by the norm of all groups together.

    **Arguments:**

    - `factors`: by pattern of a path, see `Where`. The first pattern that matches counts, and
        arrays that none matches keep their rate. A factor of 0 freezes an array but keeps its
        optimiser state; `partition_trainable` saves that memory.

    **Raises** `ValueError` for a factor that is negative or not finite, and in `init` for a pattern
    that matches no array.
    """
    for pattern, factor in factors.items():
        if not 0 <= factor < math.inf:
            raise ValueError(
                f"Factors of learning rates are at least 0, received {factor} for {pattern!r}. "
                "Use for instance 0.1."
            )

    def init(params: PyTree) -> optax.EmptyState:
        check_patterns(params, list(factors))
        return optax.EmptyState()

    def update(
        updates: PyTree, state: optax.EmptyState, params: PyTree = None
    ) -> tuple[PyTree, optax.EmptyState]:
        del params
        scaled = jax.tree_util.tree_map_with_path(
            lambda path, u: _factor(factors, path) * u, updates
        )
        return scaled, state

    return optax.GradientTransformation(init, update)


def at_rest(model: PyTree, factors: Mapping[str, float]) -> PyTree:
    """The arrays that a factor of 0 freezes, and `None` for the others."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: None if _factor(factors, path) else leaf, model
    )


def _factor(factors: Mapping[str, float], path: tuple[object, ...]) -> float:
    name = path_name(path)
    return next((f for pattern, f in factors.items() if fnmatchcase(name, pattern)), 1.0)
