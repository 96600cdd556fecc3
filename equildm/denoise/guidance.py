"""Classifier-free guidance, as a denoiser around a denoiser."""

from typing import Any, TypeAlias

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Condition, Latent, NoiseLevel
from ..runtime.platform import platform
from .denoiser import AbstractDenoiser

Scalar: TypeAlias = Float[Array, ""] | float | int


class Guided(AbstractDenoiser):
    """Classifier-free guidance (Ho & Salimans 2022), in the form of the clean estimate:

        D = D_null + w (D_condition - D_null)

    which is `eps_null + w (eps_condition - eps_null)`, since both are affine in each other. In this
    convention `w = 1` is the conditional model and `w = 0` the unconditional one. (Papers that
    write `eps_c + w' (eps_c - eps_null)` mean `w' = w - 1`.)

    It is conditioned on a pair `(condition, null)` of the same structure and shapes. A negative
    prompt is the embedding of that prompt in the place of `null`.

    **Cost.** Two evaluations of the wrapped denoiser, as one batch of two. A Python number 1 or 0
    for `guidance_scale` is known while tracing and compiles one evaluation only. On a CPU a traced
    scale of 1 or 0, or a level outside of the interval, skips the second evaluation when the
    program runs; under `vmap`, where all examples of the batch can. The network is compiled once.
    Derivatives take both.

    **Fields:**

    - `guidance_scale`: `w`. Pass a scalar array to sweep it without a new compilation, and `vmap`
      over it to give each example of a batch its own.
    - `rescale`: `phi` of Lin et al. 2023, equation 15 and 16: the standard deviation of the guided
      estimate is drawn towards that of the conditional one. They measure it on the output of a v
      model, which tends to the clean estimate (negated) at high noise; here it is the clean
      estimate, for all models alike. 0 leaves it off, they suggest 0.7.
    - `interval`: `(low, high)` noise levels between which guidance acts (Kynkäänniemi et al. 2024).
      Outside, the conditional model is used alone.
    - `cfg_plus_plus`: the grid of the sampler, for CFG++ (Chung et al. 2025, algorithm 2): the
      guided estimate is renoised by the unconditional noise, `y1 = D + s1 eps_null`. In a step of
      DDIM from `s` to `s1` that is guidance by `w / (1 - s1 / s)`, and other solvers take the same
      scale. Here `w` is from 0 to 1, for instance 0.6. By default guidance is not CFG++.
    """

    denoiser: AbstractDenoiser
    guidance_scale: Scalar
    rescale: Scalar
    interval: tuple[Scalar, Scalar] | None
    cfg_plus_plus: Float[Array, "levels"] | None

    def __init__(
        self,
        denoiser: AbstractDenoiser,
        guidance_scale: Scalar,
        *,
        rescale: Scalar = 0.0,
        interval: tuple[Scalar, Scalar] | None = None,
        cfg_plus_plus: Float[Array, "levels"] | None = None,
    ):
        """**Arguments:** see the class."""
        known = interval is not None and all(_is_number(end) for end in interval)
        if interval is not None and known and not interval[0] <= interval[1]:
            raise ValueError(
                f"Guidance acts from a low to a high noise level, received interval={interval}. "
                "Exchange them."
            )
        if isinstance(rescale, float | int) and not 0 <= rescale <= 1:
            raise ValueError(
                f"The rescaling of guidance is a share from 0 to 1, received rescale={rescale}. "
                "The paper has 0.7."
            )
        self.denoiser = denoiser
        self.guidance_scale = guidance_scale
        self.rescale = rescale
        self.interval = interval
        self.cfg_plus_plus = cfg_plus_plus

    def __call__(self, y: Latent, s: NoiseLevel, condition: tuple[Condition, Condition]) -> Latent:
        """See `AbstractDenoiser`; `condition` is the pair `(condition, null)`."""
        conditional, null = condition
        check_alike(conditional, null, "Guidance compares")
        _check_scalars(self.guidance_scale, self.rescale, self.interval)
        weight, rescale = self.guidance_scale, self.rescale
        if _is_number(weight) and self.interval is None and self.cfg_plus_plus is None:
            if weight == 1:
                return self.denoiser(y, s, conditional)
            if weight == 0:
                return self.denoiser(y, s, null)
            return _both(weight, rescale, self.denoiser, y, s, (conditional, null))
        weight = jnp.asarray(weight, y.dtype)
        if self.cfg_plus_plus is not None:
            weight = weight / (1 - _next_level(self.cfg_plus_plus, s) / s)
        if self.interval is not None:
            low, high = self.interval
            weight = jnp.where((low <= s) & (s <= high), weight, 1)
        guide = _needed if platform() == "cpu" else _both
        return guide(weight, rescale, self.denoiser, y, s, (conditional, null))


def _next_level(levels: Float[Array, "levels"], s: NoiseLevel) -> NoiseLevel:
    """The highest level of the grid that is below `s`, but for rounding; 0 if there is none."""
    return jnp.max(jnp.where(levels < s * (1 - 1e-5), levels, 0), initial=0.0).astype(s.dtype)


def _both(
    weight: Scalar,
    rescale: Scalar,
    denoiser: AbstractDenoiser,
    y: Latent,
    s: NoiseLevel,
    pair: tuple[Condition, Condition],
) -> Latent:
    """Both estimates as one batch."""
    estimates = jax.vmap(denoiser, in_axes=(None, None, 0))(y, s, _stacked(*pair))
    return _combined(weight, rescale, *estimates)


@eqx.filter_custom_jvp
def _needed(
    weight: Array,
    rescale: Scalar,
    denoiser: AbstractDenoiser,
    y: Latent,
    s: NoiseLevel,
    pair: tuple[Condition, Condition],
) -> Latent:
    """One estimate after the other; the second only if a scale of the batch is not 0 or 1."""
    conditional, null = pair
    single = (weight == 0) | (weight == 1)
    first = jax.tree.map(lambda c, n: jnp.where(weight == 0, n, c), conditional, null)
    wanted = jnp.stack([jnp.asarray(True), eqxi.unvmap_any(~single)])

    def estimate(inputs: tuple[Array, Condition]) -> Latent:
        needed, condition = inputs
        return jax.lax.cond(
            needed,
            lambda: jnp.asarray(denoiser(y, s, condition), y.dtype),
            lambda: jnp.zeros_like(y),
        )

    estimates = jax.lax.map(estimate, (wanted, _stacked(first, null)))
    return jnp.where(single, estimates[0], _combined(weight, rescale, *estimates))


@_needed.def_jvp
def _needed_jvp(primals: Any, tangents: Any) -> Any:
    # A scale of 1 has a derivative as well, for which the other estimate is needed.
    return eqx.filter_jvp(_both, primals, tangents)


def _stacked(first: Condition, second: Condition) -> Condition:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), first, second)


def _combined(weight: Scalar, rescale: Scalar, conditional: Latent, null: Latent) -> Latent:
    weight = jnp.asarray(weight, conditional.dtype)
    guided = null + weight * (conditional - null)
    if _is_number(rescale) and rescale == 0:
        return guided
    factor = (_spread(conditional) / jnp.maximum(_spread(guided), 1e-12)).astype(guided.dtype)
    # The scales 0 and 1 ask for one model as it is, also in a batch with others.
    factor = jnp.where((weight == 0) | (weight == 1), 1, factor)
    return guided * (1 + rescale * (factor - 1))


def _spread(x: Latent) -> Array:
    """The standard deviation, whose gradient is 0 where it is 0."""
    variance = jnp.var(x, dtype=jnp.promote_types(x.dtype, "float32"))
    return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def check_alike(condition: Condition, null: Condition, use: str) -> None:
    """**Raises** `ValueError` for two conditions that cannot take each other's place."""
    if not eqx.tree_equal(jax.tree.map(np.shape, condition), jax.tree.map(np.shape, null)):
        raise ValueError(
            f"{use} two conditions of the same structure and shapes, received "
            f"{eqx.tree_pformat(condition)} and {eqx.tree_pformat(null)}. Encode the empty or "
            "negative prompt by the same encoder and to the same length."
        )


def _check_scalars(*values: Any) -> None:
    for value in jax.tree.leaves(values):
        if np.ndim(value):
            raise ValueError(
                "Guidance has one scale, rescale and interval for an example, received an array of "
                f"shape {np.shape(value)}. To give each example its own, use jax.vmap over "
                "lambda y, scale: Guided(denoiser, scale)(y, s, condition)."
            )
