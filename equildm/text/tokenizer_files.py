"""Tokenizers from the files of `transformers`."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

from .tokenizer import PretrainedTokenizer
from .tokenizer_rules import build_bert, build_clip, parsed, SPECIAL

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

TokenizerKind = Literal["clip", "bert", "t5"]

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
)
"""Files of a tokenizer's folder."""

SOURCES: Mapping[TokenizerKind, tuple[str, ...]] = {
    "clip": ("vocab.json", "merges.txt"),
    "bert": ("vocab.txt",),
}
"""The files that a tokenizer is built from without a `tokenizer.json`."""

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
"""Special tokens, in the order in which `transformers` adds them."""


def read_tokenizer(folder: str | os.PathLike[str], kind: TokenizerKind) -> PretrainedTokenizer:
    """Reads a tokenizer's folder, as `transformers` would.

    A `tokenizer.json` holds the whole tokenizer. Without one, CLIP's is built from `vocab.json` and
    `merges.txt` (as in Stable Diffusion's folders), BERT's from `vocab.txt`.

    `special_tokens_map.json` and `tokenizer_config.json` name the special tokens, the padding among
    them. A special token is one token wherever it stands in a caption. In Stable Diffusion 2 that
    includes `!`, which is the padding.

    **Arguments:**

    - `folder`: a folder of `save_pretrained` of transformers.
    - `kind`: the model's kind. It decides the rules by which text is cut and the usual names of the
        special tokens.

    **Raises** `ValueError` naming the folder and what is missing or broken.
    """
    from tokenizers import Tokenizer

    folder = Path(folder)
    files = {
        name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).is_file()
    }
    _check_complete(folder, files, kind)
    try:
        settings = _settings(files)
        special = {role: _content(token) for role, token in _roles(settings, kind)}
        if "tokenizer.json" in files:
            text = files["tokenizer.json"].decode()
            parsed(files, "tokenizer.json")  # for an error that names the file
            tokenizer = Tokenizer.from_str(text)
        else:
            tokenizer = _built(files, special, settings, kind)
            text = tokenizer.to_str()
        if _add_special(tokenizer, settings, kind):
            text = tokenizer.to_str()
        pad_id = tokenizer.token_to_id(special["pad"])
        assert pad_id is not None  # it was added if it was not there
        longest = settings.get("model_max_length")
        longest = int(longest) if longest is not None and longest < 10**9 else None
        if longest is not None and longest < 1:
            raise ValueError(f"model_max_length is {longest}, not a number above 0")
        return PretrainedTokenizer(text, pad_id, longest=longest, files=files)
    except Exception as error:  # The `tokenizers` library raises bare `Exception`.
        raise ValueError(
            f"The tokenizer in {folder} ({', '.join(files)}) cannot be read: {error!r}. Fetch it "
            "again."
        ) from error


def _check_complete(folder: Path, files: Mapping[str, bytes], kind: TokenizerKind) -> None:
    sources = SOURCES.get(kind)
    if "tokenizer.json" in files or (sources and all(name in files for name in sources)):
        return
    instead = f" nor {' and '.join(sources)}" if sources else ""
    fix = "Give the folder of the model's tokenizer, such as the `tokenizer` of a pipeline."
    if "spiece.model" in files:
        fix = (
            "Its spiece.model alone does not say how to normalise: convert it once, with "
            f"`AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained(FOLDER)` of "
            "transformers (which needs sentencepiece)."
        )
    raise ValueError(f"{folder} does not hold a tokenizer.json{instead}. {fix}")


def _settings(files: Mapping[str, bytes]) -> dict[str, Any]:
    """`tokenizer_config.json`; special_tokens_map.json replaces settings of the older kind."""
    settings = parsed(files, "tokenizer_config.json")
    if "added_tokens_decoder" not in settings:
        settings |= parsed(files, "special_tokens_map.json")
        numbers = parsed(files, "added_tokens.json").items()
        settings["added_tokens_decoder"] = {number: token for token, number in numbers}
    return {name: value for name, value in settings.items() if value is not None}


def _roles(settings: Mapping[str, Any], kind: TokenizerKind) -> Iterable[tuple[str, Any]]:
    for role in ROLES:
        token = settings.get(f"{role}_token", SPECIAL[kind].get(role))
        if token is not None:
            yield role, token


def _built(
    files: Mapping[str, bytes],
    special: Mapping[str, str],
    settings: Mapping[str, Any],
    kind: TokenizerKind,
) -> "Tokenizer":
    if kind == "clip":
        return build_clip(files, special)
    names = {"do_lower_case", "strip_accents", "tokenize_chinese_chars"}
    return build_bert(files, special, **{name: settings[name] for name in names & settings.keys()})


def _add_special(tokenizer: "Tokenizer", settings: Mapping[str, Any], kind: TokenizerKind) -> bool:
    """Adds the tokens that text is split at first. Returns false if all were there already."""
    numbered = sorted(settings["added_tokens_decoder"].items(), key=lambda item: int(item[0]))
    named = [token for _, token in _roles(settings, kind)]
    named += settings.get("additional_special_tokens", [])
    names = {_content(token) for token in named}
    existing = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    # As in `transformers`, numbers come before names, and of two names of a token the last counts.
    tokens = {_content(token): token for token in named}
    tokens |= {_content(token): token for _, token in numbered}
    first = dict.fromkeys([*(_content(token) for _, token in numbered), *tokens])
    new = [_added(tokens[name], name in names) for name in first if name not in existing]
    tokenizer.add_tokens(new)
    for number, token in numbered:
        if tokenizer.token_to_id(_content(token)) != int(number):
            raise ValueError(f"the added token {_content(token)!r} cannot have the id {number}")
    return bool(new)


def _content(token: Any) -> str:
    content = token["content"] if isinstance(token, dict) else token
    if not isinstance(content, str):
        raise ValueError(f"a special token is text, and one is {content!r}")
    return content


def _added(token: Any, special: bool) -> "AddedToken":
    from tokenizers import AddedToken

    options = token if isinstance(token, dict) else {}
    special = special or options.get("special", False)
    return AddedToken(
        _content(token),
        special=special,
        normalized=options.get("normalized", not special),
        **{name: options.get(name, False) for name in ("lstrip", "rstrip", "single_word")},
    )
