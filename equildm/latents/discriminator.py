"""A discriminator of image patches and its hinge losses."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Image, Key
from ..nn import Conv, GroupNorm, split_key

Logits = Float[Array, "*rest rows columns"]
_SIDE = ((1, 1), (1, 1))


class PatchDiscriminator(eqx.Module):
    """Classifies patches of an image as real or reconstructed (Isola et al. 2017, section 3.2.2).

    The discriminator of taming-transformers and of Stable Diffusion's VAE: 4x4 convolutions and
    leaky ReLU of slope 0.2, but with group norm instead of batch norm, so that images do not depend
    on each other. With three layers a patch has 70 x 70 pixels.
    """

    convs: tuple[Conv, ...]
    norms: tuple[GroupNorm, ...]

    def __init__(
        self,
        width: int = 64,
        *,
        layers: int = 3,
        image_channels: int = 3,
        groups: int = 8,
        key: Key,
    ):
        """**Arguments:**

        - `width`: channels after the first convolution. Each layer doubles them, up to 8 times as
            many.
        - `layers`: number of halvings of the image.
        - `image_channels`: size of the image's last axis.
        - `groups`: groups of the norms; must divide `width`.
        - `key`: for the initial weights.
        """
        if layers < 1:
            raise ValueError(
                f"PatchDiscriminator needs at least one layer, received {layers}. The usual is 3."
            )
        keys = split_key(key, layers + 2)
        channels = [width * min(2**level, 8) for level in range(layers + 1)]
        convs = [Conv(image_channels, width, 4, stride=2, padding=_SIDE, key=keys[0])]
        for level in range(1, layers + 1):
            stride = 2 if level < layers else 1
            sizes = channels[level - 1], channels[level]
            convs.append(Conv(*sizes, 4, stride=stride, padding=_SIDE, bias=False, key=keys[level]))
        convs.append(Conv(channels[-1], 1, 4, padding=_SIDE, key=keys[-1]))
        self.convs = tuple(convs)
        self.norms = tuple(GroupNorm(groups, count) for count in channels[1:])

    def __call__(self, image: Image) -> Float[Array, "rows columns"]:
        """Logits, above 0 for a patch that looks real. The image is in [-1, 1]."""
        smallest = 2 ** (len(self.norms) + 1)
        if min(image.shape[:2]) < smallest:
            raise ValueError(
                f"A discriminator of {len(self.norms)} layers takes images of at least "
                f"{smallest} pixels a side, received {image.shape[:2]}. Use fewer layers."
            )
        x = jax.nn.leaky_relu(self.convs[0](image), 0.2)
        for conv, norm in zip(self.convs[1:-1], self.norms, strict=True):
            x = jax.nn.leaky_relu(norm(conv(x)), 0.2)
        return self.convs[-1](x)[..., 0]


def discriminator_loss(real: Logits, fake: Logits) -> Float[Array, ""]:
    """Hinge loss `mean(relu(1 - real) + relu(1 + fake)) / 2` (Lim & Ye 2017); 1 where all is 0."""
    real, fake = real.astype(jnp.float32), fake.astype(jnp.float32)
    return 0.5 * (jnp.mean(jax.nn.relu(1.0 - real)) + jnp.mean(jax.nn.relu(1.0 + fake)))


def generator_loss(fake: Logits) -> Float[Array, ""]:
    """`-mean(fake)`, which the VAE minimises."""
    return -jnp.mean(fake.astype(jnp.float32))
