"""The rules by which CLIP and BERT cut text, for folders without a `tokenizer.json`."""

import json
from collections.abc import Mapping
from typing import Any, TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL: Mapping[str, Mapping[str, str]] = {
    "clip": {
        "bos": "<|startoftext|>",
        "eos": "<|endoftext|>",
        "unk": "<|endoftext|>",
        "pad": "<|endoftext|>",
    },
    "bert": {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"},
    "t5": {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
}
"""Special tokens by role, for folders that do not name them."""


def build_clip(files: Mapping[str, bytes], special: Mapping[str, str]) -> "Tokenizer":
    """Byte-pair encoding of lower-cased words with marked ends (Radford et al. 2021, section 2.4).

    **Arguments:**

    - `files`: `vocab.json` and `merges.txt`.
    - `special`: the tokens by role: `"bos"` opens a caption, `"eos"` closes it.
    """
    from tokenizers import models, normalizers, pre_tokenizers, processors, Regex, Tokenizer

    vocabulary = parsed(files, "vocab.json")
    lines = files["merges.txt"].decode().split("\n")
    merges = [line.split() for line in lines if line.strip() and not line.startswith("#version")]
    if any(len(merge) != 2 for merge in merges):
        raise ValueError("merges.txt must hold pairs")
    model = models.BPE(
        vocabulary,
        [(first, second) for first, second in merges],
        unk_token=special["unk"],
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
    )
    space = normalizers.Replace(Regex(r"\s+"), " ")
    words = Regex(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|"
        r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    )
    split = pre_tokenizers.Split(words, behavior="removed", invert=True)
    tokenizer: Any = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), space, normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    closing, opening = ((special[role], vocabulary[special[role]]) for role in ("eos", "bos"))
    tokenizer.post_processor = processors.RobertaProcessing(
        closing, opening, trim_offsets=False, add_prefix_space=False
    )
    return tokenizer


def build_bert(
    files: Mapping[str, bytes],
    special: Mapping[str, str],
    *,
    do_lower_case: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> "Tokenizer":
    """WordPiece (Devlin et al. 2019, section 3).

    **Arguments:**

    - `files`: `vocab.txt`.
    - `special`: the tokens by role: `"cls"` opens a caption, `"sep"` closes it.
    - `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`: of `tokenizer_config.json`. By
        default accents are stripped where text is lower-cased.
    """
    from tokenizers import models, normalizers, pre_tokenizers, processors, Tokenizer

    lines = files["vocab.txt"].decode().split("\n")
    vocabulary = {line.rstrip("\r"): i for i, line in enumerate(lines) if line}
    tokenizer: Any = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        handle_chinese_chars=tokenize_chinese_chars,
        strip_accents=strip_accents,
        lowercase=do_lower_case,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    closing, opening = ((special[role], vocabulary[special[role]]) for role in ("sep", "cls"))
    tokenizer.post_processor = processors.BertProcessing(closing, opening)
    return tokenizer


def parsed(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is no such file."""
    try:
        content = json.loads(files.get(name, b"{}"))
    except ValueError as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{name} does not hold an object")
    return content
