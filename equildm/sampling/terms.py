"""The differential equations of a denoiser, as terms for `diffrax.diffeqsolve`.

    term = probability_flow(denoiser)
    diffrax.diffeqsolve(term, diffrax.Tsit5(), t0=14.6, t1=0.03, dt0=None, y0=14.6 * noise,
                        args=condition, stepsize_controller=diffrax.PIDController(1e-3, 1e-3))

The condition is passed as diffrax's `args`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import cast, ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax  # type: ignore[import-untyped]
from jaxtyping import Array, Float, PyTree

from .._types import Condition, Key
from .diffrax_types import LevyArea, RealScalar
from .time_variable import Level, TimeVariable

_LEVEL = Level()

Denoiser = Callable[[Array, Array, Condition], Array]
Scalar = Float[Array, ""]


class DenoisingTerm(diffrax.AbstractTerm):
    """`rate * (flow of the denoiser) dt`: the drift of the flow (rate 1) and of the SDE (rate 2).

    A solver of diffrax takes it as an ordinary drift. Solvers of this library take its clean
    estimate, which is exact also where `s * eps` would cancel.

    **Fields:**

    - `denoiser`: `(y, s, condition) -> clean estimate`.
    - `time`: the variable that solvers step in.
    - `rate`: see above.
    """

    denoiser: Denoiser
    time: TimeVariable
    rate: float = eqx.field(static=True)

    @eqx.filter_jit
    def clean(self, y: Array, s: Scalar, args: Condition) -> Array:
        """The clean estimate. Jitted so that diffrax, which calls this often, traces it once."""
        clean = self.denoiser(y, s, args)
        if jnp.shape(clean) != y.shape:  # numpy's broadcasting would hide it
            raise ValueError(
                f"A denoiser returns an estimate of the latent's shape {y.shape}, received "
                f"{jnp.shape(clean)}."
            )
        return clean

    def vf(self, t: RealScalar, y: Array, args: Condition) -> Array:
        s = self.time.level(cast(Array, t))
        return self.rate * self.time.flow(y, self.clean(y, s, args), s)

    def contr(self, t0: RealScalar, t1: RealScalar, **kwargs: object) -> RealScalar:
        return t1 - t0

    def prod(self, vf: Array, control: RealScalar) -> Array:
        return vf * control


def probability_flow(denoiser: Denoiser, *, time: TimeVariable = _LEVEL) -> DenoisingTerm:
    """The ODE `dy/ds = (y - D(y, s)) / s` (Karras et al. 2022, equation 1 and 3)."""
    return DenoisingTerm(denoiser, time, 1.0)


def reverse_sde(
    denoiser: Denoiser, path: diffrax.AbstractPath, *, time: TimeVariable = _LEVEL
) -> diffrax.MultiTerm:
    """The SDE `dy = 2 (y - D) / s ds + sqrt(2 s) dW` (Song et al. 2021, equation 6).

    Time runs from high to low noise.

    **Arguments:**

    - `denoiser`: `(y, s, condition) -> clean estimate`.
    - `path`: the Brownian motion, of the shape of `y`: `StepNoise(y, key, times)` for the steps of
        a grid, `diffrax.VirtualBrownianTree` for adaptive ones.
    - `time`: the variable that solvers step in.
    """

    def diffusion(t: RealScalar, y: Array, args: Condition) -> lineax.AbstractLinearOperator:
        return lineax.DiagonalLinearOperator(
            jnp.full_like(y, time.diffusion(time.level(cast(Array, t))))
        )

    return diffrax.MultiTerm(
        DenoisingTerm(denoiser, time, 2.0), diffrax.ControlTerm(diffusion, path)
    )


class StepNoise(diffrax.AbstractBrownianPath):
    """Independent Brownian increments, a function of the key and of the number of the step.

    It is valid for the steps of a grid, where none is split. The noise is drawn in float32. So one
    seed gives one image whether the levels are computed in float32 or float64, eagerly or jitted,
    and gradients with respect to the levels exist.

    **Fields:**

    - `shape`: of the noise, with its dtype.
    - `key`: for the draws.
    - `times`: the grid.
    - `levy_area`: what the solver requires, see `levy_area`.
    """

    shape: jax.ShapeDtypeStruct = eqx.field(static=True)
    key: Key
    times: Float[Array, "times"]
    levy_area: LevyArea = eqx.field(static=True)  # type: ignore[assignment]
    t0: ClassVar[float] = -math.inf
    t1: ClassVar[float] = math.inf

    def __init__(
        self,
        y: Array | jax.ShapeDtypeStruct,
        key: Key,
        times: Float[Array, "times"],
        levy_area: LevyArea = diffrax.BrownianIncrement,
    ):
        """**Arguments:**

        - `y`: an array (or its `ShapeDtypeStruct`) of the shape and dtype of the noise.
        - `key`, `times`, `levy_area`: see the class.
        """
        self.shape = jax.ShapeDtypeStruct(y.shape, y.dtype)
        self.key = key
        self.times = times
        self.levy_area = levy_area

    def evaluate(
        self,
        t0: RealScalar,
        t1: RealScalar | None = None,
        left: bool = True,
        use_levy: bool = False,
    ) -> PyTree:
        if t1 is None:
            raise ValueError("StepNoise has increments only: evaluate it from t0 to t1.")
        # The nearest time of the grid, so that a rounding error is no other step.
        key = jax.random.fold_in(self.key, jnp.argmin(jnp.abs(self.times - t0)))
        dt = jnp.asarray(t1 - t0, self.shape.dtype)
        scales = {"W": 1.0, "H": 1 / 12, "K": 1 / 720}
        draws = {
            name: jnp.sqrt(dt * scale) * jax.random.normal(k, self.shape.shape, jnp.float32)
            for k, (name, scale) in zip(jax.random.split(key, 3), scales.items(), strict=True)
        }
        if not use_levy:
            return draws["W"]
        names = [field.name for field in dataclasses.fields(self.levy_area)]
        return self.levy_area(dt=dt, **{n: draws[n] for n in names if n in draws})
