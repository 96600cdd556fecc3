"""The CLIP score: how well images match their captions, by CLIP."""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..features import pool_features
from ..text import CLIP
from .retrieval import unit_rows


def clip_score(
    clip: CLIP, images: Iterable[np.ndarray], captions: Sequence[str], *, batch: int = 32
) -> Float[np.ndarray, "images"]:
    """`100 max(cos(image, caption), 0)` of each image and its caption, whose mean is the score.

    Equation 1 of Hessel et al. 2021, with the factor 100 that libraries use instead of its 2.5.

    **Arguments:**

    - `clip`: the image and the text tower, see `equildm.interop.load_clip`.
    - `images`: of one size, uint8 or in [-1, 1]; read one batch at a time.
    - `captions`: one for each image.
    - `batch`: images at a time.
    """
    vectors = unit_rows(pool_features(clip.image, images, batch=batch))
    if len(vectors) != len(captions):
        raise ValueError(
            "clip_score takes one caption for each image, received "
            f"{len(vectors)} images and {len(captions)} captions."
        )
    words = []
    for start in range(0, len(captions), batch):
        ids, mask = clip.text.tokenize(captions[start : start + batch])
        fill = ((0, batch - len(ids)), (0, 0))
        filled = (jnp.asarray(np.pad(array, fill, mode="edge")) for array in (ids, mask))
        words.append(np.asarray(_caption_vectors(clip, *filled)))
    cosines = np.sum(vectors * unit_rows(np.concatenate(words)[: len(captions)]), axis=1)
    return 100.0 * np.maximum(cosines, 0.0)


@eqx.filter_jit
def _caption_vectors(
    clip: CLIP, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
) -> Float[Array, "batch projection"]:
    return jax.vmap(clip.caption_vector)(ids, mask)
