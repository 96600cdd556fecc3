"""A network together with the text encoder that it listens to, to train both."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float

from .._types import Latent, Time
from ..runtime.inside import gathered
from .encoder import AbstractTextEncoder
from .tokenizer import TokenBatch


class Captioned(eqx.Module):
    """A network that is conditioned on token ids instead of on their embedding.

    Where a network goes into an objective, this does too, with batches of ids for embeddings and
    the ids of the empty caption for its embedding.

    **Fields:**

    - `network`: conditioned on a `TextEmbedding`.
    - `text`: makes it of the ids.
    """

    network: Any
    text: AbstractTextEncoder

    def __call__(
        self, x: Latent, t: Time, tokens: TokenBatch
    ) -> Float[Array, "height width out_channels"]:
        """See `WidthScaledUNet`. `tokens` are those of one caption, without a batch axis."""
        # An embedding is looked up, not cast, so that its shards are gathered here.
        text = gathered(self.text)
        return self.network(x, t, text(tokens.ids, tokens.mask))
