"""The data of the ladder on the device: images, latents, and the embeddings of ten captions."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from equildm import TextEmbedding, VAE
from equildm.data import Crop, LatentBatch, open_source, split, Subset
from equildm.images import to_unit
from equildm.text import AbstractTextEncoder, AbstractTokenizer, TokenBatch

HELD_OUT = 0.05


class Captions(AbstractTokenizer):
    """A caption's id is its number in a list."""

    def __init__(self, captions: tuple[str, ...]):
        self.captions = captions

    @property
    def fingerprint(self) -> str:
        return repr(self.captions)

    def __call__(self, captions: Sequence[str], max_tokens: int) -> TokenBatch:
        ids = np.zeros((len(captions), max_tokens), np.int32)
        ids[:, 0] = [self.captions.index(caption) for caption in captions]
        return TokenBatch(ids, np.ones(ids.shape, bool))


class EmbeddedCaptions(AbstractTextEncoder):
    """A text encoder of a few captions, whose embeddings were computed elsewhere.

    The ladder's ten captions through MiniLM are 240 kB; MiniLM itself is 90 MB.
    """

    tokens: Float[Array, "captions tokens width"]
    mask: Bool[Array, "captions tokens"]
    tokenizer: Captions = eqx.field(static=True)
    width: int = eqx.field(static=True)
    max_tokens: int = eqx.field(static=True)

    def __init__(self, path: Path):
        """**Arguments:**

        - `path`: what `pack.py` wrote. The first caption is the empty one.
        """
        with np.load(path) as file:
            self.tokens, self.mask = jnp.asarray(file["tokens"]), jnp.asarray(file["mask"])
            self.tokenizer = Captions(tuple(json.loads(str(file["captions"]))))
        self.max_tokens, self.width = self.tokens.shape[1:]

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions, without the empty one."""
        return self.tokenizer.captions[1:]

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        return TextEmbedding(self.tokens[ids[0]], self.mask[ids[0]])


class Images(NamedTuple):
    """The images of a source, with the numbers of their captions."""

    training: UInt8[np.ndarray, "images size size 3"]
    training_captions: Int[np.ndarray, "images"]
    held_out: UInt8[np.ndarray, "other size size 3"]
    held_out_captions: Int[np.ndarray, "other"]


class Examples(NamedTuple):
    """Latents with the numbers of their captions, and the embedding of each caption."""

    latents: Float[Array, "examples height width channels"]
    captions: Int[Array, "examples"]
    tokens: Float[Array, "captions tokens width"]
    mask: Bool[Array, "captions tokens"]

    def batch(self, index: Int[Array, "batch"]) -> LatentBatch:
        """The examples of these numbers."""
        caption = self.captions[index]
        text = TextEmbedding(self.tokens[caption], self.mask[caption])
        return LatentBatch(self.latents[index], text)


def read_images(
    source: str, captions: tuple[str, ...], size: int, limit: int | None = None
) -> Images:
    """Both splits of a labelled source, 5 % of the images held out; of `limit` images, or all."""
    images, crop = open_source(source), Crop(size)
    if limit is not None:
        images = Subset(images, range(limit))
    number = {caption: i + 1 for i, caption in enumerate(captions)}
    parts = []
    for part in split(images, HELD_OUT, by="image"):
        parts.append(np.stack([crop(part.image(i)) for i in range(len(part))]))
        parts.append(np.array([number[part.caption(i)] for i in range(len(part))], np.int32))
    return Images(*parts)


def encode(
    vae: VAE, images: UInt8[np.ndarray, "images size size 3"], batch: int = 2000
) -> Float[Array, "images height width channels"]:
    """The scaled latents."""
    encoded = jax.jit(lambda x: jax.vmap(vae.encode_scaled)(to_unit(x)))
    starts = range(0, len(images), batch)
    return jnp.concatenate([encoded(jnp.asarray(images[i : i + batch])) for i in starts])


def examples_of(
    latents: Float[Array, "examples height width channels"],
    captions: Int[np.ndarray, "examples"],
    text_encoder: EmbeddedCaptions,
) -> Examples:
    """The examples of a training."""
    return Examples(latents, jnp.asarray(captions), text_encoder.tokens, text_encoder.mask)
