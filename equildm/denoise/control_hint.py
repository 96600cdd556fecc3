"""From a control image to the first features of a network."""

from collections.abc import Sequence
from itertools import pairwise

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key, Latent
from ..nn import Conv, PatchEmbed, split_key, zeroed


class HintEncoder(eqx.Module):
    """Convolutions from the control image to the network's first features.

    A 3x3 convolution, then for each halving one at the same size and one with stride 2, each with
    a SiLU (`ControlNetConditioningEmbedding` of diffusers). Then a layer whose weights are zero at
    first: a 3x3 convolution for a UNet, a linear map of patches for a transformer.
    """

    convs: tuple[Conv, ...]
    conv_out: Conv | PatchEmbed

    def __init__(
        self,
        image_channels: int,
        width: int,
        channels: Sequence[int],
        *,
        patch: int | None = None,
        key: Key,
    ):
        """**Arguments:**

        - `image_channels`: of the control image.
        - `width`: channels of the network's first features.
        - `channels`: at each resolution; the image is halved between two of them. Without any,
            there is the last layer alone, as in Stable Diffusion 3's ControlNets.
        - `patch`: side of a transformer's patch; by default the features are a UNet's.
        - `key`: for the initial weights.
        """
        keys = iter(split_key(key, max(1, 2 * len(channels))))
        convs = [Conv(image_channels, first, key=next(keys)) for first in channels[:1]]
        for before, after in pairwise(channels):
            convs.append(Conv(before, before, key=next(keys)))
            convs.append(Conv(before, after, stride=2, key=next(keys)))
        self.convs = tuple(convs)
        last = channels[-1] if channels else image_channels
        self.conv_out = zeroed(
            Conv(last, width, key=next(keys))
            if patch is None
            else PatchEmbed(last, width, patch, key=next(keys))
        )

    @property
    def factor(self) -> int:
        """How many pixels wide and high one position of the latent is."""
        return 2 ** (len(self.convs) // 2)

    def __call__(
        self, image: Float[Array, "image_height image_width image_channels"], x: Latent
    ) -> Float[Array, "*positions features"]:
        """The control image's features, in the dtype of the latent `x`.

        **Raises** `ValueError` for an image whose size does not belong to the latent's.
        """
        if image.shape[:2] != tuple(self.factor * side for side in x.shape[:2]):
            raise ValueError(
                f"A control image has {self.factor} times as many pixels a side as the latent "
                f"has positions, received images of {image.shape[:2]} for latents of "
                f"{x.shape[:2]}. Resize the control image, or choose other hint_channels."
            )
        y = image.astype(x.dtype)
        for conv in self.convs:
            y = jax.nn.silu(conv(y))
        return self.conv_out(y)
