"""The variable that a solver of diffrax steps in: a function of the noise level."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import NoiseLevel


class TimeVariable(eqx.Module):
    """A monotone function of the noise level, and the dynamics written in it.

    With `eps = (y - D) / s` the probability flow is `dy = eps ds` and the reverse SDE is
    `dy = 2 eps ds + sqrt(2 s) dW`, from a high level to a low one. Another variable leaves their
    solutions as they are, but a numerical solver makes other errors in it.
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
        """`dy/dt` of the probability flow, from the clean estimate."""

    @abc.abstractmethod
    def diffusion(self, s: NoiseLevel) -> Float[Array, ""]:
        """The factor of `dW` in the reverse SDE."""


class Level(TimeVariable):
    """Time is `s` itself and falls while sampling. `dy/ds = eps`, so that Euler's method is DDIM.

    At `s = 0`, where eps is 0 / 0, the flow is set to 0. A solver that evaluates there loses
    accuracy, but gets no NaN.
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


class HalfLogSNR(TimeVariable):
    """Time is `lambda = -log s` and rises while sampling. It does not reach the level 0.

    `dy/dlambda = D - y`, and the noise `sqrt(2) e^-lambda dW` is additive, as diffrax's `SRA1` and
    `ShARK` require.
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
