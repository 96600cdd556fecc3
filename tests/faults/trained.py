"""Reads a folder of images, caches their latents, trains on them: all that touches a disk.

It stands in for a recipe: the library's own sources, cache, loop, checkpoints and error messages,
with encoders and a network that compile at once.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from equildm import Metrics, TextEmbedding
from equildm.data import CachedLatents, FolderSource, LatentBatch, LatentCache, split
from equildm.nn import initialised, Linear
from equildm.runtime import log
from equildm.runtime.options import Flat
from equildm.training import AbstractObjective, OptimizerConfig, train, TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Options of this recipe."""

    run: Path
    """Folder for everything that this run leaves."""
    data: Path
    """Folder of images."""
    cache: Path
    """Folder of the cache."""
    train: Flat[TrainConfig] = TrainConfig(
        steps=12,
        batch_size=4,
        optimizer=OptimizerConfig(warmup=2),
        log_every=1,
        save_every=4,
        preview_every=10**6,
    )


def encode_images(images: np.ndarray) -> np.ndarray:
    """Means over 4x4 blocks."""
    batch, height, width, _ = images.shape
    return images.reshape(batch, height // 4, 4, width // 4, 4, 3).mean((2, 4))


def encode_captions(captions: list[str]) -> TextEmbedding:
    """A token for each of the first letters."""
    codes = np.array([[ord(c) for c in caption[:8].ljust(8, "\0")] for caption in captions])
    return TextEmbedding(jnp.asarray(codes[..., None] / 256), jnp.asarray(codes > 0))


class Distance(AbstractObjective):
    """How well a linear map of the caption tells the latent."""

    def __call__(self, model: Linear, batch: LatentBatch, keys) -> tuple[Float[Array, ""], Metrics]:
        def one(latent, tokens, key):
            noise = 0.1 * jax.random.normal(key, (8,))
            return jnp.mean((model(tokens[:, 0] + noise) - latent.reshape(-1)) ** 2)

        return jnp.mean(jax.vmap(one)(batch.latents, batch.text.tokens, keys)), {}


def content(dataset: CachedLatents) -> str:
    """What is in a cache, as a hash."""
    batch = dataset.gather(range(len(dataset)))
    parts = [batch.latents, batch.text.tokens, batch.text.mask]
    texts = json.dumps([dataset.names, dataset.captions, dataset.manifest["skipped"]])
    digest = hashlib.sha256(b"".join(np.asarray(part).tobytes() for part in parts))
    digest.update(texts.encode())
    return digest.hexdigest()


def main(config: Config) -> None:
    mesh = config.train.launch()
    run = config.train.prepare_run(config.run, config, "trained")
    cache = LatentCache(
        folder=config.cache,
        encode_images=encode_images,
        encode_captions=encode_captions,
        image_key="blocks",
        caption_key="letters",
        batch=4,
    )
    training, _ = split(FolderSource(config.data), 0.1)
    dataset = cache.latents(training, 16)
    run.make()
    state = train(
        initialised(lambda: Linear(8, 48, key=jax.random.key(config.train.seed)), mesh),
        Distance(),
        dataset,
        config.train.optimizer.build(config.train.steps, 1e-2),
        config.train,
        run=run,
        mesh=mesh,
    )
    leaves = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    weights = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()
    metrics = hashlib.sha256(run.metrics.read_bytes()).hexdigest()
    log(f"result {content(dataset)} {weights} {metrics}")
