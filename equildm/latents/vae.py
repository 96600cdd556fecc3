"""Stable Diffusion's autoencoder at any width, depth and downsampling factor."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import check_one, Image, Key, Latent
from ..nn import Conv, GroupNorm, shapes_of, split_key
from .decoder import Decoder
from .encoder import Encoder
from .gaussian import DiagonalGaussian
from .vae_config import VAEConfig


class VAE(eqx.Module):
    """Stable Diffusion's `AutoencoderKL` (Rombach et al. 2022, section 3.1).

    `encode` and `decode` use the raw latent `z`. A denoiser is trained on the scaled one,

        latent = (z - shift) * scale          `vae.scaled(z)`
        z      = latent / scale + shift       `vae.unscaled(latent)`

    with `scale = 1 / std(z)` over the training set, so that it has about unit variance. Outside
    this package the type `Latent` means the scaled latent.
    """

    encoder: Encoder
    decoder: Decoder
    quant_conv: Conv | None
    post_quant_conv: Conv | None
    scale: float = eqx.field(static=True)
    shift: float = eqx.field(static=True)

    def __init__(
        self,
        width: int = 128,
        *,
        multipliers: Sequence[int] = (1, 2, 4, 4),
        depth: int = 2,
        latent_channels: int = 4,
        image_channels: int = 3,
        groups: int = 32,
        scale: float = 0.18215,
        shift: float = 0.0,
        quant_convs: bool = True,
        key: Key,
    ):
        """**Arguments:**

        - `width`: channels at the image's resolution.
        - `multipliers`: channels of each level in multiples of `width`; the latent is smaller than
            the image by `2**(len(multipliers) - 1)`.
        - `depth`: residual blocks of each level of the encoder; the decoder has one more.
        - `latent_channels`, `image_channels`: sizes of the last axes of latent and image.
        - `groups`: groups of the norms; must divide every level's channels.
        - `scale`, `shift`: from raw to scaled latents, see above.
        - `quant_convs`: whether a linear map follows the encoder, and one precedes the decoder, as
            in Stable Diffusion 1 and 2. Stable Diffusion 3 has none.
        - `key`: for the initial weights.
        """
        _check_sizes(width, multipliers, depth, groups)
        ekey, dkey, qkey, pkey = split_key(key, 4)
        channels = [width * multiplier for multiplier in multipliers]
        norm = partial(GroupNorm, groups, eps=1e-6)
        moments = 2 * latent_channels
        self.encoder = Encoder(image_channels, moments, channels, depth=depth, norm=norm, key=ekey)
        self.decoder = Decoder(
            latent_channels, image_channels, channels, depth=depth, norm=norm, key=dkey
        )
        self.quant_conv = Conv(moments, moments, 1, key=qkey) if quant_convs else None
        self.post_quant_conv = (
            Conv(latent_channels, latent_channels, 1, key=pkey) if quant_convs else None
        )
        self.scale = scale
        self.shift = shift

    @property
    def factor(self) -> int:
        """Pixels of the image per position of the latent, in each direction."""
        return 2 ** (len(self.encoder.levels) - 1)

    @property
    def config(self) -> VAEConfig:
        """The sizes, from the shapes of the arrays."""
        levels, norm = self.encoder.levels, self.encoder.norm_out
        assert isinstance(norm, GroupNorm)
        first = self.encoder.conv_in.weight.shape[-1]
        channels = [level.blocks[-1].conv2.weight.shape[-1] for level in levels]
        return VAEConfig(
            width=first,
            multipliers=tuple(count // first for count in channels),
            depth=len(levels[0].blocks),
            latent_channels=self.latent_channels,
            image_channels=self.image_channels,
            groups=norm.groups,
            scale=self.scale,
            shift=self.shift,
            quant_convs=self.quant_conv is not None,
        )

    @property
    def latent_channels(self) -> int:
        """Size of the latent's last axis."""
        return self.decoder.conv_in.weight.shape[2]

    @property
    def image_channels(self) -> int:
        """Size of the image's last axis."""
        return self.encoder.conv_in.weight.shape[2]

    def encode(self, image: Image) -> DiagonalGaussian:
        """The Gaussian over raw latents `z` for an image in [-1, 1]; sizes divide by `factor`."""
        self.check_image(image)
        moments = self.encoder(image)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        mean, log_variance = jnp.split(moments, 2, axis=-1)
        return DiagonalGaussian(mean, jnp.clip(log_variance, -30.0, 20.0))

    def decode(self, z: Latent) -> Float[Array, "image_height image_width rgb"]:
        """The image of a raw latent `z`, about in [-1, 1] (not clipped)."""
        check_one(z, "latent")
        if z.shape[-1] != self.latent_channels:
            raise ValueError(
                f"The VAE decodes latents of {self.latent_channels} channels, received shape "
                f"{z.shape}. Use the VAE that the latents were made with."
            )
        return self.decoder(z if self.post_quant_conv is None else self.post_quant_conv(z))

    def encode_scaled(self, image: Image) -> Float[Array, "latent_height latent_width channels"]:
        """The latent that a denoiser is trained on: the mode of `encode`, scaled."""
        return self.scaled(self.encode(image).mode())

    def decode_scaled(self, latent: Latent) -> Float[Array, "image_height image_width rgb"]:
        """The image of a scaled latent, such as a sampled one: the inverse of `encode_scaled`."""
        return self.decode(self.unscaled(latent))

    def reconstruct(self, image: Image) -> Image:
        """An image to its latent and back, without noise."""
        return self.decode(self.encode(image).mode())

    def with_scale(self, scale: float, shift: float = 0.0) -> "VAE":
        """The same networks with another scale and shift, see `scaled`."""
        config = dataclasses.replace(self.config, scale=scale, shift=shift)
        shapes = shapes_of(config.build)
        return jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(self))

    def scaled(self, z: Latent) -> Latent:
        """`(z - shift) * scale`, the denoiser's latent."""
        return (z - self.shift) * self.scale

    def unscaled(self, latent: Latent) -> Latent:
        """`latent / scale + shift`, the latent that `decode` takes."""
        return latent / self.scale + self.shift

    def check_image(self, image: Image) -> None:
        """Raises `ValueError` for an image that cannot be encoded."""
        check_one(image, "image")
        height, width, channels = image.shape
        if channels != self.image_channels:
            raise ValueError(
                f"The VAE encodes images of {self.image_channels} channels, received shape "
                f"{image.shape}. Images are (height, width, channels), one example at a time."
            )
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"The VAE reduces images by {self.factor}, which must divide height and width; "
                f"received {height}x{width}. Crop or resize the image."
            )


def _check_sizes(width, multipliers, depth, groups) -> None:
    if not multipliers or depth < 1:
        raise ValueError(
            "A VAE needs at least one level and one residual block a level, received "
            f"multipliers={tuple(multipliers)} and depth={depth}."
        )
    if any(width * multiplier % groups for multiplier in multipliers):
        raise ValueError(
            f"Every level's channels must divide by the norm's groups, received width={width}, "
            f"multipliers={tuple(multipliers)} and groups={groups}. Choose a width that is a "
            f"multiple of {groups}, or fewer groups."
        )
