"""T5's encoder as `transformers` names it."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..text import T5Config
from ..text.t5 import FEED_FORWARDS
from .fields import DEEPEST, one_of, positive, whole
from .mapping import linear, Pair

T5_IGNORED = ("encoder.embed_tokens.weight", "decoder.*", "lm_head.weight")
"""Tensors beside the encoder: a second name of the words, the decoder."""


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


def t5_config(written: Mapping[str, Any]) -> T5Config:
    """The sizes that a `config.json` of T5 tells."""
    return T5Config(
        vocabulary=whole(written, "vocab_size"),
        width=whole(written, "d_model"),
        depth=whole(written, "num_layers", most=DEEPEST),
        heads=whole(written, "num_heads"),
        head_width=whole(written, "d_kv"),
        hidden=whole(written, "d_ff"),
        # The oldest files leave out what was the only choice then.
        feed_forward=one_of(written, "feed_forward_proj", FEED_FORWARDS, "relu"),
        buckets=whole(written, "relative_attention_num_buckets"),
        distance=whole(written, "relative_attention_max_distance", 128),
        eps=positive(written, "layer_norm_epsilon"),
    )


def written_t5_config(config: T5Config) -> dict[str, Any]:
    """The `config.json` of a `T5EncoderModel`."""
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
