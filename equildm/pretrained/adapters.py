"""Merging published low-rank adapters into a model."""

import dataclasses
import os

import equinox as eqx

from ..interop import read_lora
from ..interop.text_encoders import text_table
from ..interop.unet_table import unet_table
from ..nn import merge_lora
from ..pipeline import LatentDiffusion
from ..text import CLIPText
from .diffusers_folder import diffusers_network


def apply_lora(
    model: LatentDiffusion, path: str | os.PathLike[str], scale: float = 1.0
) -> LatentDiffusion:
    """The model with adapters merged into the weights of its UNet and of its text encoder.

    **Arguments:**

    - `model`: a Stable Diffusion, or another UNet that diffusers can hold.
    - `path`: a LoRA of diffusers, peft or kohya, see `read_lora`.
    - `scale`: strength of the adapters.

    **Raises** `ValueError` naming the file and the tensor that does not fit the model.
    """
    text_encoder = model.text_encoder
    tables = {"unet": unet_table(diffusers_network(model.config.network))}
    if isinstance(text_encoder, CLIPText):
        tables["text_encoder"] = text_table(text_encoder)[1]
    adapters = read_lora(path, tables)
    network = merge_lora(model.network, adapters.get("unet", {}), scale)
    if isinstance(text_encoder, CLIPText) and "text_encoder" in adapters:
        tower = merge_lora(text_encoder.tower, adapters["text_encoder"], scale)
        text_encoder = eqx.tree_at(lambda text: text.tower, text_encoder, tower)
    return dataclasses.replace(model, network=network, text_encoder=text_encoder)
