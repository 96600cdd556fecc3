"""What runs of inpaint.py and controlnet.py learned, by scores on held-out images.

    python benchmarks/evaluate_conditioned.py runs/inpaint --base runs/base
    python benchmarks/evaluate_conditioned.py runs/controlnet

Inpainting: the root mean square error of the pixels of one random region an image, in units of
[-1, 1]. Beside the run: the mean colour of what is known; the base, around which `Inpainted` keeps
the original's latent outside of the region; and the original through the VAE, the floor.

ControlNet: F1 of a sample's Canny edges to those it was given, where an edge may lie one pixel off.
Beside the run: smaller strengths, of which 0 is the base; and the original through the VAE, the
ceiling. Every row has the same noise. Scores are means over images with 95 % bootstrap intervals.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import harmonic_mean
from typing import Annotated, Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array
from scipy import ndimage

import equildm as eqd

SOLVER = "dpm++2m"
Scores: TypeAlias = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What runs of inpaint.py and controlnet.py learned, by scores on held-out images."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of inpaint.py, or of controlnet.py with edges."""
    base: Path | None = None
    """The model that a run of inpaint.py started from, to score it too."""
    data: eqd.Flat[eqd.CaptionedDataConfig] = eqd.CaptionedDataConfig()
    count: int = 96
    """Held-out images."""
    sampling_steps: int = 16
    """Steps of DPM-Solver++(2M)."""
    guidance_scale: float = 2.0
    """Scale of classifier-free guidance."""

    def sampler(self, pipeline: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        """The pipeline with these options."""
        steps, scale = self.sampling_steps, self.guidance_scale
        return partial(pipeline, steps=steps, guidance_scale=scale, solver=SOLVER, batch_size=32)


def main(config: Config) -> None:
    eqd.enable_compile_cache()
    model = eqd.load_pretrained(config.run)
    examples = config.data.examples(config.data.splits()[1], config.count)
    paints = isinstance(model.config.network, eqd.InpainterConfig)
    scores = (painting_errors if paints else edge_scores)(config, model, examples)
    for name, values in scores.items():
        low, high = eqd.interval(values, np.arange(len(values)))
        print(f"{name:26s} {values.mean():6.3f} ({low:.3f} to {high:.3f})")


def painting_errors(config: Config, model: eqd.LatentDiffusion, examples: eqd.Examples) -> Scores:
    """Root mean square errors of the painted pixels, by what painted them."""
    images, captions = eqd.to_unit(examples.images), examples.captions
    keys = jax.random.split(jax.random.key(1), len(images))
    masks = np.stack([eqd.random_mask(key, *images.shape[1:3]) for key in keys])

    def errors(painted: np.ndarray) -> np.ndarray:
        return np.sqrt([((a - b)[m] ** 2).mean() for a, b, m in zip(painted, images, masks)])

    colors = np.stack([image[~mask].mean(0) for image, mask in zip(images, masks)])
    scores = {
        "mean colour": errors(np.broadcast_to(colors[:, None, None], images.shape)),
        "run": errors(config.sampler(eqd.Inpainter(model))(examples.images, masks, captions)),
        "VAE": errors(eqd.to_unit(eqd.reconstruction_baseline(model.vae, examples.images))),
    }
    if config.base is not None:
        base = eqd.load_pretrained(config.base)
        scores["base"] = errors(painted_by(base, config, examples, masks))
        scores["base - run, in pairs"] = scores["base"] - scores["run"]
    return scores


def painted_by(
    model: eqd.LatentDiffusion, config: Config, examples: eqd.Examples, masks: np.ndarray
) -> np.ndarray:
    """By a model that was not trained to paint, from the noise that `Inpainter` takes."""
    images, numbers = eqd.to_unit(examples.images), np.arange(len(masks))
    text, null = eqd.embed_prompts(model.text_encoder, examples.captions, "")
    levels = jnp.asarray(model.levels(config.sampling_steps, SOLVER))
    solver = eqd.make_solver(SOLVER)

    def one(model: eqd.LatentDiffusion, example: tuple[Any, ...]) -> Array:
        image, mask, text, number = example
        known, factor = model.vae.encode_scaled(image), model.vae.factor
        blocks = mask.reshape(known.shape[0], factor, known.shape[1], factor)
        guided = model.config.network.guided(model.denoiser, config.guidance_scale)
        denoiser = eqd.Inpainted(guided, known, blocks.any((1, 3))[..., None])
        noise, key = eqd.example_noise(jax.random.key(0), number, known.shape)
        latent = eqd.sample(denoiser, noise, levels, solver, condition=(text, null), key=key)
        return model.vae.decode_scaled(latent)

    paint = eqx.filter_jit(eqx.filter_vmap(one, in_axes=(None, 0)))
    return np.asarray(paint(model, (images, masks, text, numbers)))


def edge_scores(config: Config, model: eqd.LatentDiffusion, examples: eqd.Examples) -> Scores:
    """F1 of the edges, by what made the images."""
    controls = np.stack([eqd.canny_edges(image) for image in examples.images])
    sampler = partial(config.sampler(eqd.ControlToImage(model)), controls)
    samples = {f"strength {s}": sampler(examples.captions, strength=s) for s in (0, 0.5, 1)}
    samples["strength 1, empty caption"] = sampler([""] * len(controls))
    images = {name: eqd.to_uint8(some) for name, some in samples.items()}
    images["VAE"] = eqd.reconstruction_baseline(model.vae, examples.images)
    near = partial(ndimage.binary_dilation, structure=np.ones((3, 3)))

    def f1(image: np.ndarray, control: np.ndarray) -> float:
        a, b = eqd.canny_edges(image)[..., 0] > 0, control[..., 0] > 0
        return harmonic_mean([(x & near(y)).sum() / max(1, x.sum()) for x, y in ((a, b), (b, a))])

    return {name: np.array([*map(f1, some, controls)]) for name, some in images.items()}


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
