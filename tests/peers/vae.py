"""diffusers' AutoencoderKL with given weights."""

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Moments of `image` and the picture of `latent`, both (height, width, channels).

    `config` is AutoencoderKL's; every other array is one of its tensors by name.
    """
    levels = len(config["block_out_channels"])
    vae = AutoencoderKL(
        **config,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
    )
    image, latent = (
        torch.from_numpy(arrays.pop(name)).permute(2, 0, 1)[None] for name in ("image", "latent")
    )
    vae.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    with torch.no_grad():
        posterior = vae.encode(image).latent_dist
        decoded = vae.decode(latent).sample
    channels_last = (0, 2, 3, 1)
    return {
        "mean": posterior.mean.permute(channels_last)[0],
        "log_variance": posterior.logvar.permute(channels_last)[0],
        "decoded": decoded.permute(channels_last)[0],
    }
