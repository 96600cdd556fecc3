"""A few latents of a subject, and latents of its class, in batches."""

from collections.abc import Sequence
from typing import Any, final, NamedTuple, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from .._types import Condition
from ..images import to_unit
from ..latents import VAE
from ..text import AbstractTextEncoder, embed_captions
from .batch import LatentBatch
from .encode_images import images_at_once
from .pipeline import AbstractDataset, shuffled

if TYPE_CHECKING:
    import grain

EPOCH = 64
"""How often an epoch without a prior shows each latent."""


class PriorBatch(NamedTuple):
    """As many examples of a subject as of its class."""

    subject: LatentBatch
    prior: LatentBatch


@final
class SubjectLatents(AbstractDataset):
    """Every pair of a subject's latent and one of its class, once an epoch.

    Batches are `PriorBatch`es; without a prior they are `LatentBatch`es of the subject, and an
    epoch shows each latent 64 times.

    **Arguments:**

    - `subject`: a few latents, in numpy.
    - `prior`: latents of the class, or `None`.

    **Raises** `ValueError` for a part without a latent.
    """

    def __init__(self, subject: LatentBatch, prior: LatentBatch | None = None):
        if len(subject.latents) == 0 or (prior is not None and len(prior.latents) == 0):
            raise ValueError(
                "A subject and its class have at least one latent each, received none. Give images "
                "of both, or None as the prior."
            )
        self._subject, self._prior = subject, prior

    def __len__(self) -> int:
        return len(self._subject.latents) * (
            EPOCH if self._prior is None else len(self._prior.latents)
        )

    def gather(self, indices: Int[np.ndarray, "batch"] | Sequence[int]) -> LatentBatch | PriorBatch:
        """The examples of these numbers."""
        others, places = np.divmod(np.asarray(indices), len(self._subject.latents))
        subject = jax.tree.map(lambda leaf: leaf[places], self._subject)
        if self._prior is None:
            return subject
        return PriorBatch(subject, jax.tree.map(lambda leaf: leaf[others], self._prior))

    def parts(self, batch_size: int, of: int, seed: int) -> "grain.MapDataset":
        """See `AbstractDataset`."""
        return shuffled(len(self), seed).batch(batch_size // of).map(self.gather)


def encode_images(
    images: UInt8[np.ndarray, "count height width 3"],
    captions: Sequence[str],
    vae: VAE,
    text_encoder: AbstractTextEncoder,
    *,
    token_ids: bool = False,
    batch_size: int | None = None,
) -> LatentBatch:
    """A few captioned images as latents and conditions, in numpy. `LatentCache` is for many.

    **Arguments:**

    - `images`: 8-bit pixels.
    - `captions`: one for each image.
    - `vae`, `text_encoder`: the encoders.
    - `token_ids`: keep the captions' token ids instead of embeddings, to train the text encoder.
    - `batch_size`: images that are encoded at a time; by default up to 32, fewer of large ones.
    """
    if batch_size is None:
        _, height, width, _ = images.shape
        batch_size = images_at_once(height, width, 32)
    parts = np.split(images, range(batch_size, len(images), batch_size))
    latents: Any = np.concatenate([np.asarray(_encode(vae, jnp.asarray(part))) for part in parts])
    text: Condition = (
        text_encoder.tokenize(captions) if token_ids else embed_captions(text_encoder, captions)
    )
    return LatentBatch(latents, text)


@eqx.filter_jit
def _encode(
    vae: VAE, images: UInt8[Array, "count height width 3"]
) -> Float[Array, "count latent_height latent_width channels"]:
    return jax.vmap(lambda image: vae.encode_scaled(to_unit(image)))(images)
