"""The text encoders of Stable Diffusion 3 in a folder of diffusers, in and out.

text_encoder/, text_encoder_2/    CLIPs with a projection        text_encoder_3/    T5
tokenizer/, tokenizer_2/, tokenizer_3/
"""

import dataclasses
import os
from pathlib import Path

from jax.typing import DTypeLike
from jaxtyping import PyTree

from ..text import (
    AbstractTokenizer,
    CLIPConfig,
    PretrainedTokenizer,
    ProjectedCLIP,
    ProjectedCLIPConfig,
    SD3Text,
    T5Text,
)
from .clip import clip_config, clip_fields, CLIP_IGNORED, clip_table
from .config import read_config, write_config
from .config_fields import Fields, positive_int
from .mapping import Advance, fill, write_weights
from .pairs import linear, Pair
from .shards import open_weights, save_weights, TRANSFORMERS
from .t5 import t5_table
from .text_encoders import load_text_encoder, save_text_encoder, save_tokenizer, tokenizer_for

_NAMES = ("text_encoder", "text_encoder_2", "text_encoder_3")
_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")
_IGNORED = tuple(pattern for pattern in CLIP_IGNORED if pattern != "text_projection.weight")


def load_sd3_text(
    folder: str | os.PathLike[str],
    *,
    max_tokens: int = 77,
    t5_tokens: int | None = None,
    dtype: DTypeLike = "float32",
    advance: Advance = lambda size: None,
) -> SD3Text:
    """Reads all three encoders with their tokenizers.

    **Arguments:**

    - `folder`: the pipeline's.
    - `max_tokens`, `t5_tokens`: see `SD3Text`; by default T5 reads the number in its tokenizer's
        settings, and 256 at most, as in the public pipeline.
    - `dtype`, `advance`: as of `load_text_encoder`.

    **Raises** `ValueError` naming the file, and the field or tensor, that is missing or wrong.
    """
    folder = Path(folder)
    parts = [(folder / name, folder / words) for name, words in zip(_NAMES, _TOKENIZERS)]
    clips: list[ProjectedCLIP] = []
    tokenizers: list[PretrainedTokenizer] = []
    for path, tokenizer_path in parts[:2]:
        config = read_config(path, "a CLIP with a projection", _projected)
        weights = open_weights(path, TRANSFORMERS)
        if "embeddings.token_embedding.weight" in weights:
            tower = dataclasses.replace(config.tower, prefix="")
            config = dataclasses.replace(config, tower=tower)
        tokenizers.append(tokenizer_for(config.tower, tokenizer_path, "clip", path))
        clips.append(
            fill(
                config,
                projected_table(config.tower),
                weights,
                dtype=dtype,
                ignored=_IGNORED,
                source=path,
                advance=advance,
            )
        )
    t5 = load_text_encoder(*parts[2], max_tokens=t5_tokens, dtype=dtype, advance=advance)
    if not isinstance(t5, T5Text):
        raise ValueError(f"{parts[2][0]} must hold a T5, and holds a {type(t5).__name__}.")
    words = (tokenizers[0], tokenizers[1], t5.tokenizer)
    t5_tokens = min(t5.max_tokens, 256) if t5_tokens is None else t5_tokens
    return SD3Text(clips[0], clips[1], t5.t5, words, max_tokens, t5_tokens)


def save_sd3_text(
    folder: str | os.PathLike[str],
    encoder: SD3Text,
    *,
    dtype: DTypeLike | None = None,
    advance: Advance = lambda size: None,
) -> None:
    """Writes the folders that `load_sd3_text` reads and `from_pretrained` of `transformers` opens.

    **Arguments:** as of `load_sd3_text`; `dtype` is by default as in memory.
    """
    folder = Path(folder)
    for number, clip in enumerate((encoder.clip_l, encoder.clip_g)):
        tokenizer = _pretrained(encoder.tokenizers[number])
        opening, closing = tokenizer([""], 2).ids[0].tolist()
        weights = write_weights(clip, projected_table(clip.tower.config), dtype=dtype)
        save_weights(folder / _NAMES[number], TRANSFORMERS, weights, advance=advance)
        ends = {"bos_token_id": opening, "eos_token_id": closing, "pad_token_id": tokenizer.pad_id}
        fields = {
            **clip_fields(clip.tower.config),
            **ends,
            "architectures": ["CLIPTextModelWithProjection"],
            "projection_dim": clip.config.projection,
        }
        write_config(folder / _NAMES[number], fields)
        save_tokenizer(folder / _TOKENIZERS[number], tokenizer, encoder.max_tokens)
    save_text_encoder(
        folder / _NAMES[2],
        T5Text(encoder.t5, encoder.tokenizers[2], encoder.t5_tokens),
        folder / _TOKENIZERS[2],
        dtype=dtype,
        advance=advance,
    )


def sd3_text_tables(encoder: SD3Text) -> list[tuple[str, PyTree, list[Pair]]]:
    """The folder of each encoder, its network and the pairs of names."""
    clips = (encoder.clip_l, encoder.clip_g)
    parts = [(name, clip, projected_table(clip.tower.config)) for name, clip in zip(_NAMES, clips)]
    return [*parts, (_NAMES[2], encoder.t5, t5_table(encoder.t5.config))]


def _pretrained(tokenizer: AbstractTokenizer) -> PretrainedTokenizer:
    if not isinstance(tokenizer, PretrainedTokenizer):
        raise ValueError(
            "save_sd3_text writes the files of a PretrainedTokenizer, received a "
            f"{type(tokenizer).__name__}, which transformers does not know."
        )
    return tokenizer


def projected_table(config: CLIPConfig) -> list[Pair]:
    """`transformers.CLIPTextModelWithProjection`'s tensors for a `ProjectedCLIP`."""
    tower = [
        pair._replace(ours=f"tower.{pair.ours}") for pair in clip_table(config.depth, config.prefix)
    ]
    return [*tower, *linear("projection", "text_projection", bias=False)]


def _projected(fields: Fields) -> ProjectedCLIPConfig:
    return ProjectedCLIPConfig(clip_config(fields), positive_int(fields, "projection_dim"))
