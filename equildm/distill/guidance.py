"""What becomes of classifier-free guidance in a distillation.

Weights are those of `Guided`: 1 is the conditional model. LCM and Meng et al. write
`D_c + w' (D_c - D_null)`: their `w'` is `w - 1` here, and LCM's range of 5 to 15 is 6 to 16.
"""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ..denoise import AbstractDenoiser, EmbeddedGuidance, Guided

Weight: TypeAlias = Float[Array, ""] | float
Guide: TypeAlias = Callable[[AbstractDenoiser, Weight], AbstractDenoiser]
"""From a denoiser conditioned on a caption to one conditioned on a pair `(caption, null)`."""


def _conditional(denoiser: AbstractDenoiser, weight: Weight) -> Guided:
    """The conditional model, whatever the weight."""
    return Guided(denoiser, 1.0)


class Guidance(eqx.Module):
    """A weight for each example, and what teacher and student make of it.

    Made by the functions below.

    **Fields:**

    - `low`, `high`: the weight is uniform between them; where they are equal, it is a constant.
    - `teacher`, `student`: guide the teacher, and the student and its target.
    """

    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    teacher: Guide = eqx.field(static=True)
    student: Guide = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(
                f"Guidance weights run from low to high, received {self.low} and {self.high}."
            )

    def weight(self, key: Key) -> Weight:
        """Draws `w`."""
        if self.low == self.high:
            return float(self.low)
        return jax.random.uniform(key, minval=self.low, maxval=self.high)


def no_guidance() -> Guidance:
    """Conditional models. With captions dropped, the student may be guided when it samples."""
    return Guidance(1.0, 1.0, _conditional, _conditional)


def fixed_guidance(weight: float) -> Guidance:
    """The teacher is guided by one weight, and the student learns to be that without guidance."""
    return Guidance(weight, weight, Guided, _conditional)


def embedded_guidance(low: float, high: float) -> Guidance:
    """The teacher is guided, the student is told the weight (LCM; Meng et al. 2023, stage one)."""
    return Guidance(low, high, Guided, EmbeddedGuidance)


def inherited_guidance(low: float, high: float) -> Guidance:
    """Both are told the weight: the teacher has learned it before (Meng et al. 2023, stage two)."""
    return Guidance(low, high, EmbeddedGuidance, EmbeddedGuidance)


def shared_guidance(low: float, high: float) -> Guidance:
    """Teacher, student and target are guided alike, as the student will be when it samples."""
    return Guidance(low, high, Guided, Guided)
