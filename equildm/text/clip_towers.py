"""CLIP: an image tower and a text tower into one space."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..features import CLIPImageTower
from ..nn import Linear
from .clip import CLIPText


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
        """The vector of a caption: that of its closing token, the last before the padding.

        **Arguments:**

        - `ids`, `mask`: of the caption, from `text.tokenize`.
        """
        return self.text_projection(self.text(ids, mask).tokens[jnp.sum(mask) - 1])
