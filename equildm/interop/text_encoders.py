"""Text encoders with their tokenizers, in and out, in the folders of `transformers`."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike

from ..runtime import replacing
from ..text import (
    AbstractTextEncoder,
    AbstractTokenizer,
    BertConfig,
    CLIPConfig,
    CLIPText,
    MiniLM,
    PretrainedTokenizer,
    read_tokenizer,
    T5Config,
    T5Text,
    TOKENIZER_FILES,
    TokenizerKind,
)
from .bert import (
    bert_config,
    bert_fields,
    BERT_IGNORED,
    BERT_PREFIX,
    bert_table,
    BERT_WORDS,
)
from .clip import clip_config, clip_fields, CLIP_IGNORED, clip_table
from .config import read_config, write_config
from .config_fields import Fields, flag
from .mapping import Advance, fill, write_weights
from .pairs import Pair
from .shards import Below, open_weights, save_weights, TRANSFORMERS
from .t5 import t5_config, t5_fields, T5_IGNORED, t5_table

_ARCHITECTURES = {
    "CLIPTextModel": "clip_text_model",
    "CLIPTextModelWithProjection": "clip_text_model",
    "CLIPModel": "clip",
    "BertModel": "bert",
    "T5EncoderModel": "t5",
}
"""For a `config.json` without a `model_type`."""

_MASKED = "mask_padding"
"""A field of our own in CLIP's `config.json`, present where the padding of captions is hidden."""

Config = CLIPConfig | BertConfig | T5Config


def load_text_encoder(
    folder: str | os.PathLike[str],
    tokenizer_folder: str | os.PathLike[str] | None = None,
    *,
    max_tokens: int | None = None,
    skip: int = 0,
    dtype: DTypeLike = "float32",
    mesh: Mesh | None = None,
    advance: Advance = lambda size: None,
) -> CLIPText | MiniLM | T5Text:
    """Reads a CLIP text tower, a BERT or the encoder of a T5, as `config.json` says.

    CLIP's image tower, T5's decoder, poolers and projections are left out.

    **Arguments:**

    - `folder`: with `config.json` and safetensors, one file or several with their index.
    - `tokenizer_folder`: with the tokenizer's files, by default `folder`.
    - `max_tokens`: tokens that a caption is padded or cut to; by default the most that the model
        takes (CLIP 77, BERT 512, T5 the number in its tokenizer's settings or 512).
    - `skip`: last layers of a CLIP to leave out, see `CLIPTextTower`.
    - `dtype`: of the arrays in memory and so of the computation; `"stored"` keeps the file's,
        `"mapped"` reads nothing yet, see `load_pretrained`.
    - `mesh`: where they go, each straight to its shards; by default on the first device.
    - `advance`: called with the bytes of each tensor.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    kind, config, masked = read_config(folder, "a text encoder: CLIP, BERT or T5", _config)
    if skip and kind != "clip":
        raise ValueError(f"Only a CLIP can skip layers, received skip={skip} for a {kind}. Use 0.")
    tokenizer = tokenizer_for(config, tokenizer_folder or folder, kind, folder)
    weights = open_weights(folder, TRANSFORMERS)
    if isinstance(config, CLIPConfig) and "embeddings.token_embedding.weight" in weights:
        config = dataclasses.replace(config, prefix="")
    if kind == "bert" and BERT_PREFIX + BERT_WORDS in weights:
        weights = Below(weights, BERT_PREFIX)  # beside the heads of other tasks
    longest = None if isinstance(config, T5Config) else config.longest
    max_tokens = _most_tokens(longest, tokenizer) if max_tokens is None else max_tokens
    table, ignored = _table(config)
    network: Any = fill(
        config,
        table,
        weights,
        mesh=mesh,
        dtype=dtype,
        ignored=ignored,
        source=folder,
        advance=advance,
    )
    if kind == "clip":
        return CLIPText(network, tokenizer, max_tokens, skip=skip, padding=not masked)
    return (T5Text if kind == "t5" else MiniLM)(network, tokenizer, max_tokens)


def tokenizer_for(
    config: Config, folder: str | os.PathLike[str], kind: TokenizerKind, source: object
) -> PretrainedTokenizer:
    """The tokenizer in a folder, see `read_tokenizer`, for the network that `source` holds.

    **Raises** `ValueError` also for one with more tokens than the network has.
    """
    tokenizer = read_tokenizer(folder, kind)
    if tokenizer.vocabulary > config.vocabulary:
        # An id beyond the table would silently become its last row.
        raise ValueError(
            f"The tokenizer has {tokenizer.vocabulary} tokens, the model in {source} only "
            f"{config.vocabulary}. Give the tokenizer with which it was trained."
        )
    return tokenizer


def _most_tokens(longest: int | None, tokenizer: PretrainedTokenizer) -> int:
    """The default number of tokens of a caption; `longest` is the network's limit."""
    limits = [limit for limit in (longest, tokenizer.longest) if limit is not None]
    return min(limits, default=512)


def _config(fields: Fields) -> tuple[TokenizerKind, Config, bool]:
    """The kind of encoder, its sizes, and whether it hides the padding of captions."""
    first = (fields.get("architectures") or [None])[0]
    model = fields.get("model_type") or _ARCHITECTURES.get(first)
    if model in ("clip", "clip_text_model"):
        return "clip", clip_config(fields), flag(fields, _MASKED)
    if model == "t5":
        return "t5", t5_config(fields), True
    if model == "bert":
        return "bert", bert_config(fields), True
    raise ValueError(
        f"model_type is {fields.get('model_type')!r} and architectures "
        f"{fields.get('architectures')!r}"
    )


def _table(config: Config) -> tuple[list[Pair], tuple[str, ...]]:
    """The table, and patterns of the tensors to ignore."""
    if isinstance(config, CLIPConfig):
        return clip_table(config.depth, config.prefix), CLIP_IGNORED
    if isinstance(config, T5Config):
        return t5_table(config), T5_IGNORED
    return bert_table(config.depth), BERT_IGNORED


def save_text_encoder(
    folder: str | os.PathLike[str],
    encoder: AbstractTextEncoder,
    tokenizer_folder: str | os.PathLike[str] | None = None,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes a folder that `from_pretrained` of `transformers` opens and `load_text_encoder` reads.

    Layers that a `CLIPText` skips are left out, as in diffusers' folders of Stable Diffusion 2:
    `transformers` has no field for the number of skipped layers.

    **Arguments:**

    - `folder`: for `config.json` and the weights.
    - `encoder`: a `CLIPText`, `MiniLM` or `T5Text`.
    - `tokenizer_folder`: for the tokenizer's files, unchanged; by default `folder`.
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
    is_default = encoder.max_tokens == _most_tokens(longest, tokenizer)
    tokens = None if is_default else encoder.max_tokens
    save_tokenizer(Path(tokenizer_folder or folder), tokenizer, tokens)


def save_tokenizer(
    folder: Path, tokenizer: PretrainedTokenizer, max_tokens: int | None = None
) -> None:
    """Writes a tokenizer's files, unchanged but for the number of tokens, where that is given."""
    files: dict[str, bytes] = dict(tokenizer.files)
    if max_tokens is not None:
        # Without this setting, readers pad captions to another length.
        settings = json.loads(files.get(_SETTINGS, b"{}")) | {"model_max_length": max_tokens}
        files[_SETTINGS] = f"{json.dumps(settings, indent=2)}\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(TOKENIZER_FILES) - set(files):
        (folder / name).unlink(missing_ok=True)  # of another tokenizer
    for name, content in files.items():
        with replacing(folder / name) as part:
            part.write_bytes(content)


_SETTINGS = "tokenizer_config.json"


def text_table(encoder: AbstractTextEncoder) -> tuple[eqx.Module, list[Pair]]:
    """The network that `save_text_encoder` writes, and the pairs of names."""
    network, table, _, _ = _parts(encoder)
    return network, table


def _parts(
    encoder: AbstractTextEncoder,
) -> tuple[eqx.Module, list[Pair], dict[str, Any], AbstractTokenizer]:
    """The network, its table, its `config.json` and the tokenizer."""
    if isinstance(encoder, CLIPText):
        tower, tokenizer = encoder.tower, encoder.tokenizer
        layers = tower.layers[: len(tower.layers) - encoder.skip]
        tower = eqx.tree_at(lambda tower: tower.layers, tower, layers)
        opening, closing = tokenizer([""], 2).ids[0].tolist()
        config = clip_fields(dataclasses.replace(tower.config, depth=len(layers)))
        config |= {"bos_token_id": opening, "eos_token_id": closing}
        if not encoder.padding:
            config[_MASKED] = True
        return tower, clip_table(len(layers), tower.config.prefix), config, tokenizer
    if isinstance(encoder, MiniLM):
        bert = encoder.bert
        return bert, bert_table(len(bert.layers)), bert_fields(bert), encoder.tokenizer
    if isinstance(encoder, T5Text):
        t5, tokenizer = encoder.t5, encoder.tokenizer
        config = t5_fields(t5.config)
        config["eos_token_id"] = int(tokenizer([""], 1).ids[0, 0])
        return t5, t5_table(t5.config), config, tokenizer
    raise ValueError(
        "save_text_encoder writes a CLIPText, MiniLM or T5Text, received a "
        f"{type(encoder).__name__}."
    )
