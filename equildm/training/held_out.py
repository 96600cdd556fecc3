"""Held-out examples of the data that are encoded in the step, and of a subject."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from ..data import (
    CaptionedBatch,
    CaptionedDataConfig,
    LatentBatch,
    MakeControl,
    SubjectConfig,
    Subset,
    with_token,
)
from ..text import AbstractTextEncoder, embed_captions


def held_out_images(
    data: CaptionedDataConfig,
    held_out: Subset,
    text_encoder: AbstractTextEncoder,
    *,
    count: int,
    control: MakeControl | None = None,
) -> CaptionedBatch | None:
    """Up to `count` held-out images with their captions, always the same ones.

    **Arguments:**

    - `data`: how images are cropped.
    - `held_out`: of `data.splits()`.
    - `text_encoder`: embeds the captions.
    - `count`: how many at most.
    - `control`: makes the control image of a crop.

    **Returns:** a batch, or `None` where nothing is held out.

    **Raises** `ValueError` if none of the images can be used.
    """
    if not len(held_out):
        return None
    images, captions = data.examples(held_out, count)
    controls = None if control is None else jnp.asarray(np.stack([control(x) for x in images]))
    return CaptionedBatch(jnp.asarray(images), embed_captions(text_encoder, captions), controls)


def held_out_subject(
    subject: SubjectConfig,
    image_size: int,
    encode: Callable[[UInt8[np.ndarray, "count height width 3"], Sequence[str]], LatentBatch],
    *,
    count: int,
) -> LatentBatch | None:
    """Up to `count` images of a subject as its training does not show it; `None` without any.

    **Arguments:**

    - `subject`: the options; see `SubjectConfig.unseen`.
    - `image_size`: side of the images in pixels.
    - `encode`: images and captions to a batch, see `encode_images`.
    - `count`: how many at most.
    """
    unseen = subject.unseen(image_size)
    if unseen is None:
        return None
    captions = [with_token(caption, subject.token) for caption in unseen.captions[:count]]
    return encode(unseen.images[:count], captions)
