"""Text encoders with their tokenizers, in and out, in the folders of `transformers`."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jax.sharding import Mesh

from ..runtime import replacing
from ..text import (
    AbstractTextEncoder,
    AbstractTokenizer,
    CLIPText,
    MiniLM,
    PretrainedTokenizer,
    read_tokenizer,
    T5Text,
    TOKENIZER_FILES,
    TokenizerKind,
)
from .bert import bert_config, BERT_IGNORED, bert_table, written_bert_config
from .clip import clip_config, CLIP_IGNORED, clip_table, written_clip_config
from .config import read_config, write_config
from .mapping import Advance, fill, Pair, write_weights
from .shards import open_weights, save_weights, TRANSFORMERS
from .t5 import t5_config, T5_IGNORED, t5_table, written_t5_config

_ARCHITECTURES = {
    "CLIPTextModel": "clip_text_model",
    "CLIPTextModelWithProjection": "clip_text_model",
    "CLIPModel": "clip",
    "BertModel": "bert",
    "T5EncoderModel": "t5",
}
"""For a `config.json` that does not tell its `model_type`."""


def load_text_encoder(
    folder: str | os.PathLike[str],
    tokenizer_folder: str | os.PathLike[str] | None = None,
    *,
    length: int | None = None,
    skip: int = 0,
    dtype: Any = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> CLIPText | MiniLM | T5Text:
    """Reads a CLIP text tower, a BERT or the encoder of a T5, whichever `config.json` says.

    Of a whole CLIP or T5 model the other half is left out, as are poolers and projections.

    **Arguments:**

    - `folder`: with `config.json` and safetensors, one file or several with their index.
    - `tokenizer_folder`: with the tokenizer's files, by default `folder`.
    - `length`: tokens a caption is padded or cut to; by default the most that its model takes
        (CLIP 77, BERT 512, T5 what its tokenizer says or 512).
    - `skip`: last layers of a CLIP to leave out, see `CLIPTextTower`.
    - `dtype`: of the arrays in memory and so of the computation; `"stored"` keeps the file's.
    - `mesh`: where they go, each straight to its shards; by default on the first device.
    - `advance`: called with the bytes of each tensor.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    kind, config = read_config(folder, "a text encoder: CLIP, BERT or T5", _config)
    if skip and kind != "clip":
        raise ValueError(f"Layers are left out of a CLIP only, received skip={skip} for a {kind}.")
    tokenizer = read_tokenizer(folder if tokenizer_folder is None else tokenizer_folder, kind)
    if tokenizer.vocabulary > config.vocabulary:
        # An id beyond the table would silently become its last row.
        raise ValueError(
            f"The tokenizer has {tokenizer.vocabulary} tokens, the model in {folder} only "
            f"{config.vocabulary}. Give the tokenizer with which it was trained."
        )
    weights = open_weights(folder, TRANSFORMERS)
    if kind == "clip" and "embeddings.token_embedding.weight" in weights:
        config = dataclasses.replace(config, prefix="")
    table, ignored = _table(kind, config)
    network = fill(
        config,
        table,
        weights,
        mesh=mesh,
        dtype=dtype,
        ignored=ignored,
        source=folder,
        advance=advance,
    )
    if length is None:
        length = _most_tokens(None if kind == "t5" else config.longest, tokenizer)
    if kind == "clip":
        return CLIPText(network, tokenizer, length, skip=skip)
    return (T5Text if kind == "t5" else MiniLM)(network, tokenizer, length)


def _most_tokens(longest: int | None, tokenizer: PretrainedTokenizer) -> int:
    """The length of captions where none is asked for; `longest` is the network's limit."""
    limits = [limit for limit in (longest, tokenizer.longest) if limit is not None]
    return min(limits, default=512)


def _config(written: dict[str, Any]) -> tuple[TokenizerKind, Any]:
    """Which encoder, and its sizes."""
    first = (written.get("architectures") or [None])[0]
    model = written.get("model_type") or _ARCHITECTURES.get(first)
    if model in ("clip", "clip_text_model"):
        return "clip", clip_config(written)
    if model == "t5":
        return "t5", t5_config(written)
    if model == "bert":
        return "bert", bert_config(written)
    raise ValueError(
        f"model_type is {written.get('model_type')!r} and architectures "
        f"{written.get('architectures')!r}"
    )


def _table(kind: TokenizerKind, config: Any) -> tuple[list[Pair], tuple[str, ...]]:
    """The table, and which tensors have no place in it."""
    if kind == "clip":
        return clip_table(config.depth, config.prefix), CLIP_IGNORED
    if kind == "t5":
        return t5_table(config), T5_IGNORED
    return bert_table(config.depth), BERT_IGNORED


def save_text_encoder(
    folder: str | os.PathLike[str],
    encoder: AbstractTextEncoder,
    tokenizer_folder: str | os.PathLike[str] | None = None,
    *,
    dtype: Any = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `from_pretrained` of `transformers` opens and `load_text_encoder` reads.

    The last layers that a `CLIPText` skips are not written: there is no field to say so, and
    diffusers' folders of Stable Diffusion 2 leave them out too.

    **Arguments:**

    - `folder`: for `config.json` and the weights.
    - `encoder`: a `CLIPText`, `MiniLM` or `T5Text`.
    - `tokenizer_folder`: for the tokenizer's files, as they were read; by default `folder`.
    - `dtype`: of the tensors in the file, by default as in memory.
    - `advance`: called with the bytes of each tensor.
    """
    module, table, config, tokenizer = _parts(encoder)
    longest = config.get("max_position_embeddings")
    if not isinstance(tokenizer, PretrainedTokenizer):
        raise ValueError(
            "save_text_encoder writes the files of a PretrainedTokenizer, received a "
            f"{type(tokenizer).__name__}, which transformers does not know."
        )
    folder = Path(folder)
    weights = write_weights(module, table, dtype=dtype)
    config["torch_dtype"] = np.dtype(weights.specs[table[0].theirs].dtype).name
    config["pad_token_id"] = tokenizer.pad_id
    save_weights(folder, TRANSFORMERS, weights, advance=advance)
    write_config(folder, config)
    files = dict(tokenizer.files)
    if encoder.length < _most_tokens(longest, tokenizer):
        # Else whoever reads it fills captions up to what the network could take.
        settings = json.loads(files.get(_SETTINGS, b"{}")) | {"model_max_length": encoder.length}
        files[_SETTINGS] = f"{json.dumps(settings, indent=2)}\n".encode()
    _save_tokenizer(Path(tokenizer_folder or folder), files)


def _save_tokenizer(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(TOKENIZER_FILES) - set(files):
        (folder / name).unlink(missing_ok=True)  # of another tokenizer
    for name, content in files.items():
        with replacing(folder / name) as part:
            part.write_bytes(content)


_SETTINGS = "tokenizer_config.json"


def text_table(encoder: AbstractTextEncoder) -> tuple[eqx.Module, list[Pair]]:
    """What `save_text_encoder` writes of an encoder: the network and the pairs of names."""
    network, table, _, _ = _parts(encoder)
    return network, table


def _parts(
    encoder: AbstractTextEncoder,
) -> tuple[eqx.Module, list[Pair], dict[str, Any], AbstractTokenizer]:
    """The network, its table, its `config.json` and the tokenizer."""
    if isinstance(encoder, CLIPText):
        tower, tokenizer = encoder.tower, encoder.tokenizer
        kept = tower.layers[: len(tower.layers) - encoder.skip]
        tower = eqx.tree_at(lambda tower: tower.layers, tower, kept)
        opening, closing = tokenizer([""], 2).ids[0].tolist()
        config = written_clip_config(dataclasses.replace(tower.config, depth=len(kept)))
        config |= {"bos_token_id": opening, "eos_token_id": closing}
        return tower, clip_table(len(kept), tower.config.prefix), config, tokenizer
    if isinstance(encoder, MiniLM):
        bert = encoder.bert
        return bert, bert_table(len(bert.layers)), written_bert_config(bert), encoder.tokenizer
    if isinstance(encoder, T5Text):
        t5, tokenizer = encoder.t5, encoder.tokenizer
        config = written_t5_config(t5.config)
        config["eos_token_id"] = int(tokenizer([""], 1).ids[0, 0])
        return t5, t5_table(t5.config), config, tokenizer
    raise ValueError(
        "save_text_encoder writes a CLIPText, MiniLM or T5Text, received a "
        f"{type(encoder).__name__}."
    )
