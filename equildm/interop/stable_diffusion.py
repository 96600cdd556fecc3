"""A whole Stable Diffusion: the folder of a pipeline as diffusers keeps it."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from ..denoise import EmbeddedGuidance, Guided, Preconditioned, UNetConfig
from ..latents import VAE, VAEConfig
from ..sample import TextToImage
from ..text import AbstractTextEncoder, CLIPText
from .autoencoder import autoencoder_table, load_vae, save_vae
from .config import read_config, write_config
from .fields import whole
from .mapping import Advance, Pair
from .scheduler import load_scheduler, save_scheduler, Scheduler
from .text_encoders import load_text_encoder, save_text_encoder, text_table
from .unet import load_unet, save_unet
from .unet_table import unet_table

INDEX = "model_index.json"


@dataclasses.dataclass(frozen=True)
class StableDiffusion:
    """The parts of a text-to-image pipeline, each with its sizes."""

    unet: Any
    """The network: a `WidthScaledUNet`, or a `GuidanceConditioned` one."""
    unet_config: UNetConfig
    vae: VAE
    vae_config: VAEConfig
    text: AbstractTextEncoder
    scheduler: Scheduler
    sample_size: int = 64
    """Side of the latents that it was trained on."""

    def text_to_image(
        self, height: int | None = None, width: int | None = None, *, compute: str | None = None
    ) -> TextToImage:
        """Captions to pictures.

        **Arguments:**

        - `height`, `width`: of the pictures in pixels, by default those it was trained on.
        - `compute`: dtype of the UNet's arithmetic, by default float32.
        """
        factor = self.vae_config.factor
        sides = tuple(side or self.sample_size * factor for side in (height, width))
        step = factor * 2 ** (len(self.unet_config.multipliers) - 1)
        if any(side < step or side % step for side in sides):
            raise ValueError(
                f"Pictures of this model have sides that are multiples of {step}, received "
                f"{sides[0]}x{sides[1]}."
            )
        if self.unet_config.in_channels != self.vae_config.latent_channels:
            raise ValueError(
                f"This UNet takes {self.unet_config.in_channels} channels and its VAE makes "
                f"{self.vae_config.latent_channels}: they belong to different models, or the UNet "
                "is conditioned on a picture, as those for inpainting are."
            )
        told = self.unet_config.guidance_width is not None
        schedule, prediction = self.scheduler.schedule, self.scheduler.prediction
        return TextToImage(
            Preconditioned(self.unet, schedule, prediction, compute),
            self.vae,
            self.text,
            (sides[0] // factor, sides[1] // factor, self.vae_config.latent_channels),
            EmbeddedGuidance if told else Guided,
        )


def load_stable_diffusion(
    folder: str | os.PathLike[str],
    *,
    dtype: Any = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> StableDiffusion:
    """Reads Stable Diffusion 1 or 2, or a model of that architecture at any width.

    **Arguments:**

    - `folder`: a pipeline as diffusers saves it: `model_index.json` and the folders `unet`, `vae`,
        `text_encoder`, `tokenizer`, `scheduler`. Other components are not looked at. The index
        may be missing, see `save_stable_diffusion`.
    - `dtype`: of the arrays in memory; `"stored"` keeps the files'.
    - `mesh`: where they go, each straight to its shards; by default on the first device.
    - `advance`: called with the bytes of each tensor.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    if (folder / INDEX).exists() or not (folder / "unet").is_dir():
        read_config(folder, "a pipeline of Stable Diffusion", _check_index, file=INDEX)
    options: dict[str, Any] = {"dtype": dtype, "mesh": mesh, "advance": advance}
    scheduler = load_scheduler(folder / "scheduler")
    text = load_text_encoder(folder / "text_encoder", folder / "tokenizer", **options)
    vae, vae_config = load_vae(folder / "vae", **options)
    unet, unet_config = load_unet(folder / "unet", **options)
    if text.width != unet_config.context_width:
        raise ValueError(
            f"{folder}: the UNet attends to captions of width {unet_config.context_width}, and "
            f"the text encoder gives {text.width}. They belong to different models."
        )

    size = read_config(folder / "unet", "a UNet of square latents", _sample_size)
    return StableDiffusion(unet, unet_config, vae, vae_config, text, scheduler, size)


def _sample_size(written: dict[str, Any]) -> int:
    return 64 if written.get("sample_size") is None else whole(written, "sample_size")


def save_stable_diffusion(
    folder: str | os.PathLike[str],
    model: StableDiffusion,
    *,
    dtype: Any = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `diffusers.StableDiffusionPipeline.from_pretrained` opens.

    That pipeline shows its UNet every token of a caption, the padding too. A text encoder whose
    padding is hidden (BERT, T5) can not be its: then the components are written, which their own
    classes open, and no `model_index.json`.

    **Arguments:**

    - `folder`: made if need be.
    - `model`: the parts.
    - `dtype`: of the floating tensors in the files, by default as in memory.
    - `advance`: called with the bytes of each tensor.
    """
    folder = Path(folder)
    options: dict[str, Any] = {"dtype": dtype, "advance": advance}
    save_unet(
        folder / "unet",
        model.unet,
        model.unet_config,
        sample_size=model.sample_size,
        **options,
    )
    save_vae(folder / "vae", model.vae, model.vae_config, **options)
    save_text_encoder(folder / "text_encoder", model.text, folder / "tokenizer", **options)
    save_scheduler(folder / "scheduler", model.scheduler)
    if isinstance(model.text, CLIPText) and model.text.padding:
        kind = "LatentConsistencyModelPipeline" if model.unet_config.guidance_width else _KINDS[0]
        write_config(folder, {"_class_name": kind} | _components(model.scheduler), file=INDEX)


_KINDS = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline")


def folder_tables(model: StableDiffusion) -> list[tuple[str, Any, list[Pair]]]:
    """Of each part: its folder, the module and the pairs of names."""
    text, pairs = text_table(model.text)
    return [
        ("unet", model.unet, unet_table(model.unet_config)),
        ("vae", model.vae, autoencoder_table(model.vae_config)),
        ("text_encoder", text, pairs),
    ]


def _check_index(written: dict[str, Any]) -> None:
    if written["_class_name"] not in _KINDS:
        raise ValueError(
            f"_class_name is {written['_class_name']!r}, and only {' and '.join(_KINDS)} are "
            "supported"
        )


def _components(scheduler: Scheduler) -> dict[str, Any]:
    return {
        "scheduler": ["diffusers", scheduler.kind],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
    }
