"""The trained copy of a UNet's encoder."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PyTree

from .._types import Key, Latent, Time
from ..nn import Conv, TimeEmbedding, zeroed
from ..runtime import copied
from .blocks import encode, Level, Module, UNetFeatures
from .control_branch import AbstractControlBranch, ControlCondition
from .control_hint import HintEncoder
from .unet import WidthScaledUNet


class ControlBranch(AbstractControlBranch):
    """The branch of a UNet: the residuals are added to its skips and to its middle's output.

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

        parts = (network.conv_in, network.time, network.down, network.middle)
        self.conv_in, self.time, self.down, self.middle = copied(parts)
        width = network.conv_in.weight.shape[-1]
        self.hint = HintEncoder(image_channels, width, hint_channels, key=key)
        shapes = eqx.filter_eval_shape(_features, network)
        self.skip_outputs = tuple(output(skip.shape[-1]) for skip in shapes.skips)
        self.middle_output = output(shapes.middle.shape[-1])

    def __call__(self, x: Latent, t: Time, condition: ControlCondition) -> UNetFeatures:
        """The residuals; arguments as of `ControlNet`."""
        time = self.time(t).astype(x.dtype)
        context = condition.text.tokens.astype(x.dtype)
        x0 = self.conv_in(x) + self.hint(condition.image, x)
        features = encode(x0, time, context, condition.text.mask, self.down, self.middle)
        pairs = zip(self.skip_outputs, features.skips, strict=True)
        skips = tuple(output(skip) for output, skip in pairs)
        return UNetFeatures(skips, self.middle_output(features.middle))

    @property
    def outputs(self) -> PyTree:
        """See `AbstractControlBranch`."""
        return self.skip_outputs, self.middle_output


def _features(network: WidthScaledUNet) -> UNetFeatures:
    """The features of some input: their channels are what matters."""
    side = 2 ** (len(network.down) - 1)
    x = network.conv_in(jnp.zeros((side, side, network.conv_in.weight.shape[2])))
    time, context = network.time(jnp.zeros(())), jnp.zeros((1, network.context_width))
    return encode(x, time, context, jnp.ones(1, bool), network.down, network.middle)
