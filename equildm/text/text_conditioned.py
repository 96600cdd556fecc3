"""A network together with its text encoder, to train both."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Latent, Network, Time
from ..runtime.fsdp import gathered
from .encoder import AbstractTextEncoder
from .tokenizer import TokenBatch


class TextConditioned(eqx.Module):
    """A network that is conditioned on token ids instead of on their embedding.

    An objective takes it in the place of a network, with token ids in the place of embeddings: in
    batches, and for the empty caption.

    **Fields:**

    - `network`: conditioned on a `TextEmbedding`.
    - `text`: embeds the ids.
    """

    network: Network
    text: AbstractTextEncoder

    def __call__(
        self, x: Latent, t: Time, tokens: TokenBatch
    ) -> Float[Array, "height width out_channels"]:
        """See `WidthScaledUNet`. `tokens` are those of one caption, without a batch axis."""
        # An embedding is looked up, not cast, so its shards are gathered here.
        text = gathered(self.text)
        return self.network(x, t, text(tokens.ids, tokens.mask))

    def null_ids(self) -> TokenBatch:
        """The ids of the empty caption, without a batch axis."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), self.text.tokenize([""]))
