"""The VAE of the ladder."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp

import equildm as eqd
from equildm.interop import load_lpips
from equildm.training import EMAS, VAEObjective

from ._data import Images
from ._parts import Ladder
from ._train import order_of, Training


def train_vae(ladder: Ladder, images: Images) -> None:
    """Trains it on L1, LPIPS of AlexNet and KL, and saves it."""
    c, vae = ladder.config, ladder.vae.build(key=jax.random.key(0))
    objective = VAEObjective(
        load_lpips("alex"),
        perceptual_weight=0.1,
        kl_weight=1e-4,
        perceptual_share=0.25,
        policy=eqd.TrainConfig().policy,
    )
    training = Training(
        objective,
        EMAS["decay-0.995"],
        jnp.asarray(images.training),
        lambda pixels, index: eqd.ImageBatch(pixels[index]),
        warmup=100,
        cosine=c.vae_steps,
    )
    training.compile(vae, c.vae_batch_size)
    ladder.log("VAE: compiled")
    order = order_of(len(images.training), c.vae_batch_size, c.vae_steps, seed=0)
    *_, (state, losses) = training.run(training.start(vae), order, 2e-3, jax.random.key(1))
    ladder.log(f"VAE: loss {float(jnp.mean(losses)):.4f}")
    vae = state.average()
    mean, deviation = eqd.latent_statistics(vae, eqd.to_unit(images.training[:2048]))
    eqx.tree_serialise_leaves(ladder.vae_file, vae)
    ladder.vae_scale.write_text(json.dumps({"scale": 1 / deviation, "shift": mean}))
