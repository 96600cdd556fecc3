"""`diffusers.SD3Transformer2DModel`, the network of Stable Diffusion 3 and 3.5, in and out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike

from .._types import Network
from ..denoise import AbstractNetworkConfig, MMDiT, MMDiTConfig
from ..nn import SincosPositions
from .config import check_fields, read_config, write_config
from .config_fields import Fields, MAX_LAYERS, positive_int
from .mapping import Advance, fill, write_weights
from .mmdit_table import mmdit_table
from .saving import LazyTensors
from .shards import DIFFUSERS, open_weights, save_weights

SD3_CLASS = "SD3Transformer2DModel"
POSITIONS = "pos_embed.pos_embed"
"""A table that their files hold, and ours do not: it follows from the sizes."""
PATCHES = "pos_embed.proj.weight"
"""The weights whose dtype that table has."""


def load_mmdit(
    folder: str | os.PathLike[str],
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> tuple[MMDiT, MMDiTConfig]:
    """Reads the transformer of Stable Diffusion 3 or 3.5, of any width and depth.

    Its time is that of `RectifiedFlow`, from 0 to 999; the public class counts from 1 to 1000.

    **Arguments:** as of `load_unet`.

    **Returns:** the network and its sizes.

    **Raises** `ValueError` naming the file, and the field or tensor, that is not such a network's.
    """
    folder = Path(folder)
    config = read_config(folder, "Stable Diffusion 3's transformer", from_sd3)
    tensors = open_weights(folder, DIFFUSERS)
    _check_positions(config, tensors, folder)
    network = fill(
        config,
        mmdit_table(config),
        tensors,
        dtype=dtype,
        mesh=mesh,
        ignored=[POSITIONS],
        source=folder,
        advance=advance,
    )
    return network, config


def save_mmdit(
    folder: str | os.PathLike[str],
    network: Network,
    config: AbstractNetworkConfig,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `diffusers.SD3Transformer2DModel.from_pretrained` opens.

    **Arguments:** as of `save_unet`.

    **Raises** `ValueError` for a network that this class cannot hold.
    """
    fields = to_sd3(config)
    assert isinstance(config, MMDiTConfig), "to_sd3 has checked it"
    weights = write_weights(network, mmdit_table(config), dtype=dtype)
    positions = _positions(config)[None].astype(weights.specs[PATCHES].dtype)
    specs = {**weights.specs, POSITIONS: jax.ShapeDtypeStruct(positions.shape, positions.dtype)}
    tensors = LazyTensors(
        specs, lambda name: positions if name == POSITIONS else weights.make(name)
    )
    save_weights(folder, DIFFUSERS, tensors, advance=advance)
    write_config(folder, fields)


def from_sd3(fields: Fields) -> MMDiTConfig:
    """The sizes.

    **Raises** `ValueError` or `KeyError` at a field that the family does not have.
    """
    if "_class_name" not in fields:
        raise KeyError("_class_name")
    check_fields(fields, {"_class_name": SD3_CLASS})
    heads, patch = positive_int(fields, "num_attention_heads"), positive_int(fields, "patch_size")
    width = heads * positive_int(fields, "attention_head_dim")
    depth = positive_int(fields, "num_layers", most=MAX_LAYERS)
    check_fields(fields, {"caption_projection_dim": width})
    dual = list(fields.get("dual_attention_layers") or [])
    if dual != list(range(len(dual))) or len(dual) >= depth:
        raise ValueError(
            f"dual_attention_layers is {dual}, and only the first layers, without the last, are "
            "supported"
        )
    qk_norm = fields.get("qk_norm")
    if qk_norm not in (None, "rms_norm"):
        raise ValueError(f"qk_norm is {qk_norm!r}, and only None and 'rms_norm' are supported")
    in_channels = positive_int(fields, "in_channels")
    return MMDiTConfig(
        width=width,
        depth=depth,
        heads=heads,
        in_channels=in_channels,
        out_channels=positive_int(fields, "out_channels", in_channels),
        context_width=positive_int(fields, "joint_attention_dim"),
        pooled_width=positive_int(fields, "pooled_projection_dim"),
        patch=patch,
        qk_norm=qk_norm is not None,
        position_base=positive_int(fields, "sample_size") // patch,
        position_largest=positive_int(fields, "pos_embed_max_size", most=512),
        dual_depth=len(dual),
        time_offset=1.0,
    )


def to_sd3(network: AbstractNetworkConfig) -> dict[str, Any]:
    """The inverse of `from_sd3`. **Raises** `ValueError` for what the class cannot hold."""
    fits = (
        isinstance(network, MMDiTConfig)
        and network.feed_forward == "gelu"
        and network.positions == "sincos"
        and network.position_spacing == network.time_offset == 1
        and None not in (network.position_base, network.position_largest, network.pooled_width)
    )
    if not (isinstance(network, MMDiTConfig) and fits):
        raise ValueError(
            f"diffusers' {SD3_CLASS} holds an MMDiTConfig with GELU, a pooled_width, a "
            "time_offset of 1, and positions with a base and a largest side; received "
            f"{network}. Its weights are saved in this library's own layout only."
        )
    base = network.position_base or 0
    return {
        "_class_name": SD3_CLASS,
        "sample_size": base * network.patch,
        "patch_size": network.patch,
        "in_channels": network.in_channels,
        "out_channels": network.out_channels,
        "num_layers": network.depth,
        "attention_head_dim": network.width // network.heads,
        "num_attention_heads": network.heads,
        "joint_attention_dim": network.context_width,
        "caption_projection_dim": network.width,
        "pooled_projection_dim": network.pooled_width,
        "pos_embed_max_size": network.position_largest,
        "dual_attention_layers": list(range(network.dual_depth)),
        "qk_norm": "rms_norm" if network.qk_norm else None,
    }


def _positions(config: MMDiTConfig) -> np.ndarray:
    side = config.position_largest or 0
    positions = SincosPositions(config.width, config.position_base, 1.0, side)
    return positions(side, side)


def _check_positions(config: MMDiTConfig, tensors: Mapping[str, np.ndarray], folder: Path) -> None:
    if POSITIONS not in tensors:
        return
    stored, own = np.asarray(tensors[POSITIONS], np.float32), _positions(config)[None]
    if stored.shape != own.shape or np.abs(stored - own).max() > 0.01:
        raise ValueError(
            f"{folder}: tensor '{POSITIONS}' holds other positions than the sines and cosines of "
            "sample_size, patch_size and pos_embed_max_size, which are not supported."
        )
