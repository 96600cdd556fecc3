"""T5's encoder as `transformers` names it."""

from collections.abc import Iterable
from typing import Any

from ..text import T5Config
from ..text.t5 import FEED_FORWARDS
from .config import check_fields
from .config_fields import Fields, MAX_LAYERS, one_of, positive_float, positive_int
from .pairs import linear, Pair

T5_IGNORED = ("encoder.embed_tokens.weight", "decoder.*", "lm_head.weight")
"""Tensors beside the encoder: a second copy of the token embeddings, and the decoder."""


def t5_table(config: T5Config) -> list[Pair]:
    """`transformers.T5EncoderModel`'s tensors."""
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    gated = config.feed_forward != "relu"
    return [
        Pair("words", "shared.weight"),
        Pair("bias", bias),
        *(pair for i in range(config.depth) for pair in _layer(i, gated)),
        Pair("norm.weight", "encoder.final_layer_norm.weight"),
    ]


def _layer(i: int, gated: bool) -> Iterable[Pair]:
    ours, theirs = f"layers.{i}", f"encoder.block.{i}.layer"
    yield Pair(f"{ours}.norm1.weight", f"{theirs}.0.layer_norm.weight")
    for part, name in (("query", "q"), ("key", "k"), ("value", "v"), ("out", "o")):
        yield from linear(f"{ours}.to_{part}", f"{theirs}.0.SelfAttention.{name}", bias=False)
    yield Pair(f"{ours}.norm2.weight", f"{theirs}.1.layer_norm.weight")
    inner = {"to_gate": "wi_0", "to_hidden": "wi_1"} if gated else {"to_hidden": "wi"}
    for part, name in {**inner, "to_out": "wo"}.items():
        dense = f"{theirs}.1.DenseReluDense.{name}"
        yield from linear(f"{ours}.feed_forward.{part}", dense, bias=False)


def t5_config(fields: Fields) -> T5Config:
    """The sizes in a `config.json` of T5."""
    # The oldest files have no such field: relu was the only choice.
    feed_forward = one_of(fields, "feed_forward_proj", FEED_FORWARDS, "relu")
    gated = feed_forward == "gated-gelu"
    check_fields(fields, {"dense_act_fn": "gelu_new" if gated else "relu", "is_gated_act": gated})
    return T5Config(
        vocabulary=positive_int(fields, "vocab_size"),
        width=positive_int(fields, "d_model"),
        depth=positive_int(fields, "num_layers", most=MAX_LAYERS),
        heads=positive_int(fields, "num_heads"),
        head_width=positive_int(fields, "d_kv"),
        hidden=positive_int(fields, "d_ff"),
        feed_forward=feed_forward,
        buckets=positive_int(fields, "relative_attention_num_buckets"),
        distance=positive_int(fields, "relative_attention_max_distance", 128),
        eps=positive_float(fields, "layer_norm_epsilon"),
    )


def t5_fields(config: T5Config) -> dict[str, Any]:
    """The `config.json` of a `T5EncoderModel`: the inverse of `t5_config`."""
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "vocab_size": config.vocabulary,
        "d_model": config.width,
        "num_layers": config.depth,
        "num_heads": config.heads,
        "d_kv": config.head_width,
        "d_ff": config.hidden,
        "feed_forward_proj": config.feed_forward,
        "relative_attention_num_buckets": config.buckets,
        "relative_attention_max_distance": config.distance,
        "layer_norm_epsilon": config.eps,
        "is_encoder_decoder": False,
    }
