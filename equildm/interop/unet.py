"""`diffusers.UNet2DConditionModel` of Stable Diffusion's kind, in and out."""

import os
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from jax.typing import DTypeLike

from .._types import Network
from ..denoise import AbstractNetworkConfig, GuidanceEmbeddingConfig, UNetConfig
from .config import read_config, write_config
from .mapping import Advance, fill, write_weights
from .shards import DIFFUSERS, open_weights, save_weights
from .unet_config import from_diffusers, to_diffusers
from .unet_table import unet_table


def load_unet(
    folder: str | os.PathLike[str],
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> tuple[Network, UNetConfig | GuidanceEmbeddingConfig]:
    """Reads a UNet of Stable Diffusion 1 or 2, of any width, with or without embedded guidance.

    **Arguments:**

    - `folder`: with `config.json` and safetensors, one file or several with their index.
    - `dtype`: of the arrays in memory; `"stored"` keeps the file's, `"mapped"` reads nothing yet,
        see `load_pretrained`.
    - `mesh`: where they go, each straight to its shards; by default on the first device.
    - `advance`: called with the bytes of each tensor.

    **Returns:** the network (a `WidthScaledUNet` or a `GuidanceConditioned` one) and its sizes.

    **Raises** `ValueError` naming the file, and the field or tensor, that is not such a UNet's.
    """
    folder = Path(folder)
    config = read_config(folder, "Stable Diffusion's UNet", from_diffusers)
    network: Any = fill(
        config,
        unet_table(config),
        open_weights(folder, DIFFUSERS),
        dtype=dtype,
        mesh=mesh,
        source=folder,
        advance=advance,
    )
    return network, config


def save_unet(
    folder: str | os.PathLike[str],
    network: Network,
    config: AbstractNetworkConfig,
    *,
    sample_size: int | None = None,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `diffusers.UNet2DConditionModel.from_pretrained` opens.

    **Arguments:**

    - `folder`: created where it does not exist.
    - `network`, `config`: as `load_unet` returns them, or `config.build` makes the network.
    - `sample_size`: side of the latents that it was trained on, which their pipelines read.
    - `dtype`: of the floating tensors in the file, by default as in memory.
    - `advance`: called with the bytes of each tensor.
    """
    table = unet_table(config)
    save_weights(folder, DIFFUSERS, write_weights(network, table, dtype=dtype), advance=advance)
    write_config(folder, {**to_diffusers(config), "sample_size": sample_size})
