"""A VAE and a text encoder on all devices of this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._types import TextEmbedding
from ..latents import VAE
from ..runtime import batch_sharding, make_mesh, replicated
from ..text import AbstractTextEncoder, CutCaptions, embed, fingerprint
from .cache import LatentCache
from .encode_images import images_at_once


@final
class ParallelEncoders:
    """Encodes batches of images and of captions, each device its part.

        encoders = ParallelEncoders(vae, text_encoder)
        dataset = encoders.cache("cache").latents(source, 32)

    **Fields:**

    - `devices`: their number, which must divide a batch.
    - `vae`, `text_encoder`: as they were given.
    - `cut`: counts captions that the text encoder cuts.
    """

    def __init__(self, vae: VAE, text_encoder: AbstractTextEncoder):
        devices = jax.local_devices()
        self.devices = len(devices)
        self.vae, self.text_encoder = vae, text_encoder
        self._split: jax.sharding.NamedSharding | None = None
        if self.devices > 1:
            mesh = make_mesh(devices=devices)
            self._split = batch_sharding(mesh)
            vae, text_encoder = (_copied(x, replicated(mesh)) for x in (vae, text_encoder))
        self._vae, self._text_encoder = vae, text_encoder
        self.cut = CutCaptions(text_encoder.tokenizer, text_encoder.max_tokens)

    def images(
        self, images: Float[np.ndarray, "batch height width 3"]
    ) -> Float[Array, "batch h w c"]:
        """Images in [-1, 1] to latents. Large ones are encoded a few at a time."""
        count = self.devices * images_at_once(*images.shape[1:3])
        latents: list[Array] = []
        for part in np.split(images, range(count, len(images), count)):
            jax.block_until_ready(latents)  # a CPU may run several calls at once
            latents.append(_encode(self._vae, jax.device_put(part, self._split)))
        return latents[0] if len(latents) == 1 else jnp.concatenate(latents)

    def captions(self, captions: Sequence[str]) -> TextEmbedding:
        """Captions to embeddings."""
        self.cut.add(captions)
        return embed(self._text_encoder, captions, len(captions), sharding=self._split)

    def cache(self, folder: str | Path, total: int | None = None, **options: Any) -> LatentCache:
        """A cache in that folder, which these encoders fill; `options` as of `LatentCache`.

        A batch is 64 for each device. It is halved while the `total` of samples still fits.
        """
        batch = 64 * self.devices
        while total is not None and batch // 2 >= max(total, self.devices):
            batch //= 2
        return LatentCache(
            folder=folder,
            encode_images=self.images,
            encode_captions=self.captions,
            image_key=fingerprint(self.vae),
            caption_key=self._text_encoder.fingerprint,
            **{"batch": batch, **options},
        )


def _copied(module: PyTree, everywhere: jax.sharding.NamedSharding) -> PyTree:
    arrays, others = eqx.partition(module, eqx.is_array)
    return eqx.combine(jax.device_put(arrays, everywhere), others)


@eqx.filter_jit
def _encode(vae: VAE, images: Float[Array, "batch height width 3"]) -> Float[Array, "batch h w c"]:
    return jax.vmap(vae.encode_scaled)(images)
