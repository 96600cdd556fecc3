"""A UNet that sees a second latent beside the noisy one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Latent, Time
from ..nn import Linear, sinusoid, zeroed
from .unet import WidthScaledUNet


class PictureCondition(eqx.Module):
    """What a `Concatenated` network is conditioned on.

    **Fields:**

    - `text`: the caption, as the UNet takes it.
    - `picture`: a latent of the noisy latent's height and width.
    - `level`: how noisy `picture` itself is, as a time of the schedule; 0 is clean.
    """

    text: Any
    picture: Latent
    level: Time


class Concatenated(eqx.Module):
    """A UNet whose input is the noisy latent and a picture's latent, channel behind channel.

    The time of the picture's own noise is embedded like the time itself, projected and added to
    that one's sinusoid ("noise conditioning augmentation", Ho et al. 2021, section 4; Rombach et
    al. 2022 concatenate).

    **Fields:**

    - `network`: with as many more input channels.
    - `projection`: of the sinusoid of `level`.
    """

    network: WidthScaledUNet
    projection: Linear

    def __call__(
        self, x: Latent, t: Time, condition: PictureCondition
    ) -> Float[Array, "height width out_channels"]:
        """See `WidthScaledUNet`."""
        if condition.picture.shape[:2] != x.shape[:2]:
            raise ValueError(
                "A picture's latent is as high and wide as the noisy one, received "
                f"{condition.picture.shape[:2]} and {x.shape[:2]}. Resize the picture first."
            )
        width = self.projection.weight.shape[0]
        shift = self.projection(sinusoid(condition.level, width))
        x = jnp.concatenate([x, condition.picture.astype(x.dtype)], axis=-1)
        return self.network.at(x, self.network.time(t, shift), condition.text)


def concatenated(network: Any, channels: int) -> Concatenated:
    """The network with `channels` more input channels, whose weights are zero.

    So is the projection: whatever the picture and its level, it begins as `network`.
    """
    if not isinstance(network, WidthScaledUNet):
        raise ValueError(
            f"Only a WidthScaledUNet's input is widened, received {type(network).__name__}. A "
            "student that is told a guidance weight, or a network that was widened, is none."
        )
    weight = network.conv_in.weight
    new = jnp.zeros((*weight.shape[:2], channels, weight.shape[3]), weight.dtype)
    wider = eqx.tree_at(
        lambda network: network.conv_in.weight, network, jnp.concatenate([weight, new], axis=2)
    )
    into = network.time.hidden.weight.shape[0]
    return Concatenated(wider, zeroed(Linear(into, into, bias=False, key=jax.random.key(0))))
