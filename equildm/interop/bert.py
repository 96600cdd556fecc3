"""BERT as `transformers` names it."""

from collections.abc import Iterable
from typing import Any

from ..text import Bert, BertConfig
from .config import check_fields
from .config_fields import Fields, MAX_LAYERS, multiple, positive_float, positive_int
from .pairs import linear, norm, Pair

BERT_IGNORED = ("embeddings.position_ids", "pooler.*")
"""Tensors beside the encoder: the position numbers 0 .. 511 and the pooler of another task."""

BERT_PREFIX, BERT_WORDS = "bert.", "embeddings.word_embeddings.weight"
"""In files of a `BertFor...`, the encoder's names begin so, and other names are of its head."""

_FIXED = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "is_decoder": False,
    "add_cross_attention": False,
}
"""Fields that are the same for every `Bert`."""


def bert_table(depth: int) -> list[Pair]:
    """`transformers.BertModel`'s tensors, for `depth` layers."""
    return [
        Pair("words", BERT_WORDS),
        Pair("positions", "embeddings.position_embeddings.weight"),
        Pair("segments", "embeddings.token_type_embeddings.weight"),
        *norm("norm", "embeddings.LayerNorm"),
        *(pair for i in range(depth) for pair in _layer(f"layers.{i}", f"encoder.layer.{i}")),
    ]


def _layer(ours: str, theirs: str) -> Iterable[Pair]:
    yield from linear(f"{ours}.attention.to_query", f"{theirs}.attention.self.query")
    yield from linear(f"{ours}.attention.to_key", f"{theirs}.attention.self.key")
    yield from linear(f"{ours}.attention.to_value", f"{theirs}.attention.self.value")
    yield from linear(f"{ours}.attention.to_out", f"{theirs}.attention.output.dense")
    yield from norm(f"{ours}.norm1", f"{theirs}.attention.output.LayerNorm")
    yield from linear(f"{ours}.to_hidden", f"{theirs}.intermediate.dense")
    yield from linear(f"{ours}.to_out", f"{theirs}.output.dense")
    yield from norm(f"{ours}.norm2", f"{theirs}.output.LayerNorm")


def bert_config(fields: Fields) -> BertConfig:
    """The sizes in a `config.json`, checked to be of such a network."""
    check_fields(fields, _FIXED)
    return BertConfig(
        vocabulary=positive_int(fields, "vocab_size"),
        width=multiple(fields, "hidden_size", "num_attention_heads"),
        depth=positive_int(fields, "num_hidden_layers", most=MAX_LAYERS),
        heads=positive_int(fields, "num_attention_heads"),
        hidden=positive_int(fields, "intermediate_size"),
        longest=positive_int(fields, "max_position_embeddings"),
        eps=positive_float(fields, "layer_norm_eps"),
    )


def bert_fields(bert: Bert) -> dict[str, Any]:
    """The `config.json` of a `BertModel`: the inverse of `bert_config`."""
    vocabulary, width = bert.words.shape
    layer = bert.layers[0]
    return {
        **_FIXED,
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": len(bert.layers),
        "num_attention_heads": layer.attention.heads,
        "intermediate_size": layer.to_hidden.weight.shape[1],
        "max_position_embeddings": bert.positions.shape[0],
        "layer_norm_eps": bert.norm.eps,
    }
