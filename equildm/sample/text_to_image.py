"""Captions to pictures, with everything that lies between."""

from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import Key, TextEmbedding
from ..denoise import AbstractDenoiser, Guided
from ..latents import VAE
from ..runtime import fetch
from ..text import AbstractTextEncoder, embed
from .sampling import sample
from .solvers import DDIM

_DDIM = DDIM()


class TextToImage(eqx.Module):
    """A denoiser with the text encoder and the VAE that it was trained with.

        pictures = pipeline(["a red heart"], seed=0, levels=grids.trailing(schedule, 50))

    **Fields:**

    - `denoiser`: conditioned on a caption, without guidance.
    - `vae`: from latents to pixels.
    - `text`: from captions to conditions.
    - `latent_shape`: `(height, width, channels)` of what is sampled.
    - `guidance`: makes the guided denoiser, `guidance(denoiser, weight, **options)`: `Guided`, or
        `EmbeddedGuidance` for a network that is told the weight.
    """

    denoiser: AbstractDenoiser
    vae: VAE
    text: AbstractTextEncoder
    latent_shape: tuple[int, int, int] = eqx.field(static=True)
    guidance: Callable[..., AbstractDenoiser] = eqx.field(static=True, default=Guided)

    def __call__(
        self,
        captions: Sequence[str],
        *,
        levels: Float[np.ndarray, "levels"],
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        noise: Float[np.ndarray, "captions ..."] | None = None,
        solver: diffrax.AbstractSolver = _DDIM,
        weight: float | Sequence[float] = 7.5,
        negative: str = "",
        rescale: float = 0.0,
        interval: tuple[float, float] | None = None,
        batch: int | None = None,
    ) -> Float[np.ndarray, "captions height width 3"]:
        """Pictures in [-1, 1], one for each caption.

        **Arguments:**

        - `captions`: at least one.
        - `levels`: the noise levels to step through, see `equildm.noise.grids`.
        - `seed`, `seeds`: picture `i` starts from the noise of `fold_in(key(seed), seeds[i])`,
            whatever the batch; `seeds` are 0, 1, 2, ... by default.
        - `noise`: the unit noise to start from instead, `latent_shape` for each caption.
        - `solver`: any of this library's or diffrax's.
        - `weight`: of classifier-free guidance, one number or one for each caption. Weights that
            are all 1 or all 0 cost one evaluation of the network a step, others two.
        - `negative`: what to be guided away from, by default the empty caption.
        - `rescale`, `interval`: options of the guidance, see `Guided`.
        - `batch`: pictures at a time, by default all.
        """
        weights = np.broadcast_to(np.asarray(weight, np.float32), (len(captions),))
        given = embed(self.text, list(captions))
        null = jax.tree.map(lambda leaf: leaf[0], embed(self.text, [negative]))
        numbers = np.arange(len(captions)) if seeds is None else np.asarray(seeds)
        if numbers.shape != (len(captions),):
            raise ValueError(
                f"TextToImage takes one of `seeds` for each caption, received {numbers.shape[0]} "
                f"for {len(captions)} captions."
            )
        if noise is not None and noise.shape != (len(captions), *self.latent_shape):
            raise ValueError(
                f"TextToImage starts from noise of the shape {(len(captions), *self.latent_shape)},"
                f" received {noise.shape}."
            )
        keys = _fold(jax.random.key(seed), numbers)
        options: dict[str, Any] = {} if interval is None else {"interval": interval}
        if rescale != 0:
            options["rescale"] = rescale
        batch = min(batch or len(captions), len(captions))
        pictures = []
        for start in range(0, len(captions), batch):
            # The last batch is filled up, so that every batch has the shape that was compiled.
            index = np.minimum(np.arange(start, start + batch), len(captions) - 1)
            conditions = jax.tree.map(lambda leaf, index=index: leaf[index], given)
            start_from = None if noise is None else jnp.asarray(noise[index])
            arrays = (conditions, null, _weight(weights, index), keys[index], start_from)
            made = _pictures(self, solver, options, *arrays, jnp.asarray(levels))
            pictures.append(fetch(made))  # of every process, where the network lies on several
        return np.concatenate(pictures)[: len(captions)]

    def queue(
        self,
        given: TextEmbedding,
        null: TextEmbedding,
        weights: Float[Array, "batch"],
        *,
        levels: Float[np.ndarray, "levels"],
        seed: int,
        seeds: Int[np.ndarray, "batch"],
        solver: diffrax.AbstractSolver = _DDIM,
    ) -> Float[Array, "batch height width 3"]:
        """What `__call__` makes of one batch, of captions embedded before and without waiting.

        Weights are always traced: 1 and 0 compile nothing new, and take one evaluation when
        all of a batch are.
        """
        keys = _fold(jax.random.key(seed), seeds)
        return _pictures(self, solver, {}, given, null, weights, keys, None, jnp.asarray(levels))


def _weight(weights: np.ndarray, index: np.ndarray) -> Any:
    """Of one batch. A Python number 1 or 0, known to the compiler, makes it one evaluation."""
    for single in (1.0, 0.0):
        if np.all(weights == single):
            return single
    return weights[index]


@jax.jit
def _fold(key: Key, indices: Array) -> Array:
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(indices)


@eqx.filter_jit
def _pictures(
    pipeline: TextToImage,
    solver: diffrax.AbstractSolver,
    options: dict[str, Any],
    conditions: TextEmbedding,
    null: TextEmbedding,
    weights: Float[Array, "batch"] | float,
    keys: Array,
    noise: Float[Array, "batch ..."] | None,
    levels: Float[Array, "levels"],
) -> Float[Array, "batch height width 3"]:
    def one(condition: TextEmbedding, weight: Any, key: Key, noise: Any) -> Float[Array, "h w 3"]:
        noise_key, solver_key = jax.random.split(key)
        if noise is None:
            noise = jax.random.normal(noise_key, pipeline.latent_shape, jnp.float32)
        guided = pipeline.guidance(pipeline.denoiser, weight, **options)
        latent = sample(guided, noise, levels, solver, condition=(condition, null), key=solver_key)
        return pipeline.vae.decode(pipeline.vae.unscaled(latent))

    shared = None if isinstance(weights, float) else 0
    drawn = None if noise is None else 0
    return jax.vmap(one, in_axes=(0, shared, 0, drawn))(conditions, weights, keys, noise)
