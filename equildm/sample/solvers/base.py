"""The plumbing that this library's solvers share, so that each file holds its update and no more.

A solver is given a function that denoises, the state `y` and two levels, and answers the state at
the second. Two levels may stand in either order: down to sample, up to encode. The second may be 0,
where the answer is the clean estimate: the public samplers all end so. In diffrax's terms these are
ordinary `AbstractSolver`s over the terms of `probability_flow` and `reverse_sde`.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import diffrax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._types import NoiseLevel
from ..terms import DenoisingTerm
from ..variable import Level

Tensor = Float[Array, "*shape"]
Denoise = Callable[[Tensor, NoiseLevel], Tensor]
State = TypeVar("State")


class AbstractFlowSolver(diffrax.AbstractSolver, Generic[State]):
    """A deterministic solver, of `probability_flow(denoiser)`."""

    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    @abc.abstractmethod
    def start(self, y: Tensor) -> State:
        """What a multistep method remembers, before there is anything to remember."""

    @abc.abstractmethod
    def advance(
        self, denoise: Denoise, y: Tensor, s0: NoiseLevel, s1: NoiseLevel, state: State
    ) -> tuple[Tensor, State]:
        """`y` at the level `s1`, given `y` at the level `s0 > 0`."""

    def init(self, terms: Any, t0: Any, t1: Any, y0: Tensor, args: Any) -> State:
        del terms, t0, t1, args
        return self.start(y0)

    def step(
        self,
        terms: Any,
        t0: Any,
        t1: Any,
        y0: Tensor,
        args: Any,
        solver_state: State,
        made_jump: Any,
    ) -> tuple[Tensor, None, dict[str, Tensor], State, Any]:
        del made_jump
        # Where time falls, diffrax negates it.
        s0, s1 = jnp.abs(t0), jnp.abs(t1)
        y1, state = self.advance(_denoise(self, terms, args), y0, s0, s1, solver_state)
        return y1, None, {"y0": y0, "y1": y1}, state, diffrax.RESULTS.successful

    def func(self, terms: Any, t0: Any, y0: Tensor, args: Any) -> Tensor:
        return terms.vf(t0, y0, args)


class AbstractNoisySolver(diffrax.AbstractItoSolver, Generic[State]):
    """A stochastic solver, of `reverse_sde(denoiser, path)`."""

    term_structure: ClassVar = diffrax.MultiTerm[tuple[diffrax.AbstractTerm, diffrax.AbstractTerm]]
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    @abc.abstractmethod
    def start(self, y: Tensor) -> State:
        """What a multistep method remembers, before there is anything to remember."""

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
        """`y` at the level `s1 < s0`, given `y` at `s0` and fresh noise `z ~ N(0, I)`."""

    def init(self, terms: Any, t0: Any, t1: Any, y0: Tensor, args: Any) -> State:
        del terms, t0, t1, args
        return self.start(y0)

    def step(
        self,
        terms: Any,
        t0: Any,
        t1: Any,
        y0: Tensor,
        args: Any,
        solver_state: State,
        made_jump: Any,
    ) -> tuple[Tensor, None, dict[str, Tensor], State, Any]:
        del made_jump
        drift, diffusion = terms.terms
        s0, s1 = jnp.abs(t0), jnp.abs(t1)
        z = diffusion.contr(t0, t1) / jnp.sqrt(s0 - s1)
        y1, state = self.advance(_denoise(self, drift, args), y0, s0, s1, solver_state, z)
        return y1, None, {"y0": y0, "y1": y1}, state, diffrax.RESULTS.successful

    def func(self, terms: Any, t0: Any, y0: Tensor, args: Any) -> Tensor:
        return terms.terms[0].vf(t0, y0, args)


def _denoise(solver: Any, term: Any, args: Any) -> Denoise:
    while not isinstance(term, DenoisingTerm):  # diffrax wraps terms that run backwards
        term = getattr(term, "term", None)
        if term is None:
            raise ValueError(
                f"{type(solver).__name__} needs the clean estimate, which no other term offers: "
                "use the terms of `probability_flow(denoiser)` or `reverse_sde(denoiser, path)`."
            )
    if not isinstance(term.time, Level):
        raise ValueError(
            f"{type(solver).__name__} steps in noise levels, received a term in "
            f"{type(term.time).__name__}. Leave `time` out: it is for solvers of diffrax's own."
        )
    return lambda y, s: term.clean(y, s, args)
