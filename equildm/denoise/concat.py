"""A network that sees a second latent beside the noisy one."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Condition, Key, Latent, Network, Time
from ..nn import Linear, sinusoid, zeroed
from .backbone import AbstractBackbone, check_backbone
from .denoiser import AbstractDenoiser
from .guidance import Scalar
from .network_config import AbstractNetworkWrap
from .null_text import NullTextGuidance


class ImageCondition(eqx.Module):
    """The condition of a `Concatenated` network: a caption, and an image beside the noisy latent.

    **Fields:**

    - `text`: the caption, as the network takes it.
    - `image`: an array of the noisy latent's height and width, such as the latent of an image.
    - `level`: how noisy `image` itself is, as a time of the schedule; 0 is clean.
    """

    text: Condition
    image: Float[Array, "*batch height width channels"]
    level: Float[Array, "*batch"]


class Concatenated(eqx.Module):
    """A network whose input is the noisy latent and an image's latent, channel behind channel.

    The time of the image's own noise is embedded like the time itself, projected and added to that
    one's sinusoid ("noise conditioning augmentation", Ho et al. 2021, section 4; Rombach et al.
    2022 concatenate).

    **Fields:**

    - `network`: the network, whose input has the channels of both.
    - `projection`: of the sinusoid of `level`.
    """

    network: AbstractBackbone
    projection: Linear

    def __call__(
        self, x: Latent, t: Time, condition: ImageCondition
    ) -> Float[Array, "height width out_channels"]:
        """See `AbstractBackbone`."""
        if condition.image.shape[:2] != x.shape[:2]:
            raise ValueError(
                "An image's latent is as high and wide as the noisy one, received "
                f"{condition.image.shape[:2]} and {x.shape[:2]}. Resize the image first."
            )
        width = self.projection.weight.shape[0]
        shift = self.projection(sinusoid(condition.level, width))
        x = jnp.concatenate([x, condition.image.astype(x.dtype)], axis=-1)
        return self.network.at(x, self.network.time(t, shift), condition.text)


def widen_input(network: Network, channels: int) -> Concatenated:
    """The network with `channels` more input channels, whose weights are zero.

    The projection is zero too: whatever the image and its level, training starts from `network`.
    """
    wider = check_backbone(network, "The input that is widened is that of").widened(channels)
    width = wider.time_features
    return Concatenated(wider, zeroed(Linear(width, width, bias=False, key=jax.random.key(0))))


@dataclasses.dataclass(frozen=True)
class ConcatConfig(AbstractNetworkWrap):
    """A network whose input is widened by another image's latent: see `Concatenated`."""

    channels: int = 4
    """Additional channels."""

    @property
    def condition_type(self) -> type:
        return ImageCondition

    def build(self, *, key: Key) -> Concatenated:
        return widen_input(self.of.build(key=key), self.channels)

    def guided(
        self, denoiser: AbstractDenoiser, guidance_scale: Scalar, **options: Any
    ) -> AbstractDenoiser:
        return NullTextGuidance(self.of.guided(denoiser, guidance_scale, **options))
