"""Classifier-free guidance in a distillation.

Scales are those of `Guided`: 1 is the conditional model. LCM and Meng et al. write
`D_c + w' (D_c - D_null)`: their `w'` is `w - 1` here, and LCM's range of 5 to 15 is 6 to 16.
"""

from collections.abc import Callable
from typing import TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key
from ..denoise import AbstractDenoiser, EmbeddedGuidance, Guided
from .names import GuidanceName

Scale: TypeAlias = Float[Array, ""] | float
Guide: TypeAlias = Callable[[AbstractDenoiser, Scale], AbstractDenoiser]
"""From a denoiser conditioned on a caption to one conditioned on a pair `(caption, null)`."""


def _conditional(denoiser: AbstractDenoiser, guidance_scale: Scale) -> Guided:
    """The conditional model, at any scale."""
    return Guided(denoiser, 1.0)


class Guidance(eqx.Module):
    """A guidance scale for each example, and how teacher and student are guided by it.

    The functions below make the usual ones.

    **Fields:**

    - `low`, `high`: the scale is uniform between them; where they are equal, it is a constant.
    - `teacher`, `student`: guide the teacher, and the student and its target.
    """

    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)
    teacher: Guide = eqx.field(static=True)
    student: Guide = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(
                f"Guidance scales run from low to high, received {self.low} and {self.high}. "
                "Exchange them."
            )

    def scale(self, key: Key) -> Scale:
        """Draws `w`."""
        if self.low == self.high:
            return float(self.low)
        return jax.random.uniform(key, minval=self.low, maxval=self.high)


def no_guidance() -> Guidance:
    """Conditional models. With captions dropped, the student can be guided when it samples."""
    return Guidance(1.0, 1.0, _conditional, _conditional)


def fixed_guidance(guidance_scale: float) -> Guidance:
    """The teacher is guided by one scale. The student learns its answer and needs no guidance."""
    return Guidance(guidance_scale, guidance_scale, Guided, _conditional)


def embedded_guidance(low: float, high: float) -> Guidance:
    """The teacher is guided; the student is conditioned on the guidance scale.

    (LCM; Meng et al. 2023, stage one.)
    """
    return Guidance(low, high, Guided, EmbeddedGuidance)


def inherited_guidance(low: float, high: float) -> Guidance:
    """Both are conditioned on the guidance scale (Meng et al. 2023, stage two).

    The teacher is the student of an earlier `embedded_guidance`.
    """
    return Guidance(low, high, EmbeddedGuidance, EmbeddedGuidance)


def shared_guidance(low: float, high: float) -> Guidance:
    """Teacher, student and target are guided alike, as the student will be when it samples."""
    return Guidance(low, high, Guided, Guided)


def make_guidance(name: GuidanceName, low: float, high: float, *, phase: int = 0) -> Guidance:
    """The guidance of that name, in a phase of a staged method.

    The teacher of every phase but the first is a student, which has learned its guidance.
    """
    if name == "none" or (name == "fixed" and phase > 0):
        return no_guidance()
    if name == "fixed":
        return fixed_guidance(low)
    if name == "shared":
        return shared_guidance(low, high)
    return embedded_guidance(low, high) if phase == 0 else inherited_guidance(low, high)
