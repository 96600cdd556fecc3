"""A network that is told the resolution and the aspect ratio of the image, as PixArt-alpha is."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key, Latent, SizeCondition, Time
from ..nn import split_key, TimeEmbedding, zeroed
from .backbone import AbstractBackbone, check_backbone
from .size_conditioning import AbstractSizeConfig


class ResolutionEmbedding(eqx.Module):
    """`[f(height), f(width), g(height / width)]` with two `TimeEmbedding`s `f` and `g`.

    Height and width are those of the image that is made, in pixels: the last two numbers of
    `SizeCondition`. Each part has a third of the width. The last layers start at zero: added to the
    embedded time of a trained network, it changes nothing at first.
    """

    resolution: TimeEmbedding
    aspect: TimeEmbedding

    def __init__(self, out_width: int, width: int = 256, *, key: Key):
        """**Arguments:**

        - `out_width`: width of the vector, which 3 must divide.
        - `width`: of the sinusoid of each number.
        - `key`: for the initial weights.

        **Raises** `ValueError` for a width that 3 does not divide.
        """
        if out_width % 3:
            raise ValueError(
                "A ResolutionEmbedding has three parts of one width, so 3 must divide the width of "
                f"the network's embedded time; received {out_width}. Use a network of width "
                f"{out_width + 3 - out_width % 3}."
            )
        keys = split_key(key)
        parts = (TimeEmbedding(width, out_width // 3, key=k) for k in keys)
        self.resolution, self.aspect = (
            eqx.tree_at(lambda part: part.out, part, zeroed(part.out)) for part in parts
        )

    def __call__(self, sizes: Float[Array, "6"]) -> Float[Array, "out_width"]:
        """See the class."""
        height, width = sizes[4], sizes[5]
        parts = self.resolution(height), self.resolution(width), self.aspect(height / width)
        return jnp.concatenate(parts)


class ResolutionConditioned(eqx.Module):
    """A network with a `ResolutionEmbedding`, conditioned on a `SizeCondition`.

    The vector is added to the embedded time, where `SizeConditioned` adds one to the sinusoid.
    """

    network: AbstractBackbone
    sizes: ResolutionEmbedding

    def __call__(
        self, x: Latent, t: Time, condition: SizeCondition
    ) -> Float[Array, "height width out_channels"]:
        """See `AbstractBackbone`."""
        time = self.network.time(t) + self.sizes(condition.sizes)
        return self.network.at(x, time, condition.text)


@dataclasses.dataclass(frozen=True)
class ResolutionConditioningConfig(AbstractSizeConfig):
    """A network with resolution and aspect ratio as inputs: see `ResolutionConditioned`."""

    def build(self, *, key: Key) -> ResolutionConditioned:
        network_key, sizes_key = split_key(key)
        network = self.of.build(key=network_key)
        network = check_backbone(network, "Resolution and aspect ratio are embedded into")
        sizes = ResolutionEmbedding(network.time_width, self.width, key=sizes_key)
        return ResolutionConditioned(network, sizes)
