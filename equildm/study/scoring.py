"""Scoring many sets of pictures against one reference, while the device goes on.

reference = Reference.load(path)               # or fit_reference(...).save(path)
scorer = Scorer(reference, vgg, captions)
shown, match, fid = scorer.on_device(pictures) # queued behind the sampler
scores = scorer.scores(match, fid)             # on the host
"""

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from ..features import AbstractFeatureExtractor, described, pooled
from ..metrics import (
    CaptionMatcher,
    collect_statistics,
    FeatureStatistics,
    fit_caption_matcher,
    frechet_name,
    retrieval,
)
from ..metrics.caption_match import image_vectors, TAPS
from ..metrics.statistics import check_moments, UNREADABLE
from ..runtime import replacing
from ..text import AbstractTextEncoder
from .spread import frechet_spread, FrechetReference, leave_out

Pictures = UInt8[Array, "batch height width 3"]
Features = Float[Array, "batch features"]
ARRAYS = ("real_mean", "real_scatter", "mean", "deviation", "weight", "vectors")


@dataclasses.dataclass(frozen=True)
class Reference:
    """What pictures are scored against: made once for a data set, kept in one file.

    **Fields:**

    - `about`: what it was made of; rows carry it, and only rows with the same are compared.
    - `statistics`: of the real pictures' features.
    - `mean`, `deviation`, `weight`: of the caption matcher (`metrics.CaptionMatcher`).
    - `captions`: distinct ones: those that are sampled, and others to tell them from.
    - `vectors`: their unit vectors.
    """

    about: str
    statistics: FeatureStatistics
    mean: Float[np.ndarray, "features"]
    deviation: Float[np.ndarray, "features"]
    weight: Float[np.ndarray, "features width"]
    captions: tuple[str, ...]
    vectors: Float[np.ndarray, "captions width"]

    @classmethod
    def of(
        cls, about: str, statistics: FeatureStatistics, matcher: CaptionMatcher, captions: Any
    ) -> "Reference":
        """**Arguments:**

        - `about`: names data, split and network.
        - `statistics`: of the real pictures.
        - `matcher`: fitted on real pictures and captions of the training split.
        - `captions`: every caption that is sampled or told from others; repeated ones count once.
        """
        distinct = tuple(dict.fromkeys(captions))
        return cls(
            about,
            statistics,
            matcher.mean,
            matcher.deviation,
            matcher.weight,
            distinct,
            matcher.caption_vectors(distinct),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one `.npz`, whole or not at all."""
        s = self.statistics
        with replacing(path) as part, part.open("wb") as file:
            np.savez(
                file,
                about=self.about,
                extractor=s.extractor,
                count=s.count,
                real_mean=s.mean,
                real_scatter=s.scatter,
                mean=self.mean,
                deviation=self.deviation,
                weight=self.weight,
                captions=json.dumps(self.captions),
                vectors=self.vectors,
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Reference":
        """Reads what `save` wrote.

        **Raises** `ValueError` naming a file that holds anything else.
        """
        path = Path(path)
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                about, extractor = str(file["about"]), str(file["extractor"])
                count, captions = file["count"].item(), tuple(json.loads(str(file["captions"])))
                real_mean, real_scatter, mean, deviation, weight, vectors = (
                    np.asarray(file[name], np.float64) for name in ARRAYS
                )
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            raise ValueError(
                f"{path} must hold a reference that Reference.save wrote, and does not: {error}. "
                "Remove it to make it again."
            ) from error
        check_moments(path, count, real_mean, real_scatter)
        real = FeatureStatistics(extractor, count, real_mean, real_scatter)
        return cls(about, real, mean, deviation, weight, captions, vectors)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Of one set of pictures; the names are those of `Row`."""

    score: str
    fid: float
    fid_spread: tuple[float, ...]
    match: float
    match_low: float
    match_high: float
    count: int
    reference: str


class Scorer:
    """Scores sets of pictures of the same captions."""

    def __init__(
        self,
        reference: Reference,
        vgg: AbstractFeatureExtractor,
        captions: Sequence[str],
        *,
        extractor: AbstractFeatureExtractor | None = None,
        groups: int = 40,
        seed: int = 0,
    ):
        """**Arguments:**

        - `reference`: of the same networks.
        - `vgg`: the matcher's network.
        - `captions`: of each picture, in order.
        - `extractor`: of the Frechet distance; by default `vgg`, whose features are then
            computed once for both scores.
        - `groups`: of the jackknife, see `leave_out`.
        - `seed`: of its groups, and of the captions that each one is told from.
        """
        extractor = extractor or vgg
        if described(extractor) != reference.statistics.extractor:
            raise ValueError(
                f"The reference is of {reference.statistics.extractor!r}, received the network "
                f"{described(extractor)!r}. Remove its file to make it again."
            )
        self.reference = reference
        self.captions = tuple(captions)
        self._vgg, self._seed = vgg, seed
        self._extractor = None if extractor is vgg else extractor
        position = {caption: i for i, caption in enumerate(reference.captions)}
        missing = [caption for caption in captions if caption not in position]
        if missing:
            raise ValueError(
                f"The reference lacks the caption {missing[0]!r}. Remove its file to make it again."
            )
        self._truth: Int[np.ndarray, "pictures"] = np.array([position[c] for c in captions], int)
        self._weights = leave_out(self._truth, groups, seed)
        chosen = zlib.crc32("\n".join(self.captions).encode())
        self._about = (
            f"{reference.about}; {len(self.captions)} pictures of captions {chosen:08x}, "
            f"{len(self._weights)} groups, seed {seed}"
        )
        self._frechet = FrechetReference(reference.statistics)

    def on_device(
        self, pictures: Float[Array, "batch height width 3"]
    ) -> tuple[Pictures, Features, Features]:
        """Pictures in [-1, 1] rounded to bytes, and what both scores need of those.

        One program, queued without waiting.
        """
        return _features(self._vgg, self._extractor, pictures)

    def scores(
        self,
        match: Float[np.ndarray, "pictures features"],
        fid: Float[np.ndarray, "pictures features"],
    ) -> Scores:
        """Of all pictures' features as `on_device` gave them, on the host.

        Where some are not finite, as of a model that diverged, the distance is infinite and the
        match NaN.
        """
        if not len(match) == len(fid) == len(self.captions):
            raise ValueError(
                f"Scores are of {len(self.captions)} pictures, received features of {len(match)} "
                f"and {len(fid)}."
            )
        value, spread = frechet_spread(fid, self._frechet, self._weights)
        share = (float("nan"),) * 3
        if np.isfinite(match).all():
            fitted = self.reference
            vectors = image_vectors(match, fitted.mean, fitted.deviation, fitted.weight)
            random = np.random.default_rng(self._seed)
            name = f"{self._vgg.name} R-precision"
            found = retrieval(name, vectors, self._truth, fitted.vectors, random)
            share = (found.rank1, *found.rank1_interval)
        return Scores(
            frechet_name(self.reference.statistics),
            value,
            tuple(spread.tolist()),
            *share,
            len(self.captions),
            self._about,
        )


def fit_reference(
    about: str,
    real: Iterable[np.ndarray],
    training: Iterable[np.ndarray],
    training_captions: Sequence[str],
    other_captions: Sequence[str],
    *,
    vgg: AbstractFeatureExtractor,
    text: AbstractTextEncoder,
    extractor: AbstractFeatureExtractor | None = None,
) -> Reference:
    """Makes a reference of real pictures.

    **Arguments:**

    - `about`: names data, split and network.
    - `real`: whose distribution the Frechet distance is to; read once.
    - `training`, `training_captions`: that the caption matcher is fitted on; read once.
    - `other_captions`: to be sampled, or told from others, beside those of training.
    - `vgg`, `text`: the matcher's networks.
    - `extractor`: of the Frechet distance, by default `vgg`.
    """
    matcher = fit_caption_matcher(training, training_captions, vgg, text)
    statistics = collect_statistics(extractor or vgg, real)
    return Reference.of(about, statistics, matcher, [*other_captions, *training_captions])


@eqx.filter_jit
def _features(
    vgg: AbstractFeatureExtractor,
    extractor: AbstractFeatureExtractor | None,
    pictures: Float[Array, "batch height width 3"],
) -> tuple[Pictures, Features, Features]:
    shown = jnp.round((jnp.clip(pictures, -1.0, 1.0) + 1.0) * 127.5)
    images = shown.astype(jnp.float32) / 127.5 - 1.0
    if extractor is None:
        maps = (*TAPS, -1)
        both = jax.vmap(lambda image: pooled(vgg, image, maps))(images)
        match, fid = both[:, : -vgg.channels[-1]], both[:, -vgg.channels[-1] :]
    else:
        match = jax.vmap(lambda image: pooled(vgg, image, TAPS))(images)
        fid = jax.vmap(lambda image: pooled(extractor, image))(images)
    return shown.astype(jnp.uint8), match, fid
