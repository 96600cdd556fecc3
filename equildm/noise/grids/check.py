"""What a grid of noise levels must be."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float

Levels: TypeAlias = Float[np.ndarray, "levels"]


def check_levels(levels: Levels) -> Levels:
    """Returns a grid unchanged. **Raises** `ValueError` for levels that are no grid."""
    if levels.ndim != 1 or len(levels) < 2:
        raise ValueError(
            f"A grid is a vector of at least 2 noise levels, received the shape {levels.shape}. "
            "One step from s to clean is [s, 0]."
        )
    if not np.all(np.isfinite(levels)) or levels[-1] < 0:
        raise ValueError(
            f"Noise levels are finite and not negative, received {levels}. "
            "For no signal at all use INFINITE_LEVEL."
        )
    if not np.all(np.diff(levels) < 0):
        raise ValueError(
            f"Noise levels decrease strictly, received {levels}. "
            "Use fewer steps or a lower final level."
        )
    return levels


def append_final(levels: np.ndarray, final: float) -> Levels:
    """The grid with its last level, unless it ends there."""
    reached = len(levels) > 1 and np.isclose(levels[-1], final, rtol=1e-9, atol=0)
    return check_levels(levels if reached else np.append(levels, final))


def pad(levels: Levels, length: int) -> Float[np.ndarray, "length"]:
    """Repeats the last level up to `length` levels. Samplers stop when they first reach it."""
    if length < len(levels):
        raise ValueError(
            f"Padding cannot shorten, received {len(levels)} levels and the length {length}. "
            f"Use a length of at least {len(levels)}."
        )
    return np.append(levels, np.full(length - len(levels), levels[-1]))


def at_least_one(steps: int) -> int:
    """Returns a number of steps unchanged. **Raises** `ValueError` for less than 1."""
    if steps < 1:
        raise ValueError(f"A grid has at least 1 step, received {steps}. Use 1 or more.")
    return steps
