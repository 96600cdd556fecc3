"""Learning rates by group of parameters."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import jax
import optax

from .partial import check_patterns, path_name


def rate_groups(factors: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiplies the updates of some arrays, as if their learning rate were so many times the rest.

        optimizer = optax.chain(adamw(1e-5), rate_groups({"text.*": 0.1, "*attention*": 2.0}))

    Last in a chain: an update of AdamW, its weight decay included, is proportional to the learning
    rate. Gradients are clipped by the norm of all groups together.

    **Arguments:**

    - `factors`: by patterns of paths, see `partial.Where`; the first that fits counts. 0 freezes,
      though an optimiser's state is kept for what is frozen so: `divided` spares that.

    **Raises** `ValueError` for a negative factor, and in `init` for a pattern that fits nothing.
    """
    if any(factor < 0 for factor in factors.values()):
        raise ValueError(f"Factors of learning rates are at least 0, received {dict(factors)}.")

    def factor(path: Any) -> float:
        name = path_name(path)
        return next((f for pattern, f in factors.items() if fnmatchcase(name, pattern)), 1.0)

    def init(params: Any) -> optax.EmptyState:
        check_patterns(params, list(factors))
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        scaled = jax.tree_util.tree_map_with_path(lambda path, u: factor(path) * u, updates)
        return scaled, state

    return optax.GradientTransformation(init, update)
