"""ControlNet: a trained copy of a network's first half that reads an image and steers it."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float

from .._types import Key, Latent, Network, Time
from .abstract_transformer import AbstractTransformer
from .backbone import AbstractBackbone
from .control_branch import AbstractControlBranch, ControlCondition
from .control_transformer import TransformerControlBranch
from .control_unet import ControlBranch
from .denoiser import AbstractDenoiser
from .dit_config import TransformerConfig
from .guidance import Scalar
from .network_config import AbstractNetworkConfig, AbstractNetworkWrap
from .null_text import NullTextGuidance
from .unet import WidthScaledUNet

HINT_CHANNELS = (16, 32, 96, 256)
"""Channels of the hint encoder at each resolution, highest first (Zhang et al. 2023)."""


class ControlNet(eqx.Module):
    """A network and a branch that adds residuals to its features (Zhang et al. 2023, section 3.2).

    Of a UNet the branch is a copy of the encoder:

        F(x, t, text, image) = decoder(encoder(x, t, text) + control(x, t, text, image))

    and of a transformer one of the first blocks, whose residuals are added after its blocks. The
    residuals are zero at first: training starts from the network. It is the control branch that is
    trained, `MatchingWeights(("control.*",))`; the network stays as it is.

    **Fields:**

    - `network`: the UNet or transformer.
    - `control`: the branch.
    """

    network: AbstractBackbone
    control: AbstractControlBranch

    def __call__(
        self, x: Latent, t: Time, condition: ControlCondition
    ) -> Float[Array, "height width out_channels"]:
        """See `AbstractBackbone`."""
        residuals = self.control(x, t, condition)
        return self.network.at(x, self.network.time(t), condition.text, residuals)

    def scaled(self, strength: float) -> "ControlNet":
        """The same network with residuals of `strength` times the size; 0 is the network alone."""
        # The last operation of the branch is linear, so that its weights scale the residuals.
        weights = jax.tree.map(lambda weight: strength * weight, self.control.outputs)
        return eqx.tree_at(lambda network: network.control.outputs, self, weights)


@dataclasses.dataclass(frozen=True)
class ControlNetConfig(AbstractNetworkWrap):
    """A UNet or transformer that is steered by an image: see `ControlNet`.

    **Raises** `ValueError` for a UNet without `hint_channels`, or with a number of `blocks`.
    """

    image_channels: int = 3
    """Channels of the control image."""
    hint_channels: tuple[int, ...] = HINT_CHANNELS
    """Channels of the hint encoder, which halves the control image between two of them. The control
    image has `2^(n-1)` times as many pixels a side as the latent has positions; one entry takes an
    image of the latent's size, such as a latent. Of a transformer there may be none: a latent is
    then embedded by patches, as in Stable Diffusion 3's ControlNets."""
    blocks: int | None = None
    """How many blocks of a transformer are copied, by default half of them. Of a UNet the encoder
    is."""

    def __post_init__(self) -> None:
        if isinstance(self.of.backbone, TransformerConfig):
            return
        if not self.hint_channels:
            raise ValueError(
                "hint_channels of a UNet has at least 1 entry, received none. Use (16,)."
            )
        if self.blocks is not None:
            raise ValueError(
                "A ControlNet of a UNet copies its encoder, and blocks are of transformers alone; "
                f"received blocks={self.blocks}. Leave it out."
            )

    @classmethod
    def for_pixels(
        cls, of: AbstractNetworkConfig, factor: int, blocks: int | None = None
    ) -> "ControlNetConfig":
        """The config for control images as large as the images.

        **Arguments:**

        - `of`: config of the network.
        - `factor`: of the VAE: how many pixels wide one position of the latent is.
        - `blocks`: see the field.
        """
        halvings = factor.bit_length() - 1
        channels = (*HINT_CHANNELS, *HINT_CHANNELS[-1:] * halvings)
        return cls(of, hint_channels=channels[: halvings + 1], blocks=blocks)

    @property
    def condition_type(self) -> type:
        return ControlCondition

    def build(self, *, key: Key) -> ControlNet:
        return self.around(self.of.build(key=key), key=key)

    def around(self, network: Network, *, key: Key) -> ControlNet:
        """A network that was built from `of`, for instance a trained one, with a new branch.

        **Raises** `ValueError` for a network that has a wrap, and for more `blocks` than it has.
        """
        sizes = self.image_channels, self.hint_channels
        if isinstance(network, WidthScaledUNet):
            return ControlNet(network, ControlBranch(network, *sizes, key=key))
        if isinstance(network, AbstractTransformer):
            branch = TransformerControlBranch(network, *sizes, blocks=self.blocks, key=key)
            return ControlNet(network, branch)
        raise ValueError(
            "A ControlNet is made of a WidthScaledUNet, WidthScaledDiT or MMDiT, received a "
            f"{type(network).__name__}. Start from a plain text-to-image model."
        )

    def guided(
        self, denoiser: AbstractDenoiser, guidance_scale: Scalar, **options: Any
    ) -> AbstractDenoiser:
        return NullTextGuidance(self.of.guided(denoiser, guidance_scale, **options))
