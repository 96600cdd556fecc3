"""A whole Stable Diffusion in one safetensors file, in the names of the original code.

model.diffusion_model.*             the UNet
first_stage_model.*                 the VAE
cond_stage_model.transformer.*      CLIP, in Stable Diffusion 1
cond_stage_model.model.*            OpenCLIP, in Stable Diffusion 2
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from ..noise import Epsilon, Velocity
from ..text import CLIPText, read_tokenizer
from .clip import clip_table, OPENCLIP_IGNORED, openclip_table
from .compvis import compvis_autoencoder_table, compvis_unet_table
from .mapping import Advance, fill, Pair, write_weights
from .safetensors import LazyTensors, SafetensorsFile, save_safetensors
from .scheduler import Scheduler
from .sniff import sniff_clip, sniff_unet, sniff_vae
from .stable_diffusion import StableDiffusion

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPENCLIP = "cond_stage_model.transformer.text_model.", "cond_stage_model.model."
PARTS = (UNET, VAE, "cond_stage_model.")
IGNORED = ("model_ema.", "loss.")
"""Below these lie averages and losses of the training."""


def load_single_file(
    path: str | os.PathLike[str],
    tokenizer_folder: str | os.PathLike[str],
    *,
    prediction: Literal["epsilon", "v_prediction"] | None = None,
    heads: int | Sequence[int] | None = None,
    scale: float = 0.18215,
    dtype: Any = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> StableDiffusion:
    """Reads Stable Diffusion 1 or 2, or a model of that architecture at any width.

    Sizes are told by the shapes of the tensors. What no shape tells is asked for.

    **Arguments:**

    - `path`: the `.safetensors` file.
    - `tokenizer_folder`: CLIP's vocabulary and merges, which the file does not hold.
    - `prediction`: what the UNet predicts; by default noise where captions are up to 768 wide
        (Stable Diffusion 1) and velocity above (2; its `base` predicts noise: say so).
    - `heads`: of the UNet's attention, see `sniff_unet`.
    - `scale`: of the VAE's latents.
    - `dtype`, `mesh`, `advance`: see `load_unet`.

    **Raises** `ValueError` naming the file and the tensor that is missing, wrong or not known.
    """
    file = SafetensorsFile(path)
    shapes = file.shapes()
    _check_known(file.path, shapes)
    options: dict[str, Any] = {"dtype": dtype, "mesh": mesh, "advance": advance}
    try:
        unet_config = sniff_unet(_below(shapes, UNET), heads)
        vae_config = sniff_vae(_below(shapes, VAE), scale)
        open_clip = f"{OPENCLIP}token_embedding.weight" in shapes
        prefix = OPENCLIP if open_clip else CLIP
        clip_config = sniff_clip(_below(shapes, prefix), open_clip)
    except (LookupError, ValueError, ZeroDivisionError) as error:
        why = f"there is no tensor {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{file.path} must hold a Stable Diffusion in its original names, and does not: {why}."
        ) from error

    unet = fill(
        unet_config,
        compvis_unet_table(unet_config),
        Below(file, UNET),
        source=file.path,
        **options,
    )
    vae_table = compvis_autoencoder_table(vae_config)
    vae = fill(vae_config, vae_table, Below(file, VAE), source=file.path, **options)
    tower = fill(
        clip_config,
        openclip_table(clip_config.depth) if open_clip else clip_table(clip_config.depth, ""),
        Below(file, prefix),
        ignored=OPENCLIP_IGNORED if open_clip else ("*position_ids",),
        source=file.path,
        **options,
    )
    tokenizer = read_tokenizer(tokenizer_folder, "clip")
    # Stable Diffusion 2 reads the layer before the last, which its own file has all the same.
    text = CLIPText(tower, tokenizer, clip_config.longest, skip=1 if open_clip else 0)
    velocity = prediction == "v_prediction" if prediction else unet_config.context_width > 768
    return StableDiffusion(
        unet,
        unet_config,
        vae,
        vae_config,
        text,
        Scheduler(prediction=Velocity() if velocity else Epsilon()),
        sample_size=96 if velocity else 64,
    )


def save_single_file(
    path: str | os.PathLike[str],
    model: StableDiffusion,
    *,
    dtype: Any = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes one file in the original names, which diffusers' `from_single_file` opens.

    The text encoder must be a `CLIPText`: with `skip=1` it is written as OpenCLIP keeps one, as in
    Stable Diffusion 2, else as Stable Diffusion 1 keeps CLIP. The tokenizer has no place in it.
    """
    specs: dict[str, jax.ShapeDtypeStruct] = {}
    makers: dict[str, tuple[LazyTensors, str]] = {}
    for prefix, module, table in single_file_tables(model):
        tensors = write_weights(module, table, dtype=dtype)
        for name, spec in tensors.specs.items():
            specs[prefix + name] = spec
            makers[prefix + name] = tensors, name

    def make(name: str) -> np.ndarray:
        tensors, own = makers[name]
        return tensors[own]

    save_safetensors(path, LazyTensors(specs, make), advance=advance)


def single_file_tables(model: StableDiffusion) -> list[tuple[str, Any, list[Pair]]]:
    """Of each part: what its names start with, the module and the pairs of names after that."""
    if not isinstance(model.text, CLIPText):
        raise ValueError(
            "The original layout holds a CLIP text tower, received a "
            f"{type(model.text).__name__}. Save a folder: save_stable_diffusion."
        )
    depth = model.text.tower.config.depth
    open_clip = model.text.skip == 1
    return [
        (UNET, model.unet, compvis_unet_table(model.unet_config)),
        (VAE, model.vae, compvis_autoencoder_table(model.vae_config)),
        (
            OPENCLIP if open_clip else CLIP,
            model.text.tower,
            openclip_table(depth) if open_clip else clip_table(depth, ""),
        ),
    ]


class Below(Mapping[str, np.ndarray]):
    """The tensors whose names start with a prefix, by the rest of their names."""

    def __init__(self, tensors: Mapping[str, np.ndarray], prefix: str):
        """**Arguments:** the tensors and the prefix."""
        self._tensors, self._prefix = tensors, prefix

    def __getitem__(self, name: str) -> np.ndarray:
        return self._tensors[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._tensors if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _below(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, tuple[int, ...]]:
    start = len(prefix)
    return {name[start:]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def _check_known(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        schedule = "." not in name and len(shape) <= 1  # betas, alphas_cumprod, ...
        if not schedule and not name.startswith((*PARTS, *IGNORED)):
            raise ValueError(
                f"{path}: tensor '{name}' belongs to no part of a Stable Diffusion in its original "
                f"names, which start with {', '.join(PARTS)}."
            )
