"""Where a trajectory that passes through `y0` at the level `s0` is at the level `s1`."""

import abc
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
from jaxtyping import Array

from .._types import Latent, NoiseLevel
from ..denoise import AbstractDenoiser
from ..sample import AbstractNoisySolver, DDIM, probability_flow

_DDIM = DDIM()


class AbstractTrajectory(eqx.Module):
    """Finds the second point of a pair."""

    @abc.abstractmethod
    def __call__(
        self,
        clean: Latent,
        noise: Latent,
        s0: NoiseLevel,
        s1: NoiseLevel,
        condition: Any,
        guided: Callable[[AbstractDenoiser], AbstractDenoiser],
    ) -> Latent:
        """**Arguments:**

        - `clean`, `noise`: of the first point, `clean + s0 noise`.
        - `s0`, `s1`: levels, `s0 > s1`.
        - `condition`: the pair that guided denoisers take.
        - `guided`: guides a teacher as the objective says.

        **Returns:** the state at `s1`, on the scale of the data.
        """


class TeacherStep(AbstractTrajectory):
    """One step of a solver along the teacher's probability flow: consistency distillation.

    **Fields:**

    - `teacher`: a denoiser without guidance. It is frozen: no gradient passes.
    - `solver`: `DDIM()`, `Heun()`, `DPMpp2S()`, a one-step solver of diffrax's. (Of a multistep
      one a single step is its first, of order 1.)
    """

    teacher: AbstractDenoiser
    solver: diffrax.AbstractSolver = _DDIM

    def __check_init__(self) -> None:
        if isinstance(self.solver, AbstractNoisySolver):
            raise ValueError(
                "A teacher's step follows the probability flow, received the stochastic "
                f"{type(self.solver).__name__}(). Use DDIM(), Heun() or DPMpp2S()."
            )

    def __call__(
        self,
        clean: Latent,
        noise: Latent,
        s0: NoiseLevel,
        s1: NoiseLevel,
        condition: Any,
        guided: Callable[[AbstractDenoiser], AbstractDenoiser],
    ) -> Latent:
        """See `AbstractTrajectory`."""
        y0 = clean + s0 * noise
        return flow_step(guided(self.teacher), y0, s0, s1, condition, self.solver)


class SharedNoise(AbstractTrajectory):
    """The same noise at the lower level, `clean + s1 noise`: consistency training, no teacher.

    An unbiased estimate of the flow's slope (Song et al. 2023, theorem 2).
    """

    def __call__(
        self,
        clean: Latent,
        noise: Latent,
        s0: NoiseLevel,
        s1: NoiseLevel,
        condition: Any,
        guided: Callable[[AbstractDenoiser], AbstractDenoiser],
    ) -> Latent:
        """See `AbstractTrajectory`."""
        return clean + s1 * noise


def flow_step(
    denoiser: AbstractDenoiser,
    y0: Latent,
    s0: NoiseLevel,
    s1: NoiseLevel,
    condition: Any,
    solver: diffrax.AbstractSolver = _DDIM,
) -> Latent:
    """One step of a solver from `s0` to `s1` on the flow of `denoiser`.

    The solver's own `step`: around a single one, `diffrax.diffeqsolve` would be a loop whose
    length XLA does not know.
    """
    terms = probability_flow(denoiser)
    state = solver.init(terms, s0, s1, y0, condition)
    y1: Array
    y1, *_ = solver.step(terms, s0, s1, y0, condition, state, made_jump=False)
    return y1
