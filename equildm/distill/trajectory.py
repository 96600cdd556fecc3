"""The second point of a trajectory: from `y0` at the level `s0` to the level `s1`."""

import abc
from collections.abc import Callable

import diffrax
import equinox as eqx
from jaxtyping import Array

from .._types import Condition, Latent, NoiseLevel
from ..denoise import AbstractDenoiser
from ..sampling import DDIM, needs_key, probability_flow

_DDIM = DDIM()


class AbstractTrajectory(eqx.Module):
    """Gives the second point of a pair."""

    @abc.abstractmethod
    def __call__(
        self,
        clean: Latent,
        noise: Latent,
        s0: NoiseLevel,
        s1: NoiseLevel,
        condition: Condition,
        guided: Callable[[AbstractDenoiser], AbstractDenoiser],
    ) -> Latent:
        """**Arguments:**

        - `clean`, `noise`: of the first point, `clean + s0 noise`.
        - `s0`, `s1`: levels, `s0 > s1`.
        - `condition`: the pair that guided denoisers take.
        - `guided`: adds the objective's guidance to a teacher.

        **Returns:** the state at `s1`, on the scale of the data.
        """


class TeacherStep(AbstractTrajectory):
    """One step of a solver along the teacher's probability flow: consistency distillation.

    **Fields:**

    - `teacher`: a denoiser without guidance. It is frozen: no gradient passes.
    - `solver`: `DDIM()`, `Heun()`, `DPMpp2S()` or a one-step solver of diffrax's. (A multistep
      solver takes its first step, of order 1.)
    """

    teacher: AbstractDenoiser
    solver: diffrax.AbstractSolver = _DDIM

    def __check_init__(self) -> None:
        if needs_key(self.solver):
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
        condition: Condition,
        guided: Callable[[AbstractDenoiser], AbstractDenoiser],
    ) -> Latent:
        """See `AbstractTrajectory`."""
        y0 = clean + s0 * noise
        return flow_step(guided(self.teacher), y0, s0, s1, condition, self.solver)


class ConsistencyTraining(AbstractTrajectory):
    """The same noise at the lower level, `clean + s1 noise`: consistency training, no teacher.

    An unbiased estimate of the flow's slope (Song et al. 2023, theorem 2).
    """

    def __call__(
        self,
        clean: Latent,
        noise: Latent,
        s0: NoiseLevel,
        s1: NoiseLevel,
        condition: Condition,
        guided: Callable[[AbstractDenoiser], AbstractDenoiser],
    ) -> Latent:
        """See `AbstractTrajectory`."""
        return clean + s1 * noise


def flow_step(
    denoiser: AbstractDenoiser,
    y0: Latent,
    s0: NoiseLevel,
    s1: NoiseLevel,
    condition: Condition,
    solver: diffrax.AbstractSolver = _DDIM,
) -> Latent:
    """One step of a solver from `s0` to `s1` on the flow of `denoiser`.

    It calls the solver's own `step`: `diffrax.diffeqsolve` would put a loop around it whose length
    XLA does not know.
    """
    terms = probability_flow(denoiser)
    state = solver.init(terms, s0, s1, y0, condition)
    y1: Array
    y1, *_ = solver.step(terms, s0, s1, y0, condition, state, made_jump=False)
    return y1
