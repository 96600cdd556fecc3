"""CLIP with both towers and both projections, in the folders of `transformers`."""

import dataclasses
import math
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike

from .._types import Key
from ..features import CLIPImageConfig
from ..nn import Linear
from ..text import CLIP, CLIPConfig, CLIPText, PretrainedTokenizer
from ..text.clip import ACTIVATIONS
from .clip import _layer, clip_config, clip_table, tower_fields
from .config import check_fields, read_config
from .config_fields import (
    Fields,
    finite_float,
    MAX_LAYERS,
    multiple,
    one_of,
    positive_float,
    positive_int,
)
from .mapping import fill
from .pairs import linear, norm, OIHW, Pair
from .shards import open_weights, TRANSFORMERS
from .text_encoders import tokenizer_for


def clip_image_table(depth: int) -> list[Pair]:
    """The image half of `transformers.CLIPModel`, for `depth` layers."""
    theirs = "vision_model"
    return [
        Pair("class_token", f"{theirs}.embeddings.class_embedding"),
        Pair("patches.weight", f"{theirs}.embeddings.patch_embedding.weight", OIHW),
        Pair("positions", f"{theirs}.embeddings.position_embedding.weight"),
        *norm("norm_in", f"{theirs}.pre_layrnorm"),  # so spelt
        *(
            pair
            for i in range(depth)
            for pair in _layer(f"layers.{i}", f"{theirs}.encoder.layers.{i}")
        ),
        *norm("norm_out", f"{theirs}.post_layernorm"),
        *linear("projection", "visual_projection", bias=False),
    ]


def load_clip(
    folder: str | os.PathLike[str],
    tokenizer_folder: str | os.PathLike[str] | None = None,
    *,
    dtype: DTypeLike = "float32",
) -> CLIP:
    """Reads a `CLIPModel`, for the CLIP score.

    **Arguments:**

    - `folder`: with `config.json` and safetensors, such as `openai/clip-vit-base-patch32`'s. The
        mean and deviation of the colours are those of `preprocessor_config.json`, where it exists.
    - `tokenizer_folder`: with the tokenizer's files, by default `folder`.
    - `dtype`: of the arrays in memory.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    image, text = read_config(folder, "a CLIP with both towers", _configs)
    image = _with_colours(image, folder)
    tokenizer = tokenizer_for(text, tokenizer_folder or folder, "clip", folder)
    table = [
        *_within("image", clip_image_table(image.depth)),
        *_within("text.tower", clip_table(text.depth)),
        *linear("text_projection", "text_projection", bias=False),
        Pair("logit_scale", "logit_scale"),
    ]
    return fill(
        _CLIPConfig(image, text, tokenizer),
        table,
        open_weights(folder, TRANSFORMERS),
        dtype=dtype,
        ignored=("*position_ids",),
        source=folder,
    )


@dataclasses.dataclass(frozen=True)
class _CLIPConfig:
    """The sizes of both towers, and the tokenizer."""

    image: CLIPImageConfig
    text: CLIPConfig
    tokenizer: PretrainedTokenizer

    def build(self, *, key: Key) -> CLIP:
        tower = CLIPText(self.text.build(key=key), self.tokenizer, self.text.longest)
        projection = Linear(self.text.width, self.image.projection, bias=False, key=key)
        return CLIP(self.image.build(key=key), tower, projection, jnp.zeros(()))


def _within(ours: str, table: Iterable[Pair]) -> Iterable[Pair]:
    return (pair._replace(ours=f"{ours}.{pair.ours}") for pair in table)


def _configs(fields: Fields) -> tuple[CLIPImageConfig, CLIPConfig]:
    if fields.get("model_type") != "clip":
        raise ValueError(f"model_type is {fields.get('model_type')!r}, not 'clip'")
    vision = {**_DEFAULTS, **tower_fields(fields, "vision")}
    config = CLIPImageConfig(
        activation=ACTIVATIONS[one_of(vision, "hidden_act", ACTIVATIONS)],
        side=multiple(vision, "image_size", "patch_size"),
        patch=positive_int(vision, "patch_size"),
        width=multiple(vision, "hidden_size", "num_attention_heads"),
        depth=positive_int(vision, "num_hidden_layers", most=MAX_LAYERS),
        heads=positive_int(vision, "num_attention_heads"),
        hidden=positive_int(vision, "intermediate_size"),
        projection=positive_int(fields, "projection_dim", 512),
        eps=positive_float(vision, "layer_norm_eps"),
    )
    return config, clip_config(fields)


def _with_colours(config: CLIPImageConfig, folder: Path) -> CLIPImageConfig:
    """The tower's sizes with the colours of the folder's image processor, if it has one."""
    file = next((name for name in _PROCESSORS if (folder / name).is_file()), None)
    if file is None:
        return config
    parse = partial(_colours, config)
    return read_config(folder, "the image processor of a CLIP", parse, file=file)


_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""The names that `transformers` has given to the file. In the second the object is nested."""


def _colours(config: CLIPImageConfig, fields: Fields) -> CLIPImageConfig:
    fields = fields.get("image_processor", fields)
    steps = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
    check_fields(fields, {**dict.fromkeys(steps, True), "resample": 3})
    side = config.side
    sizes = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    for name, size in sizes.items():
        if fields.get(name, side) not in (side, size):
            raise ValueError(
                f"{name} is {fields[name]!r}, and only the tower's {side} is supported"
            )
    factor = finite_float(fields, "rescale_factor", 1 / 255)
    if not math.isclose(factor, 1 / 255, rel_tol=1e-6):
        raise ValueError(f"rescale_factor is {factor:g}, and only 1/255 is supported")
    return dataclasses.replace(
        config,
        mean=_rgb(fields, "image_mean", config.mean),
        deviation=_rgb(fields, "image_std", config.deviation),
    )


def _rgb(fields: Fields, name: str, default: tuple[float, float, float]) -> Any:
    values = fields.get(name, default)
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ValueError(f"{name} is {values!r}, not a number for each of red, green and blue")
    read = positive_float if name == "image_std" else finite_float
    return tuple(read({name: value}, name) for value in values)


_DEFAULTS = {
    "image_size": 224,
    "patch_size": 32,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""Values of the fields that `transformers` leaves out of a `vision_config`."""
