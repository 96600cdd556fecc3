"""A network and its inputs as shapes, for counting operations and compiling without weights."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Network, TextEmbedding
from ..nn import shapes_of
from .backbone import AbstractBackboneConfig
from .network_config import AbstractNetworkConfig


def network_shapes(config: AbstractNetworkConfig) -> Network:
    """The network with a `jax.ShapeDtypeStruct` in place of each array. Nothing is allocated."""
    return shapes_of(config.build)


def input_shapes(
    backbone: AbstractBackboneConfig, side: int, tokens: int, batch: tuple[int, ...] = ()
) -> tuple[PyTree, PyTree, TextEmbedding]:
    """The shapes of a latent, its time and its caption, all float32.

    **Arguments:**

    - `backbone`: the sizes of the network.
    - `side`: height and width of the latent.
    - `tokens`: tokens of the caption.
    - `batch`: leading axes; none for one example.
    """

    def inputs() -> tuple[PyTree, PyTree, TextEmbedding]:
        text = TextEmbedding(
            jnp.zeros((*batch, tokens, backbone.context_width)), jnp.ones((*batch, tokens), bool)
        )
        return jnp.zeros((*batch, side, side, backbone.in_channels)), jnp.zeros(batch), text

    return eqx.filter_eval_shape(inputs)
