"""A network that is told the sizes of the image that it is to denoise."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Key, Latent, SizeCondition, TextEmbedding, Time
from ..nn import Linear, sinusoid, zeroed
from .backbone import AbstractBackbone, check_backbone
from .denoiser import AbstractDenoiser
from .guidance import Scalar
from .network_config import AbstractNetworkWrap
from .null_text import NullTextGuidance


class SizeEmbedding(eqx.Module):
    """Sizes as a vector, for any network: `P [sinusoid(n_1), ..., sinusoid(n_6)]`.

    The six numbers are those of `SizeCondition`, in pixels, each a sinusoid as the time is (Podell
    et al. 2023, section 2.2). The projection `P` starts at zero: added to the sinusoid of a trained
    network's time, it changes nothing at first.
    """

    projection: Linear
    width: int = eqx.field(static=True)

    def __init__(self, out_width: int, width: int = 256):
        """**Arguments:**

        - `out_width`: width of the vector.
        - `width`: of the sinusoid of each number.
        """
        self.projection = zeroed(Linear(6 * width, out_width, bias=False, key=jax.random.key(0)))
        self.width = width

    def __call__(self, sizes: Float[Array, "6"]) -> Float[Array, "out_width"]:
        """See the class."""
        sinusoids = jax.vmap(lambda number: sinusoid(number, self.width))(sizes)
        return self.projection(sinusoids.reshape(-1))


class SizeConditioned(eqx.Module):
    """A network with a `SizeEmbedding`, conditioned on a `SizeCondition`.

    Small images need not be left out of the training, nor crops be taken for how things are: the
    network learns what an enlarged or a cut image looks like, and in sampling it is told that the
    image is neither.
    """

    network: AbstractBackbone
    sizes: SizeEmbedding

    def __call__(
        self, x: Latent, t: Time, condition: SizeCondition
    ) -> Float[Array, "height width out_channels"]:
        """See `AbstractBackbone`."""
        time = self.network.time(t, self.sizes(condition.sizes))
        return self.network.at(x, time, condition.text)


@dataclasses.dataclass(frozen=True)
class AbstractSizeConfig(AbstractNetworkWrap):
    """A network that takes a `SizeCondition`. Its subclasses differ in how sizes are embedded."""

    width: int = 256
    """Width of the sinusoid of each number."""

    @property
    def condition_type(self) -> type:
        return SizeCondition

    def captioned(self, text: TextEmbedding, height: int, width: int) -> SizeCondition:
        """The image was of this size from the beginning, and nothing is cut."""
        sizes = jnp.asarray([height, width, 0, 0, height, width], jnp.float32)
        return SizeCondition(text, jnp.broadcast_to(sizes, (*text.mask.shape[:-1], 6)))

    def guided(
        self, denoiser: AbstractDenoiser, guidance_scale: Scalar, **options: Any
    ) -> AbstractDenoiser:
        return NullTextGuidance(self.of.guided(denoiser, guidance_scale, **options))


@dataclasses.dataclass(frozen=True)
class SizeConditioningConfig(AbstractSizeConfig):
    """A network with the sizes of original image and crop as inputs: see `SizeConditioned`."""

    def build(self, *, key: Key) -> SizeConditioned:
        network = check_backbone(self.of.build(key=key), "Sizes are embedded into")
        return SizeConditioned(network, SizeEmbedding(network.time_features, self.width))
