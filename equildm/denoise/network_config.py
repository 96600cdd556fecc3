"""What rebuilds a network, as plain values: the sizes of a backbone, and what is wrapped around it.

    GuidanceEmbeddingConfig(of=UNetConfig(width=64))

is a UNet that is conditioned on the guidance scale as well. A config builds the network, makes a
denoiser of it and guides that, so that nobody who samples has to ask what kind of model it is. To
add a kind, subclass `AbstractNetworkConfig` or `AbstractNetworkWrap`: run folders name the class.
"""

import abc
import dataclasses
from typing import Any

from .._types import Condition, Key, Network, TextEmbedding
from ..noise import AbstractPrediction, AbstractSchedule
from .denoiser import AbstractDenoiser
from .guidance import Guided, Scalar
from .precondition import Preconditioned


@dataclasses.dataclass(frozen=True)
class AbstractNetworkConfig(abc.ABC):
    """Builds a network and knows how it is sampled."""

    @abc.abstractmethod
    def build(self, *, key: Key) -> Network:
        """The network with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""

    @property
    @abc.abstractmethod
    def backbone(self) -> "AbstractNetworkConfig":
        """The innermost config, which has the sizes."""

    @property
    def multiple(self) -> int:
        """What the sides of a latent must divide by."""
        return 1

    @property
    def has_paper_size(self) -> bool:
        """Whether it is as large as the paper's networks, for which published rates are meant."""
        return True

    @property
    def condition_type(self) -> type:
        """What the network is conditioned on: a class of conditions."""
        return TextEmbedding

    def captioned(self, text: TextEmbedding, height: int, width: int) -> Condition:
        """What the network is conditioned on for captions, where these and the size of the image in
        pixels are all that is known.

        **Raises** `ValueError` for a network that has to know more.
        """
        if self.condition_type is not TextEmbedding:
            raise ValueError(
                "TextToImage samples models of captions, received a network that takes an "
                f"{self.condition_type.__name__}. Use the class for its task (Upscaler, Inpainter, "
                "ControlToImage), or TextToImage.generate with conditions of that kind."
            )
        return text

    @property
    def takes_null(self) -> bool:
        """Whether guidance leads away from a null condition, such as a negative prompt."""
        return True

    def denoiser(
        self,
        network: Network,
        schedule: AbstractSchedule,
        prediction: AbstractPrediction,
        compute: str | None = None,
    ) -> AbstractDenoiser:
        """The network as a denoiser. `compute` is the dtype of its arithmetic."""
        return Preconditioned(network, schedule, prediction, compute)

    def guided(
        self, denoiser: AbstractDenoiser, guidance_scale: Scalar, **options: Any
    ) -> AbstractDenoiser:
        """The denoiser with classifier-free guidance, conditioned on `(condition, null)`."""
        return Guided(denoiser, guidance_scale, **options)

    def branches(self, guidance_scale: float) -> int:
        """Evaluations of the network in one of the guided denoiser."""
        return 1 if guidance_scale in (0.0, 1.0) else 2


@dataclasses.dataclass(frozen=True)
class AbstractNetworkWrap(AbstractNetworkConfig):
    """A config around another one. That one does whatever a subclass does not override."""

    of: AbstractNetworkConfig
    """The network inside."""

    def build(self, *, key: Key) -> Network:
        return self.of.build(key=key)

    @property
    def backbone(self) -> AbstractNetworkConfig:
        return self.of.backbone

    @property
    def multiple(self) -> int:
        return self.of.multiple

    @property
    def has_paper_size(self) -> bool:
        return self.of.has_paper_size

    @property
    def condition_type(self) -> type:
        return self.of.condition_type

    @property
    def takes_null(self) -> bool:
        return self.of.takes_null

    def denoiser(
        self,
        network: Network,
        schedule: AbstractSchedule,
        prediction: AbstractPrediction,
        compute: str | None = None,
    ) -> AbstractDenoiser:
        return self.of.denoiser(network, schedule, prediction, compute)

    def guided(
        self, denoiser: AbstractDenoiser, guidance_scale: Scalar, **options: Any
    ) -> AbstractDenoiser:
        return self.of.guided(denoiser, guidance_scale, **options)

    def branches(self, guidance_scale: float) -> int:
        return self.of.branches(guidance_scale)
