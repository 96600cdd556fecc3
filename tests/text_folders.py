"""Small tokenizers' folders as the public libraries lay them out, made without a download."""

import json
import re
from pathlib import Path

from tokenizers import models, normalizers, pre_tokenizers, processors, Tokenizer, trainers

TEXT = [
    "a photo of a cat and the dog, it's they're we'll I've I'd don't",
    "the quick brown fox jumps over the lazy dog 1234567890!",
    "a painting of an astronaut riding a horse, highly detailed, artstation",
    "naïve café Übermut élan façade 日本 東京 привет мир",
] * 3

NASTY = [
    "",
    " ",
    "a cat",
    "A  Photo of\n\na CAT\t\r and the   dog ",
    "it's they're WE'LL i'm I'D don't 'tis rock'n'roll ''s",
    "naïve café Übermut ÉLAN e\u0301lan \ufb01ne ǅ İstanbul ẞ",
    "日本 東京 日本東京 привет, мир!",
    "👩‍🚀🇩🇪 ❤️ a cat🐱dog",
    "!!! wow! 100% (a:1.5) [b] {c} <|endoftext|> x <|startoftext|> <|EndOfText|>",
    "</s> <pad> [SEP] [PAD] <unk> [UNK]",
    "1234567890 3.14 ½ ² Ⅷ",
    "zero\u200bwidth non\u00a0breaking \u2028line \ufeffbom \x00null \x1funit soft\u00adhyphen",
    "a painting of an astronaut riding a horse " * 20,
    "antidisestablishmentarianism" * 10,
]
"""Captions on which tokenizers differ if they can."""

MARKS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


def clip_folder(folder: Path, *, pad: str = "<|endoftext|>", config: dict | None = None) -> int:
    """Stable Diffusion's `tokenizer`: vocab.json, merges.txt and two files of settings. In version
    1 the padding is the end of the text, in version 2 `!`. Returns how many ids there are."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: dict[tuple[str, str], None] = {}
    for word in re.findall("[a-z]+", " ".join(TEXT)):  # grown from the left, letter by letter
        letters = [*word[:-1], f"{word[-1]}</w>"]
        for i in range(1, len(letters)):
            merges["".join(letters[:i]), letters[i]] = None
    tokens = [*alphabet, *(f"{token}</w>" for token in alphabet), *("".join(m) for m in merges)]
    tokens = dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"])
    vocabulary = {token: i for i, token in enumerate(tokens)}
    assert vocabulary["!"] == 0
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    marks = {name: {"content": token, **flags} for name, token in MARKS.items()}
    write(folder / "special_tokens_map.json", {**marks, "pad_token": pad})
    typed = {name: {"__type": "AddedToken", **token} for name, token in marks.items()}
    settings = {
        **typed,
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        "pad_token": "<|endoftext|>",  # even in version 2, whose other file says "!"
        "tokenizer_class": "CLIPTokenizer",
    }
    write(folder / "tokenizer_config.json", settings | (config or {}))
    return len(vocabulary)


def bert_folder(folder: Path, **settings: object) -> int:
    """BERT's: vocab.txt and the settings. Returns how many ids there are."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=False)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=special, show_progress=False, initial_alphabet=list("!.'")
    )
    trained.train_from_iterator([*TEXT, *(line.lower() for line in TEXT)], trainer)
    tokens = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    text = "\n".join(token for token, _ in tokens) + "\n"
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    fixed = {"tokenizer_class": "BertTokenizer", "model_max_length": 512}
    write(folder / "tokenizer_config.json", fixed | settings)
    return len(tokens)


def t5_folder(folder: Path) -> int:
    """T5's: tokenizer.json and the settings. Returns how many ids there are."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        ]
    )
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator(TEXT, trainer)
    trained.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    trained.save(str(folder / "tokenizer.json"))
    settings = {
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "extra_ids": 0,
        "model_max_length": 512,
        "tokenizer_class": "T5Tokenizer",
    }
    write(folder / "tokenizer_config.json", settings)
    return trained.get_vocab_size()


def write(path: Path, content: object) -> None:
    """As JSON."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
