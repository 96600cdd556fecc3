"""ControlNet: a trained copy of a UNet's encoder that reads an image and steers the frozen UNet."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Condition, Key, Latent, Network, Time
from ..nn import Conv, TimeEmbedding, zeroed
from .blocks import encode, Level, Module, UNetFeatures
from .denoiser import AbstractDenoiser
from .guidance import Scalar
from .network_config import AbstractNetworkConfig, AbstractNetworkWrap
from .null_text import NullTextGuidance
from .unet import WidthScaledUNet

HINT_CHANNELS = (16, 32, 96, 256)
"""Channels of the hint encoder at each resolution, highest first (Zhang et al. 2023)."""


class ControlCondition(eqx.Module):
    """The condition of a `ControlNet`: a caption and a control image.

    **Fields:**

    - `text`: the caption, as the UNet takes it.
    - `image`: the control image in [-1, 1], or its latent, at the resolution of the hint encoder.
    """

    text: Condition
    image: Float[Array, "*batch image_height image_width channels"]


class HintEncoder(eqx.Module):
    """Convolutions from the control image to the UNet's first feature map.

    A 3x3 convolution, then for each halving one at the same size and one with stride 2, each with
    a SiLU, then one whose weights are zero at first (`ControlNetConditioningEmbedding` of
    diffusers).
    """

    convs: tuple[Conv, ...]
    conv_out: Conv

    def __init__(self, image_channels: int, width: int, channels: Sequence[int], *, key: Key):
        """**Arguments:**

        - `image_channels`: of the control image.
        - `width`: channels of the UNet's first feature map.
        - `channels`: at each resolution; the image is halved between two of them.
        - `key`: for the initial weights.
        """
        keys = iter(jax.random.split(key, 2 * len(channels)))
        convs = [Conv(image_channels, channels[0], key=next(keys))]
        for before, after in pairwise(channels):
            convs.append(Conv(before, before, key=next(keys)))
            convs.append(Conv(before, after, stride=2, key=next(keys)))
        self.convs = tuple(convs)
        self.conv_out = zeroed(Conv(channels[-1], width, key=next(keys)))

    @property
    def factor(self) -> int:
        """How many pixels wide and high one position of the feature map is."""
        return 2 ** (len(self.convs) // 2)

    def __call__(
        self, image: Float[Array, "image_height image_width channels"]
    ) -> Float[Array, "height width width_channels"]:
        x = image
        for conv in self.convs:
            x = jax.nn.silu(conv(x))
        return self.conv_out(x)


class ControlBranch(eqx.Module):
    """The trained part of a `ControlNet`: from the noisy latent and the control image to residuals.

    `conv_in`, `time`, `down` and `middle` begin as copies of the UNet's. The control image enters
    behind the first convolution. Every feature map passes through a 1x1 convolution that is zero
    at first, so that the residuals are, too.
    """

    conv_in: Conv
    time: TimeEmbedding
    hint: HintEncoder
    down: tuple[Level, ...]
    middle: Module
    skip_outputs: tuple[Conv, ...]
    middle_output: Conv

    def __init__(
        self,
        network: WidthScaledUNet,
        image_channels: int,
        hint_channels: Sequence[int],
        *,
        key: Key,
    ):
        """**Arguments:**

        - `network`: the UNet that is to be controlled; its arrays are copied.
        - `image_channels`: of the control image.
        - `hint_channels`: see `HintEncoder`.
        - `key`: for the hint encoder's initial weights.
        """

        def output(channels: int) -> Conv:
            return zeroed(Conv(channels, channels, 1, key=key))

        # Copies: training donates the buffers of what it updates, and the UNet keeps its own.
        parts = (network.conv_in, network.time, network.down, network.middle)
        self.conv_in, self.time, self.down, self.middle = jax.tree.map(
            lambda leaf: jnp.array(leaf, copy=True) if eqx.is_array(leaf) else leaf, parts
        )
        width = network.conv_in.weight.shape[-1]
        self.hint = HintEncoder(image_channels, width, hint_channels, key=key)
        shapes = eqx.filter_eval_shape(_features, network)
        self.skip_outputs = tuple(output(skip.shape[-1]) for skip in shapes.skips)
        self.middle_output = output(shapes.middle.shape[-1])

    def __call__(self, x: Latent, t: Time, condition: ControlCondition) -> UNetFeatures:
        """The residuals; arguments as of `ControlNet`."""
        hint = self.hint(condition.image.astype(x.dtype))
        if hint.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"A control image has {self.hint.factor} times as many pixels a side as the latent "
                f"has positions, received images of {condition.image.shape[:2]} for latents of "
                f"{x.shape[:2]}. Resize the control image, or choose other hint_channels."
            )
        time = self.time(t).astype(x.dtype)
        context = condition.text.tokens.astype(x.dtype)
        features = encode(
            self.conv_in(x) + hint, time, context, condition.text.mask, self.down, self.middle
        )
        pairs = zip(self.skip_outputs, features.skips, strict=True)
        skips = tuple(output(skip) for output, skip in pairs)
        return UNetFeatures(skips, self.middle_output(features.middle))


class ControlNet(eqx.Module):
    """A UNet and a branch that adds residuals to its features (Zhang et al. 2023, section 3.2):

        F(x, t, text, image) = decoder(encoder(x, t, text) + control(x, t, text, image))

    The residuals are zero at first: training starts from the UNet. It is the control branch that is
    trained, `MatchingWeights(("control.*",))`; the UNet stays as it is.

    **Fields:**

    - `network`: the UNet.
    - `control`: the branch.
    """

    network: WidthScaledUNet
    control: ControlBranch

    def __call__(
        self, x: Latent, t: Time, condition: ControlCondition
    ) -> Float[Array, "height width out_channels"]:
        """See `WidthScaledUNet`."""
        residuals = self.control(x, t, condition)
        return self.network.at(x, self.network.time(t), condition.text, residuals)

    def scaled(self, strength: float) -> "ControlNet":
        """The same network with residuals of `strength` times the size; 0 is the UNet alone."""

        def outputs(network: "ControlNet") -> tuple[tuple[Conv, ...], Conv]:
            return network.control.skip_outputs, network.control.middle_output

        # The last operation of the branch is linear, so that its weights scale the residuals.
        weights = jax.tree.map(lambda weight: strength * weight, outputs(self))
        return eqx.tree_at(outputs, self, weights)


@dataclasses.dataclass(frozen=True)
class ControlNetConfig(AbstractNetworkWrap):
    """A UNet that is steered by an image: see `ControlNet`."""

    image_channels: int = 3
    """Channels of the control image."""
    hint_channels: tuple[int, ...] = HINT_CHANNELS
    """Channels of the hint encoder, which halves the control image between two of them. The control
    image has `2^(n-1)` times as many pixels a side as the latent has positions; one entry takes an
    image of the latent's size, such as a latent."""

    def __post_init__(self) -> None:
        if not self.hint_channels:
            raise ValueError("hint_channels has at least 1 entry, received none. Use (16,).")

    @classmethod
    def for_pixels(cls, of: AbstractNetworkConfig, factor: int) -> "ControlNetConfig":
        """The config for control images as large as the images.

        **Arguments:**

        - `of`: config of the UNet.
        - `factor`: of the VAE: how many pixels wide one position of the latent is.
        """
        halvings = factor.bit_length() - 1
        channels = (*HINT_CHANNELS, *HINT_CHANNELS[-1:] * halvings)
        return cls(of, hint_channels=channels[: halvings + 1])

    @property
    def condition_type(self) -> type:
        return ControlCondition

    def build(self, *, key: Key) -> ControlNet:
        return self.around(self.of.build(key=key), key=key)

    def around(self, network: Network, *, key: Key) -> ControlNet:
        """A network that was built from `of`, for instance a trained one, with a new branch."""
        if not isinstance(network, WidthScaledUNet):
            raise ValueError(
                "A ControlNet is made of a WidthScaledUNet, received a "
                f"{type(network).__name__}. Start from a plain text-to-image model."
            )
        branch = ControlBranch(network, self.image_channels, self.hint_channels, key=key)
        return ControlNet(network, branch)

    def guided(
        self, denoiser: AbstractDenoiser, guidance_scale: Scalar, **options: Any
    ) -> AbstractDenoiser:
        return NullTextGuidance(self.of.guided(denoiser, guidance_scale, **options))


def _features(network: WidthScaledUNet) -> UNetFeatures:
    """The features of some input: their channels are what matters."""
    side = 2 ** (len(network.down) - 1)
    x = network.conv_in(jnp.zeros((side, side, network.conv_in.weight.shape[2])))
    time, context = network.time(jnp.zeros(())), jnp.zeros((1, network.context_width))
    return encode(x, time, context, jnp.ones(1, bool), network.down, network.middle)
