"""What a network of latents offers to the wraps around it, whatever it is built of."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .._types import check_one, Latent, Network, TextEmbedding, Time
from ..nn import TimeEmbedding
from .network_config import AbstractNetworkConfig


class AbstractBackbone(eqx.Module):
    """A network that is conditioned on a time and a caption, and that wraps can be put around.

    Three things are enough for `GuidanceConditioned`, `SizeConditioned` and `Concatenated`: the
    embedding of the time, to which other numbers are added; the call with a time that is embedded
    already; and an input that can be widened.

    **Fields:**

    - `time`: embeds the time.
    - `context_width`: width of a caption's token embeddings.
    """

    time: eqx.AbstractVar[TimeEmbedding]
    context_width: eqx.AbstractVar[int]

    def __call__(
        self, x: Latent, t: Time, text: TextEmbedding
    ) -> Float[Array, "height width out_channels"]:
        """Predicts noise, velocity or clean latent, as it was trained to.

        **Arguments:**

        - `x`: the noisy latent `alpha x0 + sigma eps`, `(height, width, in_channels)`.
        - `t`: time, 0 (clean) to 999 (noise); may be fractional.
        - `text`: the caption's tokens, `(tokens, context_width)`, and their mask.

        **Returns:** an array `(height, width, out_channels)` in `x`'s dtype.
        """
        check_one(x, "latent")
        return self.at(x, self.time(t), text)

    @abc.abstractmethod
    def at(
        self,
        x: Latent,
        time: Float[Array, "time_width"],
        text: TextEmbedding,
        residuals: PyTree | None = None,
    ) -> Float[Array, "height width out_channels"]:
        """The same as the call, for a time that is already embedded.

        `residuals` of a `ControlNet` are added to the network's features. None adds nothing.
        """

    @abc.abstractmethod
    def widened(self, channels: int) -> "AbstractBackbone":
        """The same network with `channels` more input channels, whose weights are zero."""

    @property
    def time_features(self) -> int:
        """Width of the time's sinusoid, to which the embeddings of other numbers are added."""
        return self.time.hidden.weight.shape[0]

    @property
    def time_width(self) -> int:
        """Width of the embedded time."""
        return self.time.out.weight.shape[-1]


class AbstractBackboneConfig(AbstractNetworkConfig):
    """The sizes of an `AbstractBackbone`: the innermost config of a model of captions.

    A subclass is a frozen dataclass that has these fields among others.
    """

    width: int
    """Base number of channels, or width of a token."""
    in_channels: int
    """Channels of the latent."""
    out_channels: int
    """Channels of the prediction."""
    context_width: int
    """Width of the text encoder's tokens."""

    @property
    def backbone(self) -> "AbstractBackboneConfig":
        return self


def check_backbone(network: Network, what: str) -> AbstractBackbone:
    """The network, if a wrap can be put around it.

    **Raises** `ValueError` for another one; `what` says what the wrap does.
    """
    if not isinstance(network, AbstractBackbone):
        raise ValueError(
            f"{what} a plain network of captions, such as WidthScaledUNet or WidthScaledDiT, "
            f"received a {type(network).__name__}. Start from a text-to-image model that has no "
            "wrap yet."
        )
    return network
