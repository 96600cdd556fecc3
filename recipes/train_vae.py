"""Trains the autoencoder between pixels and latents: L1 + LPIPS + KL, and a discriminator if asked.

By default the small VAE that ships with the package: 32 x 32 emoji to 8 x 8 latents of 8 channels.
Leaves a folder `vae/` that diffusers opens and that `pretrain.py --vae` takes.

    python recipes/train_vae.py
    python recipes/train_vae.py --data my_pictures/ --size 256 --width 64 --multipliers 1 2 4 4

With --init and --train "decoder*" "post_quant_conv*" the encoder stays as it is, and with it what
every latent means: a decoder for other pictures, for models that were trained on these latents.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from training import launch, MAY_CHANGE, train, Training

from equildm.data import (
    AbstractSource,
    Crop,
    Cut,
    HeldPictures,
    open_source,
    Pictures,
    split,
    to_unit,
)
from equildm.interop import load_lpips, load_vae, save_vae
from equildm.latents import (
    AdversarialObjective,
    AdversarialVAE,
    PatchDiscriminator,
    VAE,
    VAEConfig,
    VAEObjective,
)
from equildm.metrics import psnr
from equildm.runtime import (
    count_parameters,
    fetch,
    first_process,
    picture_grid,
    Policy,
    Run,
    say,
    to_uint8,
    write_atomic,
)
from equildm.train import (
    check_patterns,
    DecayEMA,
    divided,
    Intervals,
    matching,
    OnPart,
    TrainState,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Training):
    """Trains the autoencoder between pixels and latents."""

    run: Path = Path("runs/vae")
    """Folder for everything that this run leaves."""
    steps: int = 1200
    """Updates in all."""
    batch_size: int = 16
    """Examples an update, over all devices."""
    data: str = "emoji"
    """emoji, shapes, a folder of pictures, tars (a glob), a .parquet or an .arrayrecord file."""
    size: int = 32
    """Side of the training pictures in pixels."""
    cut: int | None = None
    """Train on random squares of that size, cut out of pictures made smaller by this whole factor
    (1 is as they are), instead of on whole pictures resized. Files are held out, not captions."""
    flip: bool = True
    """Train on mirror images as well."""
    held_out: float = 0.05
    """Share of captions kept from training, as in pretrain.py."""
    width: int = 32
    """Channels at full resolution."""
    multipliers: tuple[int, ...] = (1, 2, 2)
    """Channels of each level in multiples of the width; each further level halves the picture."""
    depth: int = 1
    """Residual blocks a level; one more in the decoder."""
    latent_channels: int = 8
    """Channels of the latent."""
    groups: int = 8
    """Groups of the norms."""
    init: Path | None = None
    """Folder of a VAE of the same sizes to start from."""
    train: tuple[str, ...] = ("*",)
    """Paths of the arrays that are trained, as patterns."""
    lpips: float = 0.1
    """Weight of the perceptual term; 0 leaves VGG16 out."""
    lpips_share: float = 0.0625
    """Share of the batch that it is taken on; VGG16 costs far more than a small VAE."""
    kl: float = 1e-4
    """Weight of the KL divergence, nats for each element of the latent."""
    adversarial: float = 0.0
    """Weight of the discriminator's term; 0 leaves the discriminator out."""
    ema: float = 0.995
    """Decay of the averaged weights, which are what is kept."""
    dtype: str = "float32"
    """Of the weights in the file; float16 halves it."""
    every: Intervals = Intervals(log=10, save=400, sample=400)
    """Intervals in steps."""


def main(config: Config) -> None:
    launch(config)
    run = Run.create(
        config.run, config, "train_vae", resume=config.resume, may_change=(*MAY_CHANGE, "dtype")
    )
    sizes = VAEConfig(
        width=config.width,
        multipliers=config.multipliers,
        depth=config.depth,
        latent_channels=config.latent_channels,
        groups=config.groups,
        scale=1.0,
    )
    model: Any = sizes.build(key=jax.random.key(config.seed))
    if config.init is not None:
        model = started_from(config.init, sizes)
    say(f"{count_parameters(model) / 1e6:.2f}M parameters.")
    training, held_out = sources(config)

    objective: Any = VAEObjective(
        load_lpips("vgg") if config.lpips else None,
        perceptual_weight=config.lpips,
        kl_weight=config.kl,
        perceptual_share=config.lpips_share,
        policy=Policy.default(),
    )
    frozen = None
    if config.train != ("*",):
        check_patterns(model, config.train)
        model, frozen = divided(model, matching(*config.train))
        objective = OnPart(objective, frozen)
    elif config.adversarial:
        judge = PatchDiscriminator(key=jax.random.key(config.seed + 2))
        model = AdversarialVAE(model, judge)
        objective = AdversarialObjective(objective, config.adversarial)
    whole = partial(averaged, frozen)

    state = train(
        config,
        run,
        model,
        Pictures(training, crop_of(config, random=True, flip=config.flip)),
        objective,
        config.make_optimizer(2e-3),
        DecayEMA(config.ema),
        pictures_of(crops(config, held_out, 32), whole),
    )
    vae = whole(state)
    if not first_process():
        return
    if frozen is not None and not jax.tree.leaves((model.encoder, model.quant_conv)):
        sizes = load_vae(config.init)[1]  # the latents are those that they were
    else:
        mean, deviation = statistics(vae, crops(config, training, 512))
        sizes = dataclasses.replace(sizes, scale=1.0 / deviation, shift=mean)
    save_vae(run.path / "vae", vae, sizes, dtype=config.dtype)
    report = quality(vae, crops(config, held_out, 192))
    write_atomic(run.path / "quality.json", report + "\n")
    print(f"Held-out pictures: {report}\nThe VAE is in {run.path / 'vae'}.")


def started_from(folder: Path, sizes: VAEConfig) -> VAE:
    """The VAE in `folder`, without its scale, if it has these sizes."""
    vae, found = load_vae(folder)
    if dataclasses.replace(found, scale=1.0, shift=0.0) != sizes:
        raise ValueError(
            f"--init takes a VAE of the sizes that are trained: {sizes}; received {found}. "
            "Give the options that it was made with."
        )
    like = eqx.filter_eval_shape(sizes.build, key=jax.random.key(0))
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(vae))


def averaged(frozen: Any, state: TrainState) -> VAE:
    """The VAE of averaged weights, whole, without the discriminator."""
    model = fetch(state.average())
    if frozen is not None:
        model = eqx.combine(model, frozen)
    return model.vae if isinstance(model, AdversarialVAE) else model


def sources(config: Config) -> tuple[AbstractSource, AbstractSource]:
    """Pictures to train on and pictures held out."""
    source = open_source(config.data)
    if config.cut is None:
        return split(source, config.held_out)
    return split(HeldPictures(source, config.cut), config.held_out, by="name")


def crop_of(config: Config, *, random: bool, flip: bool) -> Crop | Cut:
    """What makes squares of pictures."""
    return (Crop if config.cut is None else Cut)(config.size, random=random, flip=flip)


def crops(config: Config, source: AbstractSource, count: int) -> np.ndarray:
    """So many squares of the first pictures, in [-1, 1]: one of the middle of each, or at random
    places, several of each."""
    if config.cut is None:
        middle = crop_of(config, random=False, flip=False)
        return to_unit(np.stack([middle(source.image(i)) for i in range(min(count, len(source)))]))
    anywhere, generator = crop_of(config, random=True, flip=False), np.random.default_rng(0)
    images = (source.image(i % len(source)) for i in range(count))
    return to_unit(np.stack([anywhere(image, generator) for image in images]))


@jax.jit
def through(vae: VAE, images: Any) -> Any:
    """Pictures to latents and back."""
    return jax.vmap(lambda image: vae.decode(vae.encode(image).mode()))(images)


def pictures_of(
    images: np.ndarray, whole: Callable[[TrainState], VAE]
) -> Callable[[TrainState], np.ndarray]:
    """Held-out pictures, each above its reconstruction."""
    columns = min(8, len(images))
    images = images[: len(images) // columns * columns]

    def pictures(state: TrainState) -> np.ndarray:
        pairs = np.stack([images, np.asarray(through(whole(state), images))])
        rows = pairs.reshape(2, -1, columns, *images.shape[1:]).swapaxes(0, 1)
        return picture_grid(to_uint8(rows.reshape(-1, *images.shape[1:])), columns=columns)

    return pictures


def statistics(vae: VAE, images: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the latents of pictures."""
    encode = jax.jit(jax.vmap(lambda image: vae.encode(image).mode()))
    latents = np.concatenate(
        [encode(part) for part in np.split(images, range(64, len(images), 64))]
    )
    return float(np.mean(latents)), float(np.std(latents))


def quality(vae: VAE, images: np.ndarray) -> str:
    """PSNR and LPIPS of the reconstructions of held-out pictures, as JSON."""
    import json

    made = np.clip(np.asarray(through(vae, images)), -1.0, 1.0)
    distance = jax.jit(jax.vmap(load_lpips("alex")))
    return json.dumps(
        {
            "pictures": len(images),
            "psnr_db": round(
                float(np.mean(jax.vmap(psnr)(jnp.asarray(made), jnp.asarray(images)))), 2
            ),
            "lpips_alex": round(float(np.mean(distance(made, images))), 4),
        }
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
