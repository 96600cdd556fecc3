"""The interface of text encoders."""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._types import TextEmbedding
from .cut_captions import CutCaptions
from .fingerprint import fingerprint
from .tokenizer import AbstractTokenizer, TokenBatch


class AbstractTextEncoder(eqx.Module):
    """From captions to token embeddings.

    It has two halves. `tokenize` turns many captions into ids, on the host. Calling the encoder
    embeds the ids of one caption and can be jitted, vmapped, sharded and differentiated. `embed`
    does both.

    The empty caption `""` is the unconditional one of classifier-free guidance.

    **Fields:**

    - `tokenizer`: from captions to ids.
    - `width`: size of each token's vector, the `context_width` of a network that attends to them.
    - `max_tokens`: tokens a caption is padded or cut to.
    """

    tokenizer: eqx.AbstractVar[AbstractTokenizer]
    width: eqx.AbstractVar[int]
    max_tokens: eqx.AbstractVar[int]

    def tokenize(self, captions: Sequence[str]) -> TokenBatch:
        """Ids and masks of `(captions, max_tokens)`, in numpy."""
        return self.tokenizer(captions, self.max_tokens)

    @abc.abstractmethod
    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        """The embedding of one tokenized caption."""

    def null(self) -> TextEmbedding:
        """The embedding of the empty caption, for caption dropout and guidance."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), embed(self, [""]))

    @property
    def fingerprint(self) -> str:
        """Changes whenever an embedding would change: it names the caches of embeddings."""
        return fingerprint(self)


SMALL_BATCHES = (2, 8, 32)
"""Captions in a call of `embed` that has few. The first serves one prompt and the negative one."""


def embed(
    encoder: AbstractTextEncoder,
    captions: Sequence[str],
    batch: int = 64,
    *,
    sharding: jax.sharding.Sharding | None = None,
) -> TextEmbedding:
    """Embeds captions in batches of one shape, so that few programs serve any number.

    **Arguments:**

    - `encoder`: any encoder.
    - `captions`: at least one. `""` is the unconditional caption.
    - `batch`: the most captions in a call. Fewer in all are one call of 2, 8 or 32. Copies fill a
        call and are dropped.
    - `sharding`: of a batch, to use several devices. The encoder must be on all of them.

    **Returns:**

    A `TextEmbedding` of numpy arrays with a leading axis of `len(captions)`.
    """
    _check_captions(captions)
    if batch < 1:
        raise ValueError(f"embed's batch must be at least 1, received {batch}.")
    parts = []
    batch = min([batch, *(size for size in SMALL_BATCHES if size >= len(captions))])
    for start in range(0, len(captions), batch):
        ids, mask = encoder.tokenize(captions[start : start + batch])
        fill = ((0, batch - len(ids)), (0, 0))
        ids, mask = np.pad(ids, fill, mode="edge"), np.pad(mask, fill, mode="edge")
        placed = jax.device_put((ids, mask), sharding)
        parts.append(jax.device_get(_embed_batch(encoder, *placed)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(captions)], *parts)


def embed_captions(
    encoder: AbstractTextEncoder, captions: Sequence[str], batch: int = 64
) -> TextEmbedding:
    """`embed`, for the captions of a data set: the log says if the encoder cuts some of them."""
    cut = CutCaptions(encoder.tokenizer, encoder.max_tokens)
    cut.add(captions)
    cut.log()
    return embed(encoder, captions, batch)


def embed_prompts(
    encoder: AbstractTextEncoder, prompts: Sequence[str], negative_prompt: str
) -> tuple[TextEmbedding, TextEmbedding]:
    """The embeddings of prompts, and that of the negative prompt without a leading axis.

    Both come of one call of the encoder. A prompt that it cuts is a `UserWarning`.
    """
    _check_captions(prompts)
    if not isinstance(negative_prompt, str):
        raise ValueError(
            "One negative prompt is for all images, and a string; received "
            f"{negative_prompt!r}. Sample images of different ones in different calls."
        )
    cut = CutCaptions(encoder.tokenizer, encoder.max_tokens)
    cut.add([*prompts, negative_prompt])
    cut.warn()
    both = embed(encoder, [*prompts, negative_prompt])
    return jax.tree.map(lambda leaf: leaf[:-1], both), jax.tree.map(lambda leaf: leaf[-1], both)


def _check_captions(captions: Sequence[str]) -> None:
    if isinstance(captions, str):
        raise ValueError(f"embed takes a list of captions, received a string. Use [{captions!r}].")
    if len(captions) == 0:
        raise ValueError(
            "embed takes at least one caption, received an empty list. The unconditional caption "
            'is the empty string: [""].'
        )
    for i, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise ValueError(
                f"embed takes captions that are strings, received {caption!r} at index {i}."
            )


@eqx.filter_jit
def _embed_batch(
    encoder: AbstractTextEncoder, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
) -> TextEmbedding:
    return jax.vmap(encoder)(ids, mask)


def sentence_embedding(
    embedding: TextEmbedding,
) -> Float[Array, "*batch width"]:
    """One unit vector for a caption: the mean of its real tokens, normalised.

    Sentence-BERT models such as MiniLM are trained with this pooling (Reimers & Gurevych 2019,
    section 3). The inner product of two vectors is their similarity.
    """
    tokens = jnp.asarray(embedding.tokens, jnp.float32)
    weights = jnp.asarray(embedding.mask, jnp.float32)[..., None]
    mean = jnp.sum(tokens * weights, axis=-2) / jnp.maximum(jnp.sum(weights, axis=-2), 1.0)
    return mean / jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
