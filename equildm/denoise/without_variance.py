"""A network that predicts a variance beside the noise, of which the variance is left out."""

import dataclasses

import equinox as eqx
from jaxtyping import Array, Float

from .._types import Condition, Key, Latent, Network, TextEmbedding, Time
from .network_config import AbstractNetworkWrap


class WithoutVariance(eqx.Module):
    """The first half of a network's output channels.

    A network that learned the variance of its noise (Nichol & Dhariwal 2021, section 3.1), such as
    the public DiT and PixArt, predicts the noise in the first half of its channels and the variance
    in the second. The samplers of this library use the noise alone. The weights of the second half
    stay, so that they are saved again.
    """

    network: Network

    def __call__(
        self, x: Latent, t: Time, condition: Condition
    ) -> Float[Array, "height width channels"]:
        """See `AbstractBackbone`.

        **Raises** `ValueError` for a network without as many channels for the variance.
        """
        output = self.network(x, t, condition)
        channels = x.shape[-1]
        if output.shape != (*x.shape[:-1], 2 * channels):
            raise ValueError(
                "WithoutVariance takes a network whose output has twice the channels of its "
                f"latent, {(*x.shape[:-1], 2 * channels)}; received {output.shape}. Leave "
                "WithoutVariance out for a network that predicts no variance."
            )
        return output[..., :channels]


@dataclasses.dataclass(frozen=True)
class WithoutVarianceConfig(AbstractNetworkWrap):
    """A network of whose output the first half of the channels counts: see `WithoutVariance`."""

    def build(self, *, key: Key) -> WithoutVariance:
        return WithoutVariance(self.of.build(key=key))

    def captioned(self, text: TextEmbedding, height: int, width: int) -> Condition:
        return self.of.captioned(text, height, width)
