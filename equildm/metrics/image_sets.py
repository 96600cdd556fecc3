"""Scores of a set of images beside a set of real ones."""

import dataclasses
from collections.abc import Collection
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from ..features import (
    AbstractFeatureExtractor,
    antialiased_bicubic,
    InceptionV3,
    pool_features,
    Resized,
)
from ..interop import load_squeezenet
from .frechet import frechet_distance
from .inception_score import inception_score
from .kid import kernel_distance
from .precision_recall import precision_recall
from .score import Score, score_name
from .statistics import describe_features, FeatureStatistics

SPLITS = 10
"""Of the Inception score."""
LEAST_IMAGES = {"fid": 2, "kid": 2, "precision-recall": 4, "is": 10 * SPLITS}
"""How many images a metric takes at least. The Inception score of a split is at most the number of
its images, and of one image it is 1."""

NEIGHBOURS = 3
"""Of precision and recall, as in their paper."""

Images = Shaped[np.ndarray, "images height width 3"]
Features = Float[np.ndarray, "images features"]
RealFeatures = Float[np.ndarray, "others features"]


class FIDReference(NamedTuple):
    """What FID is a distance to, where that is not the real images at hand."""

    name: str
    """For the score, for instance "images of real.npz"."""
    statistics: FeatureStatistics
    """Of the same feature network."""


def check_enough(metrics: Collection[str], count: int) -> None:
    """`ValueError` if so many images are too few for one of the metrics.

    **Arguments:**

    - `metrics`: their names.
    - `count`: of the images.
    """
    for metric, least in LEAST_IMAGES.items():
        if metric in metrics and count < least:
            raise ValueError(
                f"{metric} takes at least {least} images, received {count}. Raise --count, take a "
                f"split with more captions, or leave {metric} out."
            )


def compare_sets(
    metrics: Collection[str],
    images: Images,
    real: Shaped[np.ndarray, "others height width 3"],
    extractor: AbstractFeatureExtractor,
    *,
    real_name: str = "real images",
    fid_reference: FIDReference | None = None,
    seed: int = 0,
) -> list[Score]:
    """Scores of images as a set: FID, KID, precision and recall to real images, Inception score.

    The Inception score is that of `extractor` if it is an Inception-v3, and of SqueezeNet if not.

    **Arguments:**

    - `metrics`: names of `SetMetricName`; others are left out.
    - `images`: the images that are scored, uint8 or in [-1, 1].
    - `real`: the real images.
    - `extractor`: the feature network, see `ExtractorConfig.load`.
    - `real_name`: what the real images are, for the scores.
    - `fid_reference`: statistics that FID is a distance to instead of the real images.
    - `seed`: draws KID's subsets and the splits of the Inception score.

    **Raises** `ValueError` for fewer images than a metric takes, and for sets of two sizes of image
    by a network that does not resize them.
    """
    if not {"fid", "kid", "precision-recall", "is"} & set(metrics):
        return []
    check_enough(metrics, len(images))
    name, real_features_name = (describe_features(extractor, x.shape) for x in (images, real))
    if name != real_features_name:
        raise ValueError(
            f"Two sets are compared at one size, received features of {name} and of "
            f"{real_features_name}. Resize the images, or wrap the network in Resized."
        )
    features = pool_features(extractor, images)
    template = Score(
        name="",
        value=np.nan,
        extractor=name,
        count=len(images),
        reference=real_name,
        reference_count=len(real),
        seed=seed,
    )
    scores: list[Score] = []
    if {"kid", "precision-recall"} & set(metrics) or ("fid" in metrics and fid_reference is None):
        real_features = pool_features(extractor, real)
    if "fid" in metrics:
        reference = fid_reference or FIDReference(
            real_name, FeatureStatistics.of(name, real_features)
        )
        scores.append(_fid(template, features, reference))
    if "kid" in metrics:
        scores.append(_kid(template, features, real_features, seed))
    if "precision-recall" in metrics:
        scores += _precision_recall(template, features, real_features)
    if "is" in metrics:
        scores.append(_inception_score(template, extractor, images, features, seed))
    return scores


def _fid(template: Score, features: Features, reference: FIDReference) -> Score:
    statistics = FeatureStatistics.of(template.extractor, features)
    return dataclasses.replace(
        template,
        name=score_name("FID", template.extractor),
        value=frechet_distance(statistics, reference.statistics),
        reference=reference.name,
        reference_count=reference.statistics.count,
    )


def _kid(template: Score, features: Features, real: RealFeatures, seed: int) -> Score:
    # Half of the images at most: if subsets were nearly the same set, KID would seem certain.
    size = max(2, min(1000, len(features) // 2, len(real) // 2))
    kid = kernel_distance(features, real, size=size, seed=seed)
    return dataclasses.replace(
        template,
        name=score_name("KID", template.extractor),
        value=kid.mean,
        spread=kid.deviation,
        spread_of="deviation of 100 subsets",
        settings={"subset size": size},
    )


def _precision_recall(template: Score, features: Features, real: RealFeatures) -> list[Score]:
    values = precision_recall(features, real, neighbours=NEIGHBOURS)
    return [
        dataclasses.replace(
            template,
            name=score_name(kind, template.extractor),
            value=value,
            settings={"neighbours": NEIGHBOURS},
        )
        for kind, value in values._asdict().items()
    ]


def _inception_score(
    template: Score,
    extractor: AbstractFeatureExtractor,
    images: Images,
    features: Features,
    seed: int,
) -> Score:
    if isinstance(extractor, Resized) and isinstance(extractor.extractor, InceptionV3):
        logits = np.asarray(extractor.extractor.logits(jnp.asarray(features)))
    else:
        extractor = Resized(load_squeezenet(), antialiased_bicubic(227))
        logits = pool_features(extractor, images)
    score = inception_score(logits, splits=SPLITS, seed=seed)
    return dataclasses.replace(
        template,
        name=score_name("IS", extractor.description),
        value=score.mean,
        spread=score.deviation,
        spread_of=f"deviation of {SPLITS} splits",
        extractor=extractor.description,
        reference=None,
        reference_count=None,
    )
