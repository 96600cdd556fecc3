"""Trains the autoencoder between pixels and latents: L1 + LPIPS + KL, and a discriminator if asked.

By default the small VAE that ships with the package: 32 x 32 emoji to 8 x 8 latents of 8 channels.
Leaves a folder `vae/` that diffusers opens and that `pretrain.py --vae` takes.

    python recipes/train_vae.py
    python recipes/train_vae.py --data my_images/ --size 256 --width 64 --multipliers 1 2 4 4

With --init and --trainable "decoder*" "post_quant_conv*" the encoder stays as it is, and so does
the meaning of every latent: a decoder for other images, for models trained on these latents.
"""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Trains the autoencoder between pixels and latents."""

    run: eqd.Location = "runs/vae"
    """Folder for everything that this run leaves."""
    data: eqd.Flat[eqd.ImageDataConfig] = eqd.ImageDataConfig()
    vae: eqd.Flat[eqd.VAEConfig] = eqd.VAEConfig(
        width=32, multipliers=(1, 2, 2), depth=1, latent_channels=8, groups=8, scale=1.0
    )
    init: Path | None = None
    """Folder of a VAE of the same sizes to start from."""
    trainable: tuple[str, ...] = ("*",)
    """Paths of the arrays that are trained, as patterns such as "decoder*"."""
    loss: eqd.Flat[eqd.VAELossConfig] = eqd.VAELossConfig()
    train: eqd.Flat[eqd.TrainConfig] = eqd.TrainConfig(
        steps=1200,
        batch_size=16,
        optimizer=eqd.OptimizerConfig(decay="cosine"),
        ema="decay-0.995",
        save_every=400,
        preview_every=400,
    )
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the weights in the file; float16 halves it."""

    def __post_init__(self) -> None:
        if self.loss.adversarial and self.trainable != ("*",):
            raise ValueError(
                "A discriminator needs the whole VAE to be trained, received --adversarial "
                f"{self.loss.adversarial} and --trainable {' '.join(self.trainable)}. Leave one of "
                "them out."
            )
        if self.train.remat != "none":
            raise ValueError("A VAE takes no --remat: use --accumulate to save memory.")


def main(config: Config) -> None:
    import equinox as eqx  # not at the top, so that --help is quick
    import jax
    import jax.numpy as jnp

    mesh, seed = config.train.launch(), config.train.seed
    run = config.train.prepare_run(config.run, config, "train_vae", may_change=("dtype",))

    # The data: squares of images.
    training, held_out = config.data.splits()
    dataset = config.data.dataset(training)
    examples = config.data.squares(held_out, 32)

    # The model and its loss: the VAE, a part of it, or the VAE with a discriminator.
    vae = config.vae.build(key=jax.random.key(seed))
    if config.init is not None:
        vae = eqd.load_vae(config.init)
        if dataclasses.replace(vae.config, scale=1.0, shift=0.0) != config.vae:
            raise ValueError(
                f"--init takes a VAE of the sizes that are trained: {config.vae}; received "
                f"{vae.config}. Give the options that it was trained with."
            )
    part = eqd.AllWeights() if config.trainable == ("*",) else eqd.MatchingWeights(config.trainable)
    model, frozen = part.split(config.loss.trained(vae, seed=seed + 2), key=jax.random.key(seed))
    loss = config.loss.build(config.train.policy, config.train.batch_size, config.train.accumulate)
    objective = part.objective(loss, frozen)
    encoder_is_frozen = frozen is not None and not jax.tree.leaves(
        (model.encoder, model.quant_conv)
    )
    batch = eqd.ImageBatch(jnp.asarray(eqd.to_uint8(examples[:1])))
    # Refuses what cannot be computed, such as sizes that the networks cannot take.
    eqx.filter_eval_shape(objective, model, batch, jax.random.split(jax.random.key(0), 1))
    run.make()
    eqd.log(f"{eqd.count_parameters(vae) / 1e6:.2f}M parameters, {len(training)} images.")

    def average(state: eqd.TrainState) -> eqd.VAE:
        model = part.join(eqd.gather(state.average()), frozen)
        return model.vae if isinstance(model, eqd.AdversarialVAE) else model

    def preview(state: eqd.TrainState) -> UInt8[np.ndarray, "height width 3"]:
        """Held-out images, each above its reconstruction."""
        columns = min(8, len(examples))
        images = examples[: len(examples) // columns * columns]
        pairs = np.stack([images, np.asarray(eqd.reconstruct(average(state), jnp.asarray(images)))])
        rows = pairs.reshape(2, -1, columns, *images.shape[1:]).swapaxes(0, 1)
        return eqd.image_grid(eqd.to_uint8(rows.reshape(-1, *images.shape[1:])), columns=columns)

    state = eqd.train(
        model,
        objective,
        dataset,
        config.train.optimizer.build(config.train.steps, 2e-3),
        config.train,
        run=run,
        mesh=mesh,
        preview=preview,
    )
    trained = average(state)
    if not eqd.first_process():
        return
    if not encoder_is_frozen:  # else the latents are those that they were
        mean, deviation = eqd.latent_statistics(trained, config.data.squares(training, 512))
        trained = trained.with_scale(1.0 / deviation, mean)
    eqd.save_vae(run.path / "vae", trained, dtype=config.dtype)
    report = json.dumps(eqd.reconstruction_quality(trained, config.data.squares(held_out, 192)))
    eqd.write_atomic(run.path / "quality.json", report + "\n")
    run.push()
    print(f"Held-out images: {report}\nThe VAE is in {run.location}/vae.")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
