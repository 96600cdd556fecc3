"""A whole CLIP, image tower, text tower and projections, in the folders of `transformers`."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..features import CLIPImageConfig
from ..metrics import CLIP
from ..nn import Linear
from ..text import CLIPConfig, CLIPText, read_tokenizer
from ..text.clip import ACTIVATIONS
from .clip import _layer, clip_config, clip_table
from .config import read_config
from .fields import multiple, one_of, positive, whole
from .mapping import linear, norm, OIHW, Pair, read_weights
from .shards import open_weights, TRANSFORMERS


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
    dtype: Any = "float32",
) -> CLIP:
    """Reads a `CLIPModel`, for the CLIP score.

    **Arguments:**

    - `folder`: with `config.json` and safetensors, such as `openai/clip-vit-base-patch32`'s.
    - `tokenizer_folder`: with the tokenizer's files, by default `folder`.
    - `dtype`: of the arrays in memory.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    image, text = read_config(folder, "a whole CLIP", _configs)
    tokenizer = read_tokenizer(folder if tokenizer_folder is None else tokenizer_folder, "clip")
    if tokenizer.vocabulary > text.vocabulary:
        raise ValueError(
            f"The tokenizer has {tokenizer.vocabulary} tokens, the model in {folder} only "
            f"{text.vocabulary}. Give the tokenizer with which it was trained."
        )

    def build() -> CLIP:
        key = jax.random.key(0)
        tower = CLIPText(text.build(key=key), tokenizer, text.longest)
        projection = Linear(text.width, image.projection, bias=False, key=key)
        return CLIP(image.build(key=key), tower, projection, jnp.zeros(()))

    table = [
        *_within("image", clip_image_table(image.depth)),
        *_within("text.tower", clip_table(text.depth)),
        *linear("text_projection", "text_projection", bias=False),
        Pair("logit_scale", "logit_scale"),
    ]
    return read_weights(
        eqx.filter_eval_shape(build),
        table,
        open_weights(folder, TRANSFORMERS),
        dtype=dtype,
        ignored=("*position_ids",),
        source=folder,
    )


def _within(ours: str, table: Iterable[Pair]) -> Iterable[Pair]:
    return (pair._replace(ours=f"{ours}.{pair.ours}") for pair in table)


def _configs(written: Mapping[str, Any]) -> tuple[CLIPImageConfig, CLIPConfig]:
    if written.get("model_type") != "clip":
        raise ValueError(f"model_type is {written.get('model_type')!r}, not 'clip'")
    vision = _DEFAULTS | written["vision_config"]
    config = CLIPImageConfig(
        activation=ACTIVATIONS[one_of(vision, "hidden_act", ACTIVATIONS)],
        side=multiple(vision, "image_size", "patch_size"),
        patch=whole(vision, "patch_size"),
        width=multiple(vision, "hidden_size", "num_attention_heads"),
        depth=whole(vision, "num_hidden_layers"),
        heads=whole(vision, "num_attention_heads"),
        hidden=whole(vision, "intermediate_size"),
        projection=whole(written, "projection_dim", 512),
        eps=positive(vision, "layer_norm_eps"),
    )
    return config, clip_config(written)


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
"""What `transformers` leaves out of a `vision_config`."""
