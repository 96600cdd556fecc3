"""A model of super-resolution, as a config, and made of a text-to-image model."""

import dataclasses

from ..denoise import AbstractNetworkWrap, ConcatConfig, widen_input
from .model import LatentDiffusion


@dataclasses.dataclass(frozen=True)
class UpscalerConfig(AbstractNetworkWrap):
    """A network that was trained for super-resolution, around its `ConcatConfig`."""

    scale: int = 4
    """Factor by which images are enlarged."""
    augmentation: float = 0.1
    """Share of the schedule up to which small images were noised in training."""

    def __post_init__(self) -> None:
        if self.scale < 2:
            raise ValueError(
                f"Images are enlarged by a whole factor of at least 2, received {self.scale}."
            )
        if not 0.0 <= self.augmentation < 1.0:
            raise ValueError(
                "Noise augmentation is a share of the schedule in [0, 1), received "
                f"{self.augmentation}. Use 0 for none."
            )


def new_upscaler(
    model: LatentDiffusion, *, scale: int = 4, augmentation: float = 0.1
) -> LatentDiffusion:
    """A text-to-image model with room for a small image's latent beside the noisy one.

    The new weights are zero: before its training, the upscaler is the text-to-image model, and
    ignores the small image.

    **Arguments:**

    - `model`: a plain UNet with its VAE and text encoder, see `open_start`.
    - `scale`, `augmentation`: see `UpscalerConfig`.
    """
    channels = model.config.latent_shape[2]
    network = UpscalerConfig(
        ConcatConfig(model.config.network, channels), scale=scale, augmentation=augmentation
    )
    config = dataclasses.replace(
        model.config, network=network, sampling_steps=20, guidance_scale=1.0
    )
    widened = widen_input(model.network, channels)
    return dataclasses.replace(model, network=widened, config=config)
