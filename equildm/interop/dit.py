"""DiT and PixArt, as diffusers saves their transformers, in and out."""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike

from .._types import Network
from ..denoise import AbstractNetworkConfig, ResolutionConditioned, WidthScaledDiT
from .config import read_config, write_config
from .dit_fields import dit_sizes, from_dit, is_of_classes, PublicDiT, to_dit
from .dit_table import class_dit_table, pixart_table, told_pixart_table
from .mapping import Advance, fill, write_weights
from .pairs import Pair
from .saving import LazyTensors
from .shards import DIFFUSERS, open_weights, save_weights

FIRST = "transformer_blocks.0.norm1.emb."
COPIES = "transformer_blocks.*.norm1.emb.*"
"""The embeddings of time and class, of which each block of diffusers' DiT has a copy."""


def load_dit(
    folder: str | os.PathLike[str],
    *,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> tuple[WidthScaledDiT | ResolutionConditioned, PublicDiT]:
    """Reads the transformer of DiT or of PixArt, of any width and depth.

    A DiT is conditioned on a class: on a one-hot `TextEmbedding.pooled`, whose last entry means no
    class. Where the network predicts a variance as well, its output has twice the channels: see
    `WithoutVariance`.

    **Arguments:** as of `load_unet`.

    **Returns:** the network (a `WidthScaledDiT`, or a `ResolutionConditioned` one for a PixArt that
    is told resolution and aspect ratio) and its sizes.

    **Raises** `ValueError` naming the file, and the field or tensor, that is not such a network's.
    """
    folder = Path(folder)
    config = read_config(folder, "the transformer of DiT or PixArt", from_dit)
    tensors = open_weights(folder, DIFFUSERS)
    _check_copies(tensors, folder)
    network: Any = fill(
        config,
        dit_table(config),
        tensors,
        dtype=dtype,
        mesh=mesh,
        ignored=[COPIES],
        source=folder,
        advance=advance,
    )
    return network, config


def save_dit(
    folder: str | os.PathLike[str],
    network: Network,
    config: AbstractNetworkConfig,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that diffusers' `PixArtTransformer2DModel` or `DiTTransformer2DModel` opens.

    **Arguments:** as of `save_unet`.

    **Raises** `ValueError` for a network that neither class can hold.
    """
    fields = to_dit(config)
    assert isinstance(config, PublicDiT), "to_dit has checked it"
    weights = write_weights(network, dit_table(config), dtype=dtype)
    first = [name for name in weights.specs if name.startswith(FIRST)]
    copies = {
        name.replace(".0.", f".{block}.", 1): name
        for block in range(1, dit_sizes(config).depth)
        for name in first
    }
    specs = {**weights.specs, **{name: weights.specs[first] for name, first in copies.items()}}
    tensors = LazyTensors(specs, lambda name: weights.make(copies.get(name, name)))
    save_weights(folder, DIFFUSERS, tensors, advance=advance)
    write_config(folder, fields)


def dit_table(config: PublicDiT) -> list[Pair]:
    """The tensors of the class of diffusers that holds this config."""
    sizes = dit_sizes(config)
    if sizes is not config:
        return told_pixart_table(sizes)
    return class_dit_table(sizes) if is_of_classes(sizes) else pixart_table(sizes)


def _check_copies(tensors: Mapping[str, np.ndarray], folder: Path) -> None:
    for name in tensors:
        if fnmatchcase(name, COPIES) and not name.startswith(FIRST):
            first = FIRST + name.split(".emb.", 1)[1]
            if first in tensors and not np.array_equal(tensors[name], tensors[first]):
                raise ValueError(
                    f"{folder}: tensor '{name}' differs from '{first}', and only a DiT whose "
                    "blocks share the embeddings of time and class is supported."
                )
