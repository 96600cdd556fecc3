"""Which variable a solver calls time."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import NoiseLevel


class AbstractTime(eqx.Module):
    """A monotone function of the noise level, and the dynamics in it.

    With `eps = (y - D) / s` the probability flow is `dy = eps ds` and the reverse SDE is
    `dy = 2 eps ds + sqrt(2 s) dW`, running down from a high level. Both, written in another
    variable, are the same curves and the same laws, but other problems to a numerical solver.
    """

    @abc.abstractmethod
    def time(self, s: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """The time of a noise level."""

    @abc.abstractmethod
    def level(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """The noise level at a time."""

    @abc.abstractmethod
    def flow(
        self, y: Float[Array, "*shape"], clean: Float[Array, "*shape"], s: NoiseLevel
    ) -> Float[Array, "*shape"]:
        """`dy/dt` of the probability flow, given the clean estimate."""

    @abc.abstractmethod
    def diffusion(self, s: NoiseLevel) -> Float[Array, ""]:
        """The factor on `dW` in the reverse SDE."""


class Level(AbstractTime):
    """Time is `s` itself, and falls as one samples. `dy/ds = eps`; here Euler's method *is* DDIM.

    At `s = 0` the flow is given as 0. A solver that evaluates there loses accuracy, not sanity.
    """

    def time(self, s: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return s

    def level(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return t

    def flow(
        self, y: Float[Array, "*shape"], clean: Float[Array, "*shape"], s: NoiseLevel
    ) -> Float[Array, "*shape"]:
        return jnp.where(s > 0, (y - clean) / jnp.where(s > 0, s, 1), 0)

    def diffusion(self, s: NoiseLevel) -> Float[Array, ""]:
        return jnp.sqrt(2 * s)


class HalfLogSNR(AbstractTime):
    """Time is `lambda = -log s`, and rises as one samples. It never reaches the level 0.

    `dy/dlambda = D - y`, and the noise `sqrt(2) e^-lambda dW` is additive: the form that diffrax's
    `SRA1` and `ShARK` ask for.
    """

    def time(self, s: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return -jnp.log(s)

    def level(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return jnp.exp(-t)

    def flow(
        self, y: Float[Array, "*shape"], clean: Float[Array, "*shape"], s: NoiseLevel
    ) -> Float[Array, "*shape"]:
        return clean - y

    def diffusion(self, s: NoiseLevel) -> Float[Array, ""]:
        return jnp.sqrt(2.0) * s
