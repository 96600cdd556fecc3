"""What this library's solvers share, so that the file of a solver holds its update alone.

A step takes a denoising function, the state `y` and two noise levels, and returns the state at the
second level. The second level lies below the first to sample and above it to invert. It may be 0,
where the state is the clean estimate, as in the public samplers. To diffrax these are ordinary
`AbstractSolver`s for the terms of `probability_flow` and `reverse_sde`.
"""

import abc
from collections.abc import Callable
from typing import cast, ClassVar, Generic, TypeVar

import diffrax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import Condition, NoiseLevel
from ..diffrax_types import BoolScalar, RealScalar, SUCCESSFUL, Terms
from ..terms import DenoisingTerm
from ..time_variable import Level

Tensor = Float[Array, "*shape"]
Denoise = Callable[[Tensor, NoiseLevel], Tensor]
State = TypeVar("State")


class AbstractFlowSolver(diffrax.AbstractSolver, Generic[State]):
    """A deterministic solver, of `probability_flow(denoiser)`."""

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def start(self, y: Tensor) -> State:
        """The state of a multistep method before the first step; other methods have none."""
        return cast(State, None)

    @abc.abstractmethod
    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: State
    ) -> tuple[Tensor, State]:
        """The state at the level `s1`, from the state `y` at the level `s0 > 0`."""

    def init(
        self, terms: Terms, t0: RealScalar, t1: RealScalar, y0: Tensor, args: Condition
    ) -> State:
        del terms, t0, t1, args
        return self.start(y0)

    def step(
        self,
        terms: Terms,
        t0: RealScalar,
        t1: RealScalar,
        y0: Tensor,
        args: Condition,
        solver_state: State,
        made_jump: BoolScalar,
    ) -> tuple[Tensor, None, dict[str, Tensor], State, diffrax.RESULTS]:
        del made_jump
        # Where time falls, diffrax negates it.
        s0, s1 = jnp.abs(t0), jnp.abs(t1)
        y1, state = self.advance(_denoise(self, terms, args), y0, s0, s1, solver_state)
        return y1, None, {"y0": y0, "y1": y1}, state, SUCCESSFUL

    def func(self, terms: Terms, t0: RealScalar, y0: Tensor, args: Condition) -> Tensor:
        return terms.vf(t0, y0, args)


class AbstractNoisySolver(diffrax.AbstractItoSolver, Generic[State]):
    """A stochastic solver, of `reverse_sde(denoiser, path)`."""

    term_structure: ClassVar = diffrax.MultiTerm[tuple[diffrax.AbstractTerm, diffrax.AbstractTerm]]
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def start(self, y: Tensor) -> State:
        """The state of a multistep method before the first step; other methods have none."""
        return cast(State, None)

    @abc.abstractmethod
    def advance(
        self,
        denoise: Denoise,
        y: Tensor,
        s0: NoiseLevel,
        s1: NoiseLevel,
        state: State,
        z: Tensor,
    ) -> tuple[Tensor, State]:
        """The state at the level `s1 < s0`, from `y` at `s0` and fresh noise `z ~ N(0, I)`."""

    def init(
        self, terms: Terms, t0: RealScalar, t1: RealScalar, y0: Tensor, args: Condition
    ) -> State:
        del terms, t0, t1, args
        return self.start(y0)

    def step(
        self,
        terms: Terms,
        t0: RealScalar,
        t1: RealScalar,
        y0: Tensor,
        args: Condition,
        solver_state: State,
        made_jump: BoolScalar,
    ) -> tuple[Tensor, None, dict[str, Tensor], State, diffrax.RESULTS]:
        del made_jump
        drift, diffusion = terms.terms
        s0, s1 = jnp.abs(t0), jnp.abs(t1)
        z = self.draw(diffusion, t0, t1, s0 - s1)
        y1, state = self.advance(_denoise(self, drift, args), y0, s0, s1, solver_state, z)
        return y1, None, {"y0": y0, "y1": y1}, state, SUCCESSFUL

    def draw(
        self, diffusion: Terms, t0: RealScalar, t1: RealScalar, length: NoiseLevel
    ) -> Float[Array, "*noise"]:
        """The noise `z` of a step of that length in `s`."""
        return diffusion.contr(t0, t1) / jnp.sqrt(length)

    def func(self, terms: Terms, t0: RealScalar, y0: Tensor, args: Condition) -> Tensor:
        return terms.terms[0].vf(t0, y0, args)


def _denoise(solver: diffrax.AbstractSolver, term: Terms, args: Condition) -> Denoise:
    while not isinstance(term, DenoisingTerm):  # diffrax wraps terms that run backwards
        term = getattr(term, "term", None)
        if term is None:
            raise ValueError(
                f"{type(solver).__name__} needs the clean estimate of a denoiser. Use "
                "the terms of `probability_flow(denoiser)` or `reverse_sde(denoiser, path)`."
            )
    if not isinstance(term.time, Level):
        raise ValueError(
            f"{type(solver).__name__} steps in noise levels, received a term in "
            f"{type(term.time).__name__}. Leave `time` out: it is for solvers of diffrax itself."
        )
    return lambda y, s: term.clean(y, s, args)
