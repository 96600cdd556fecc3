"""Text to image: prompts through the text encoder, the sampler and the VAE's decoder."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._types import Condition, Key, Keys
from ..denoise import AbstractBackboneConfig, AbstractDenoiser, AbstractNetworkConfig
from ..denoise.convert_weights import convert_weights
from ..denoise.guidance import Scalar
from ..interop import Sampling
from ..latents import VAE
from ..noise import GridName
from ..noise.grids import Levels, pad
from ..runtime import check_seeds, gather
from ..sampling import sample
from ..sampling.solvers import Solver
from ..text import embed_prompts
from .guidance_scales import batch_scales, checked_scales, GuidanceScale
from .model import LatentDiffusion

Options = dict[str, Scalar | tuple[Scalar, Scalar]]
"""Of the guidance, see `Guided`."""


class TextToImage(eqx.Module):
    """Samples a latent diffusion model. Programs are compiled once for each shape and solver.

        text_to_image = TextToImage(load_pretrained("runs/emoji"))
        images = text_to_image(["a red heart"], steps=50, guidance_scale=3)

    **Fields:**

    - `model`: a model of captions, or with `generate` one of other conditions.
    - `latent_shape`: `(height, width, channels)` of the latents that are sampled.
    - `compute`: dtype of the network's arithmetic.
    """

    model: LatentDiffusion
    latent_shape: tuple[int, int, int] = eqx.field(static=True)
    compute: str | None = eqx.field(static=True)

    def __init__(
        self,
        model: LatentDiffusion,
        *,
        height: int | None = None,
        width: int | None = None,
        compute: str | None = None,
    ):
        """**Arguments:**

        - `model`: see `load_pretrained`.
        - `height`, `width`: of the images in pixels; by default the size it was trained on.
        - `compute`: dtype of the network's arithmetic, by default float32.

        **Raises** `ValueError` for sides that the network cannot take, and for a network and a VAE
        of different numbers of latent channels.
        """
        _check_channels(model)
        factor = model.vae.factor
        sides = tuple(side or model.config.image_size for side in (height, width))
        step = factor * model.config.network.multiple
        if any(side < step or side % step or side != int(side) for side in sides):
            raise ValueError(
                f"Images of this model have sides that are multiples of {step}, received "
                f"{sides[0]}x{sides[1]}."
            )
        self.model = model
        rows, columns = (int(side) // factor for side in sides)
        self.latent_shape = (rows, columns, model.vae.latent_channels)
        self.compute = compute

    def __call__(
        self,
        prompts: Sequence[str],
        *,
        steps: int | None = None,
        guidance_scale: GuidanceScale | None = None,
        solver: Solver | None = None,
        grid: GridName | None = None,
        levels: Levels | None = None,
        negative_prompt: str = "",
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        noise: Float[np.ndarray, "prompts ..."] | None = None,
        rescale: float = 0.0,
        interval: tuple[float, float] | None = None,
        cfg_plus_plus: bool = False,
        batch_size: int | None = None,
        report: Callable[[int], object] | None = None,
    ) -> Float[np.ndarray, "prompts height width 3"]:
        """Images in [-1, 1], one for each prompt.

        **Arguments:**

        - `prompts`: at least one.
        - `steps`: sampling steps, by default the model's own.
        - `guidance_scale`: of classifier-free guidance, one number or one for each prompt; by
            default the model's own. Each step takes two evaluations of the network, or one where
            all scales of a batch are 1 or all are 0.
        - `solver`: a name in `SOLVERS`, or any solver of this library's or diffrax's; by default
            the model's own.
        - `grid`, `levels`: the spacing of the noise levels by name, or the levels themselves (see
            `equildm.noise.grids`); by default as the model's scheduler says.
        - `negative_prompt`: what guidance leads away from, by default the empty caption.
        - `seed`, `seeds`: image `i` starts from the noise of `fold_in(key(seed), seeds[i])`,
            whatever the batch; `seeds` are 0, 1, 2, ... by default.
        - `noise`: the unit noise to start from instead, `latent_shape` for each prompt.
        - `rescale`, `interval`, `cfg_plus_plus`: options of the guidance, see `Guided`.
        - `batch_size`: images at a time, by default all.
        - `report`: called with the number of images that are done, after each batch.

        **Raises** `ValueError` for a model that is conditioned on something else than captions.
        """
        network = self.model.config.network
        if negative_prompt and not network.takes_null:
            raise ValueError(
                "This network was told the guidance scale in training and has no estimate to lead "
                f"away from, received negative_prompt={negative_prompt!r}. Leave it out, or sample "
                "the model that it was distilled from."
            )
        captions, null = embed_prompts(self.model.text_encoder, prompts, negative_prompt)
        height, width = (self.model.vae.factor * side for side in self.latent_shape[:2])
        conditions = network.captioned(captions, height, width)
        sampling = self.model.sampling(steps, solver, grid, levels, self.latent_shape)
        options: Options = {} if interval is None else {"interval": interval}
        if rescale != 0:
            options["rescale"] = rescale
        if cfg_plus_plus:
            options["cfg_plus_plus"] = True
        return self.generate(
            conditions,
            null,
            levels=sampling,
            guidance_scale=guidance_scale,
            solver=solver,
            seed=seed,
            seeds=seeds,
            noise=noise,
            batch_size=batch_size,
            report=report,
            **options,
        )

    def generate(
        self,
        conditions: Condition,
        null: Condition,
        *,
        levels: Levels | Sampling,
        guidance_scale: GuidanceScale | None = None,
        solver: Solver | None = None,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        noise: Float[np.ndarray, "count ..."] | None = None,
        batch_size: int | None = None,
        report: Callable[[int], object] | None = None,
        **options: Scalar | tuple[Scalar, Scalar],
    ) -> Float[np.ndarray, "count height width 3"]:
        """Images in [-1, 1] of any conditions, such as captions that are embedded already.

        **Arguments:** as of the call, and

        - `conditions`: what the network is conditioned on, with a leading axis.
        - `null`: the condition that guidance leads away from, without that axis.
        - `levels`: the levels; or these with their solver, as `model.sampling` returns them.
        - `options`: of the guidance, see `Guided`; `cfg_plus_plus` is true or false.
        """
        count = len(jax.tree.leaves(conditions)[0])
        scale = self.model.config.guidance_scale if guidance_scale is None else guidance_scale
        scales = checked_scales(scale, count, cfg_plus_plus=bool(options.get("cfg_plus_plus")))
        numbers = np.arange(count) if seeds is None else np.asarray(seeds)
        if numbers.shape != (count,):
            raise ValueError(
                f"TextToImage takes one of `seeds` for each image, received the "
                f"shape {numbers.shape} for {count} images."
            )
        noise = None if noise is None else np.asarray(noise)
        if noise is not None and noise.shape != (count, *self.latent_shape):
            raise ValueError(
                f"TextToImage starts from noise of the shape {(count, *self.latent_shape)}, "
                f"received {noise.shape}."
            )
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"A batch has at least 1 image, received batch_size={batch_size}.")
        keys = _keys(seed, numbers)
        batch_size = min(batch_size or count, count)
        images = []
        for start in range(0, count, batch_size):
            # The last batch is padded, so that every batch has the compiled shape.
            index = np.minimum(np.arange(start, start + batch_size), count - 1)
            batch = jax.tree.map(lambda leaf, index=index: leaf[index], conditions)
            initial = None if noise is None else jnp.asarray(noise[index])
            inputs = (batch, null, batch_scales(scales, index), keys[index], initial)
            sampled = self._run(inputs, levels, solver, options)
            images.append(gather(sampled))  # from all processes, if the network spans several
            if report is not None:
                report(min(start + batch_size, count))
        return np.concatenate(images)[:count]

    def dispatch(
        self,
        conditions: Condition,
        null: Condition,
        guidance_scales: Float[Array, "batch"],
        *,
        levels: Levels,
        seed: int,
        seeds: Int[np.ndarray, "batch"],
        solver: Solver | None = None,
    ) -> Float[Array, "batch height width 3"]:
        """The images of one batch on the device, without waiting for them.

        They equal those of `generate`. Scales are always traced, so that 1 and 0 compile no other
        program; they still take one evaluation if all of a batch are 1 or all are 0.
        """
        keys = _keys(seed, seeds)
        return self._run((conditions, null, guidance_scales, keys, None), levels, solver, {})

    def _run(
        self,
        inputs: tuple[Any, ...],
        levels: Levels | Sampling,
        solver: Solver | None,
        options: Options,
    ) -> Float[Array, "batch height width 3"]:
        model = self.model
        network = model.config.network
        denoiser = network.denoiser(model.network, model.schedule, model.prediction, self.compute)
        if not isinstance(levels, Sampling):
            levels = model.sampling(solver=solver, levels=levels)
        grid, solver, *scales = levels
        # All numbers of steps up to 64 share one program; then up to 128, and so on.
        grid = pad(np.asarray(grid), 64 * math.ceil((len(grid) - 1) / 64) + 1)
        static, grids = (network, self.latent_shape), (jnp.asarray(grid), jnp.asarray(scales))
        return _sample(static, denoiser, model.vae, solver, options, inputs, grids)


def _check_channels(model: LatentDiffusion) -> None:
    backbone, channels = model.config.network.backbone, model.vae.latent_channels
    if isinstance(backbone, AbstractBackboneConfig) and backbone.in_channels != channels:
        raise ValueError(
            f"This network takes {backbone.in_channels} channels and its VAE makes {channels}: "
            "they belong to different models, or the network is conditioned on an image, as those "
            "for inpainting are."
        )


def _keys(seed: int, numbers: Int[np.ndarray, "images"]) -> Keys:
    check_seeds(seed)
    check_seeds(numbers, "number of `seeds`")
    return _fold(jax.random.key(seed), numbers)


@jax.jit
def _fold(key: Key, indices: Array) -> Keys:
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(indices)


@eqx.filter_jit
def _sample(
    static: tuple[AbstractNetworkConfig, tuple[int, int, int]],
    denoiser: AbstractDenoiser,
    vae: VAE,
    solver: diffrax.AbstractSolver,
    options: Options,
    inputs: tuple[Any, ...],
    grids: tuple[Float[Array, "levels"], Float[Array, "2"]],
) -> Float[Array, "batch height width 3"]:
    (network, latent_shape), (conditions, null, scales, keys, noise) = static, inputs
    levels, (noise_scale, latent_scale) = grids
    guidance: dict[str, Any] = dict(options)
    if guidance.pop("cfg_plus_plus", False):
        guidance["cfg_plus_plus"] = levels

    def one(condition: Condition, scale: Any, key: Key, noise: Any) -> Float[Array, "h w 3"]:
        noise_key, solver_key = jax.random.split(key)
        if noise is None:
            noise = jax.random.normal(noise_key, latent_shape, jnp.float32)
        guided = convert_weights(network.guided(denoiser, scale, **guidance))
        noise, condition = noise_scale * noise, (condition, null)
        latent = sample(guided, noise, levels, solver, condition=condition, key=solver_key)
        return vae.decode_scaled(latent_scale * latent)

    axes = (0, None if isinstance(scales, float) else 0, 0, None if noise is None else 0)
    return jax.vmap(one, in_axes=axes)(conditions, scales, keys, noise)
