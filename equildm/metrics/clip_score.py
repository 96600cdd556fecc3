"""CLIP's two towers, and how well images fit captions by them."""

from collections.abc import Iterable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..features import CLIPImageTower, pool_features
from ..nn import Linear
from ..text import CLIPText


class CLIP(eqx.Module):
    """Images and captions in one space (Radford et al. 2021). `interop.load_clip` reads one.

    **Fields:**

    - `image`, `text`: the towers.
    - `text_projection`: from the text tower to the common space.
    - `logit_scale`: the logarithm of the inverse temperature of its training.
    """

    image: CLIPImageTower
    text: CLIPText
    text_projection: Linear
    logit_scale: Float[Array, ""]

    def caption_vector(
        self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]
    ) -> Float[Array, "projection"]:
        """A caption's vector, from the token that closes it: the last that is no padding.

        **Arguments:**

        - `ids`, `mask`: what `text.tokenize` made of the caption.
        """
        return self.text_projection(self.text(ids, mask).tokens[jnp.sum(mask) - 1])


def clip_score(
    clip: CLIP, images: Iterable[np.ndarray], captions: Sequence[str], *, batch: int = 32
) -> Float[np.ndarray, "images"]:
    """`100 max(cos(image, caption), 0)` of each image and its caption, whose mean is the score.

    As Hessel et al. 2021 (equation 1), with the factor 100 of other libraries for their 2.5.

    **Arguments:**

    - `clip`: the towers.
    - `images`: of one size, uint8 or in [-1, 1]; read one batch at a time.
    - `captions`: one for each.
    - `batch`: images a call.
    """
    vectors = _unit(pool_features(clip.image, images, batch=batch))
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
    cosines = np.sum(vectors * _unit(np.concatenate(words)[: len(captions)]), axis=1)
    return 100.0 * np.maximum(cosines, 0.0)


@eqx.filter_jit
def _caption_vectors(
    clip: CLIP, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
) -> Float[Array, "batch projection"]:
    return jax.vmap(clip.caption_vector)(ids, mask)


def _unit(rows: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows width"]:
    rows = rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
