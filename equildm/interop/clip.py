"""CLIP's text tower in the layouts of `transformers` and of OpenCLIP."""

from collections.abc import Iterable
from typing import Any

from ..text import CLIPConfig
from ..text.clip import ACTIVATIONS
from .config_fields import Fields, MAX_LAYERS, multiple, one_of, positive_float, positive_int
from .pairs import linear, norm, OUT_IN, Pair

CLIP_IGNORED = (
    "*position_ids",
    "text_projection.weight",
    "visual_projection.weight",
    "vision_model.*",
    "logit_scale",
)
"""Tensors of `transformers` beside a text tower: constants, projections, the image tower."""

OPENCLIP_IGNORED = ("text_projection", "logit_scale", "attn_mask", "visual.*")
"""The same in OpenCLIP."""


def clip_table(depth: int, prefix: str = "text_model.") -> list[Pair]:
    """`transformers.CLIPTextModel`'s tensors, for `depth` layers.

    Version 5 writes them without the prefix; versions 4 and 5 read both.
    """
    embeddings = f"{prefix}embeddings"
    return [
        Pair("words", f"{embeddings}.token_embedding.weight"),
        Pair("positions", f"{embeddings}.position_embedding.weight"),
        *(
            pair
            for i in range(depth)
            for pair in _layer(f"layers.{i}", f"{prefix}encoder.layers.{i}")
        ),
        *norm("norm", f"{prefix}final_layer_norm"),
    ]


def _layer(ours: str, theirs: str) -> Iterable[Pair]:
    yield from norm(f"{ours}.norm1", f"{theirs}.layer_norm1")
    for part, name in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "out")):
        yield from linear(f"{ours}.attention.to_{part}", f"{theirs}.self_attn.{name}_proj")
    yield from norm(f"{ours}.norm2", f"{theirs}.layer_norm2")
    yield from linear(f"{ours}.to_hidden", f"{theirs}.mlp.fc1")
    yield from linear(f"{ours}.to_out", f"{theirs}.mlp.fc2")


def openclip_table(depth: int) -> list[Pair]:
    """OpenCLIP's tensors, for `depth` layers.

    A single file of Stable Diffusion 2 has them after `cond_stage_model.model.`. Query, key and
    value are one tensor there.
    """
    return [
        Pair("words", "token_embedding.weight"),
        Pair("positions", "positional_embedding"),
        *(
            pair
            for i in range(depth)
            for pair in _openclip_layer(f"layers.{i}", f"transformer.resblocks.{i}")
        ),
        *norm("norm", "ln_final"),
    ]


def _openclip_layer(ours: str, theirs: str) -> Iterable[Pair]:
    yield from norm(f"{ours}.norm1", f"{theirs}.ln_1")
    for i, part in enumerate(("query", "key", "value")):
        projection = f"{ours}.attention.to_{part}"
        yield Pair(f"{projection}.weight", f"{theirs}.attn.in_proj_weight", OUT_IN, i, 3)
        yield Pair(f"{projection}.bias", f"{theirs}.attn.in_proj_bias", part=i, parts=3)
    yield from linear(f"{ours}.attention.to_out", f"{theirs}.attn.out_proj")
    yield from norm(f"{ours}.norm2", f"{theirs}.ln_2")
    yield from linear(f"{ours}.to_hidden", f"{theirs}.mlp.c_fc")
    yield from linear(f"{ours}.to_out", f"{theirs}.mlp.c_proj")


def clip_config(fields: Fields) -> CLIPConfig:
    """The sizes in a `config.json` of a `CLIPTextModel` or of a `CLIPModel`."""
    if fields.get("model_type") == "clip":
        fields = {**_DEFAULTS, **tower_fields(fields, "text")}
    return CLIPConfig(
        vocabulary=positive_int(fields, "vocab_size"),
        width=multiple(fields, "hidden_size", "num_attention_heads"),
        depth=positive_int(fields, "num_hidden_layers", most=MAX_LAYERS),
        heads=positive_int(fields, "num_attention_heads"),
        hidden=positive_int(fields, "intermediate_size"),
        longest=positive_int(fields, "max_position_embeddings"),
        activation=one_of(fields, "hidden_act", ACTIVATIONS),
        eps=positive_float(fields, "layer_norm_eps"),
    )


def tower_fields(fields: Fields, tower: str) -> Fields:
    """The fields of the `"text"` or `"vision"` tower in a `config.json` of a `CLIPModel`.

    Older files hold them twice. `transformers` then takes the `..._config_dict`.
    """
    return fields.get(f"{tower}_config_dict") or fields[f"{tower}_config"]


def clip_fields(config: CLIPConfig) -> dict[str, Any]:
    """The `config.json` of a `CLIPTextModel`: the inverse of `clip_config`."""
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.hidden or 4 * config.width,
        "max_position_embeddings": config.longest,
        "hidden_act": config.activation,
        "layer_norm_eps": config.eps,
    }


_DEFAULTS = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""Values of the fields that `transformers` leaves out of a `text_config`."""
