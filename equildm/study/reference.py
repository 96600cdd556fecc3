"""What images are scored against: statistics of real images, and a caption matcher."""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from ..features import AbstractFeatureExtractor
from ..metrics import CaptionMatcher, collect_statistics, FeatureStatistics, fit_caption_matcher
from ..metrics.statistics import check_moments, UNREADABLE
from ..runtime import replacing
from ..text import AbstractTextEncoder

RealImage = Shaped[np.ndarray, "height width 3"]
"""A real image, uint8 or in [-1, 1]."""
_ARRAYS = ("real_mean", "real_scatter", "mean", "deviation", "weight", "vectors")


@dataclasses.dataclass(frozen=True)
class Reference:
    """What images are scored against: computed once for a data set, and saved in one file.

    **Fields:**

    - `about`: data, split and network in words. Rows record it; only rows of one reference compare.
    - `statistics`: of the real images' features.
    - `mean`, `deviation`, `weight`: of the caption matcher (`metrics.CaptionMatcher`).
    - `captions`: distinct ones: those that are sampled, and those that they are told from.
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
        cls,
        about: str,
        statistics: FeatureStatistics,
        matcher: CaptionMatcher,
        captions: Iterable[str],
    ) -> "Reference":
        """**Arguments:**

        - `about`: data, split and network in words.
        - `statistics`: of the real images.
        - `matcher`: fitted on real images and captions of the training split.
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
        """Writes one `.npz`, atomically."""
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

        **Raises** `ValueError` naming a file of other content.
        """
        path = Path(path)
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                about, extractor = str(file["about"]), str(file["extractor"])
                count, captions = file["count"].item(), tuple(json.loads(str(file["captions"])))
                real_mean, real_scatter, mean, deviation, weight, vectors = (
                    np.asarray(file[name], np.float64) for name in _ARRAYS
                )
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            raise ValueError(
                f"{path} must be a reference that Reference.save wrote, and is not: {error}. "
                "Remove it; it will be computed again."
            ) from error
        check_moments(path, count, real_mean, real_scatter)
        real = FeatureStatistics(extractor, count, real_mean, real_scatter)
        return cls(about, real, mean, deviation, weight, captions, vectors)


def fit_reference(
    about: str,
    real: Iterable[RealImage],
    training: Iterable[RealImage],
    training_captions: Sequence[str],
    other_captions: Sequence[str],
    *,
    vgg: AbstractFeatureExtractor,
    text_encoder: AbstractTextEncoder,
    extractor: AbstractFeatureExtractor | None = None,
) -> Reference:
    """Computes a reference from real images.

    **Arguments:**

    - `about`: data, split and network in words.
    - `real`: the images that the Frechet distance is to; read once.
    - `training`, `training_captions`: what the caption matcher is fitted on; read once.
    - `other_captions`: captions that are sampled, or told from others, beside those of training.
    - `vgg`, `text_encoder`: the matcher's networks.
    - `extractor`: of the Frechet distance, by default `vgg`.
    """
    matcher = fit_caption_matcher(training, training_captions, vgg, text_encoder)
    statistics = collect_statistics(extractor or vgg, real)
    return Reference.of(about, statistics, matcher, [*other_captions, *training_captions])
