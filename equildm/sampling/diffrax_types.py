"""The types of diffrax's interface: what its solvers, terms and controllers take."""

from typing import TYPE_CHECKING, TypeAlias

import diffrax
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Int, PyTree, Real

if TYPE_CHECKING:
    RealScalar: TypeAlias = int | float | Array | np.ndarray
    BoolScalar: TypeAlias = bool | Array | np.ndarray
    IntScalar: TypeAlias = int | Array | np.ndarray
else:
    RealScalar = Real[ArrayLike, ""]
    BoolScalar = Bool[ArrayLike, ""]
    IntScalar = Int[ArrayLike, ""]

Terms: TypeAlias = PyTree[diffrax.AbstractTerm]
"""The terms of a differential equation, for instance of `probability_flow`."""

LevyArea: TypeAlias = type[
    diffrax.BrownianIncrement | diffrax.SpaceTimeLevyArea | diffrax.SpaceTimeTimeLevyArea
]
"""Which integrals of the Brownian motion over a step a stochastic solver takes."""

SUCCESSFUL: diffrax.RESULTS = diffrax.RESULTS.successful  # type: ignore[assignment]
"""The result of a step that cannot fail. To type checkers the members of `RESULTS` are strings."""
