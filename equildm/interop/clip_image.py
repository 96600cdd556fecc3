"""CLIP with both towers and both projections, in the folders of `transformers`."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import jax.numpy as jnp
from jax.typing import DTypeLike

from .._types import Key
from ..features import CLIPImageConfig
from ..nn import Linear
from ..text import CLIP, CLIPConfig, CLIPText, PretrainedTokenizer
from ..text.clip import ACTIVATIONS
from .clip import _layer, clip_config, clip_table
from .config import read_config
from .config_fields import Fields, MAX_LAYERS, multiple, one_of, positive_float, positive_int
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

    - `folder`: with `config.json` and safetensors, such as `openai/clip-vit-base-patch32`'s.
    - `tokenizer_folder`: with the tokenizer's files, by default `folder`.
    - `dtype`: of the arrays in memory.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    image, text = read_config(folder, "a CLIP with both towers", _configs)
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
    vision = _DEFAULTS | fields["vision_config"]
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
