"""Classifier-free guidance, as a denoiser around a denoiser."""

from typing import Any, TypeAlias

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import Condition, Latent, NoiseLevel
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
    for `guidance_scale` is known while tracing and compiles one evaluation only. A traced scale of
    1 or 0, or a level outside of the interval, skips the second evaluation when the program runs,
    by `lax.cond`. Under `vmap` a batch skips it only where all of its examples can: a condition
    that differs between examples would otherwise turn into evaluating both branches always.

    **Fields:**

    - `guidance_scale`: `w`. Pass an array to sweep it without a new compilation, and `vmap` over it
      to give each example of a batch its own.
    - `rescale`: `phi` of Lin et al. 2023, equation 15 and 16: the standard deviation of the guided
      estimate is drawn towards that of the conditional one. They measure it on the output of a v
      model, which tends to the clean estimate (negated) at high noise; here it is the clean
      estimate, for all models alike. 0 leaves it off, they suggest 0.7.
    - `interval`: `(low, high)` noise levels between which guidance acts (Kynkäänniemi et al. 2024).
      Outside, the conditional model is used alone.
    """

    denoiser: AbstractDenoiser
    guidance_scale: Scalar
    rescale: Scalar
    interval: tuple[Scalar, Scalar] | None

    def __init__(
        self,
        denoiser: AbstractDenoiser,
        guidance_scale: Scalar,
        *,
        rescale: Scalar = 0.0,
        interval: tuple[Scalar, Scalar] | None = None,
    ):
        """**Arguments:** see the class."""
        self.denoiser = denoiser
        self.guidance_scale = guidance_scale
        self.rescale = rescale
        self.interval = interval

    def __call__(self, y: Latent, s: NoiseLevel, condition: tuple[Condition, Condition]) -> Latent:
        """See `AbstractDenoiser`; `condition` is the pair `(condition, null)`."""
        conditional, null = condition
        _check_alike(conditional, null)
        if _is_number(self.guidance_scale) and self.interval is None:
            if self.guidance_scale == 1:
                return self.denoiser(y, s, conditional)
            if self.guidance_scale == 0:
                return self.denoiser(y, s, null)
            return self._both(y, s, conditional, null, jnp.asarray(self.guidance_scale, y.dtype))

        weight = jnp.asarray(self.guidance_scale, y.dtype)
        if self.interval is not None:
            low, high = self.interval
            weight = jnp.where((low <= s) & (s <= high), weight, 1)
        return jax.lax.cond(
            eqxi.unvmap_any((weight != 1) & (weight != 0)),
            lambda: self._both(y, s, conditional, null, weight),
            lambda: self._one(y, s, conditional, null, weight),
        )

    def _one(
        self, y: Latent, s: NoiseLevel, condition: Condition, null: Condition, weight: Array
    ) -> Latent:
        chosen = jax.tree.map(lambda c, n: jnp.where(weight == 0, n, c), condition, null)
        return self.denoiser(y, s, chosen)

    def _both(
        self, y: Latent, s: NoiseLevel, condition: Condition, null: Condition, weight: Array
    ) -> Latent:
        pair = jax.tree.map(lambda *leaves: jnp.stack(leaves), condition, null)
        conditional, unconditional = jax.vmap(self.denoiser, in_axes=(None, None, 0))(y, s, pair)
        guided = unconditional + weight * (conditional - unconditional)
        if _is_number(self.rescale) and self.rescale == 0:
            return guided
        spread = [
            jnp.std(d, dtype=jnp.promote_types(d.dtype, "float32")) for d in (conditional, guided)
        ]
        factor = (spread[0] / jnp.maximum(spread[1], 1e-12)).astype(guided.dtype)
        # The weights 0 and 1 ask for one model as it is, also in a batch with other weights.
        factor = jnp.where((weight == 0) | (weight == 1), 1, factor)
        return guided * (1 + self.rescale * (factor - 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _check_alike(condition: Condition, null: Condition) -> None:
    if not eqx.tree_equal(jax.tree.map(np.shape, condition), jax.tree.map(np.shape, null)):
        raise ValueError(
            "Guidance compares two conditions of the same structure and shapes, received "
            f"{eqx.tree_pformat(condition)} and {eqx.tree_pformat(null)}. Encode the empty or "
            "negative prompt by the same encoder and to the same length."
        )
