"""What the transformers share: their last layer, and checks of what they are given."""

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float

from .._types import Key, Latent, TextEmbedding
from ..nn import Linear, modulate, Modulation, PatchEmbed, split_key, zeroed
from .blocks import Module
from .dit_block import plain_norm


class FinalLayer(eqx.Module):
    """`W (norm(x) (1 + scale) + shift)`, zero at first (Peebles & Xie 2023, section 3.2)."""

    modulation: Module
    norm: Module
    projection: Linear

    def __init__(
        self,
        width: int,
        features: int,
        *,
        modulation: Callable[..., Module] = Modulation,
        key: Key,
    ):
        """**Arguments:**

        - `width`: of a token.
        - `features`: numbers of a patch.
        - `modulation`: makes shift and scale, `modulation(width, 2, key=)`.
        - `key`: for the initial weights.
        """
        mkey, pkey = split_key(key)
        self.modulation = modulation(width, 2, key=mkey)
        self.norm = plain_norm(width)
        self.projection = zeroed(Linear(width, features, key=pkey))

    def __call__(
        self, x: Float[Array, "tokens width"], condition: Float[Array, "width"]
    ) -> Float[Array, "tokens features"]:
        shift, scale = self.modulation(condition)
        return self.projection(modulate(self.norm(x), shift, scale))


def check_heads(heads: int, width: int) -> None:
    """**Raises** `ValueError` for heads that do not divide the width."""
    if heads < 1 or width % heads:
        raise ValueError(
            f"A transformer's heads divide its width, received heads={heads} and width={width}."
            " Choose heads of 64, for instance."
        )


def check_inputs(
    embed: PatchEmbed, context_width: int, pooled: Module | None, x: Latent, text: TextEmbedding
) -> None:
    """**Raises** `ValueError` for a latent or a caption that a transformer was not built for."""
    if x.shape[-1] != embed.in_channels:
        raise ValueError(
            f"The transformer takes latents of {embed.in_channels} channels, received shape "
            f"{x.shape}. Use the VAE that it was trained with, or build it with that in_channels."
        )
    if text.tokens.shape[-1] != context_width:
        raise ValueError(
            f"The transformer takes token embeddings of width {context_width}, received "
            f"{text.tokens.shape[-1]}. Use the text encoder that it was trained with, or build it "
            "with that context_width."
        )
    if (pooled is None) != (text.pooled is None):
        raise ValueError(
            "A transformer takes a caption's pooled vector if and only if it was built with "
            f"pooled_width, received {'none' if text.pooled is None else 'one'}. Use the text "
            "encoder that it was trained with."
        )
