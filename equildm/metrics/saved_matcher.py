"""A fitted caption matcher as a file: the same images and captions are fitted once."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from ..features import AbstractFeatureExtractor
from ..runtime import cache_folder, log, replacing
from ..text import AbstractTextEncoder, fingerprint
from .caption_match import CaptionMatcher, fit_caption_matcher, RIDGE, TAPS
from .statistics import UNREADABLE

ARRAYS = ("mean", "deviation", "weight", "caption_mean", "sentences")


def fit_once(
    images: Shaped[np.ndarray, "images height width 3"],
    captions: Sequence[str],
    vgg: AbstractFeatureExtractor,
    text: AbstractTextEncoder,
) -> CaptionMatcher:
    """`fit_caption_matcher`, which reads what an earlier call of the same arguments wrote.

    The file is in `matchers` of the user's cache folder. Its name is a hash of every pixel, caption
    and weight, so that nothing else has the same. Where the folder cannot be written, the matcher
    is fitted each time.

    **Arguments:** those of `fit_caption_matcher`.
    """
    key = fingerprint((vgg, text, images, tuple(captions), TAPS, RIDGE))
    path = cache_folder() / "matchers" / f"{key[:32]}.npz"
    try:
        return _read(path, vgg, text)
    except UNREADABLE:  # none, or a damaged one
        pass
    matcher = fit_caption_matcher(images, captions, vgg, text)
    try:
        _write(path, matcher)
    except OSError as error:
        log(f"The fit of the caption matcher is not kept: {error}.")
    return matcher


def _write(path: Path, matcher: CaptionMatcher) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = matcher.sentences
    arrays = {name: getattr(matcher, name) for name in ARRAYS[:-1]}
    # They are float32 that was converted: nothing is lost.
    sentences = np.stack(list(known.values())).astype(np.float32)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, captions=json.dumps(list(known)), sentences=sentences, **arrays)


def _read(path: Path, vgg: AbstractFeatureExtractor, text: AbstractTextEncoder) -> CaptionMatcher:
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        captions = json.loads(str(file["captions"]))
        mean, deviation, weight, caption_mean, sentences = (
            np.asarray(file[name], np.float64) for name in ARRAYS
        )
    known = dict(zip(captions, sentences, strict=True))
    return CaptionMatcher(vgg, text, mean, deviation, weight, caption_mean, known)
