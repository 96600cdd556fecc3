"""A denoiser as the terms of a differential equation, for `diffrax.diffeqsolve`.

    term = probability_flow(denoiser)
    diffrax.diffeqsolve(term, diffrax.Tsit5(), t0=14.6, t1=0.03, dt0=None, y0=14.6 * noise,
                        args=condition, stepsize_controller=diffrax.PIDController(1e-3, 1e-3))

The condition travels as diffrax's `args`.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import equinox as eqx
import jax.numpy as jnp
import lineax  # type: ignore[import-untyped]
from jaxtyping import Array, Float, PyTree

from .._types import Key
from .variable import AbstractTime, Level

_LEVEL = Level()

Denoiser = Callable[[Array, Array, Any], Array]
Scalar = Float[Array, ""]


class DenoisingTerm(diffrax.AbstractTerm):
    """`rate * (flow of the denoiser) dt`: the drift of the flow (rate 1) and of the SDE (rate 2).

    It is an ordinary drift to any diffrax solver. Solvers of this library ask it for the clean
    estimate instead, which is exact also where `s * eps` would cancel.
    """

    denoiser: Denoiser
    time: AbstractTime
    rate: float = eqx.field(static=True)

    @eqx.filter_jit
    def clean(self, y: Array, s: Scalar, args: Any) -> Array:
        """The clean estimate. Jitted only so that diffrax's repeated tracing finds it traced."""
        return self.denoiser(y, s, args)

    def vf(self, t: Any, y: Array, args: Any) -> Array:
        s = self.time.level(t)
        return self.rate * self.time.flow(y, self.clean(y, s, args), s)

    def contr(self, t0: Any, t1: Any, **kwargs: Any) -> Any:
        return t1 - t0

    def prod(self, vf: Array, control: Any) -> Array:
        return vf * control


def probability_flow(denoiser: Denoiser, *, time: AbstractTime = _LEVEL) -> DenoisingTerm:
    """The ODE `dy/ds = (y - D(y, s)) / s` (Karras et al. 2022, equation 1 and 3)."""
    return DenoisingTerm(denoiser, time, 1.0)


def reverse_sde(
    denoiser: Denoiser, path: diffrax.AbstractPath, *, time: AbstractTime = _LEVEL
) -> diffrax.MultiTerm:
    """The SDE `dy = 2 (y - D) / s ds + sqrt(2 s) dW` (Song et al. 2021, equation 6).

    Time runs from high to low noise. **Arguments:** `path` is the Brownian motion, of the shape of
    `y`: `StepNoise(y, key)` for fixed steps, `diffrax.VirtualBrownianTree` for adaptive ones.
    """

    def diffusion(t: Any, y: Array, args: Any) -> Any:
        return lineax.DiagonalLinearOperator(jnp.full_like(y, time.diffusion(time.level(t))))

    return diffrax.MultiTerm(
        DenoisingTerm(denoiser, time, 2.0), diffrax.ControlTerm(diffusion, path)
    )


class StepNoise(diffrax.AbstractBrownianPath):
    """Independent Brownian increments, a pure function of the key and of the ends of the step.

    Sound for fixed steps only, where no step is ever split. There it costs one draw a step, and,
    unlike `diffrax.UnsafeBrownianPath` which draws the numbers, it may be differentiated through:
    a recomputed step has the same two ends to the bit, hence the same noise.
    """

    shape: Any = eqx.field(static=True)
    key: Key
    levy_area: Any = eqx.field(static=True)
    t0: ClassVar[float] = -math.inf
    t1: ClassVar[float] = math.inf

    def __init__(
        self,
        y: PyTree[Array],
        key: Key,
        levy_area: Any = diffrax.BrownianIncrement,
    ):
        """**Arguments:**

        - `y`: an array (or its `ShapeDtypeStruct`) of the shape and dtype of the noise.
        - `key`: for the draws.
        - `levy_area`: what the solver asks for, see `diffrax.UnsafeBrownianPath`.
        """
        self.shape = eqx.filter_eval_shape(lambda: y)
        self.key = key
        self.levy_area = levy_area

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True, use_levy: bool = False) -> Any:
        path = diffrax.UnsafeBrownianPath(self.shape, self.key, self.levy_area)
        return path.evaluate(t0, t1, left, use_levy)
