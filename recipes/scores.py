"""What recipes measure of pictures: against real ones, captions; means with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from equildm.data import to_unit
from equildm.features import (
    AbstractFeatureExtractor,
    antialiased_bicubic,
    described,
    InceptionV3,
    pool_features,
    Resized,
    tf1_bilinear,
)
from equildm.interop import (
    load_clip,
    load_inception,
    load_lpips,
    load_squeezenet,
    load_vgg16,
)
from equildm.metrics import (
    clip_score,
    FeatureStatistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
    Score,
    score_name,
)

Metric = Literal["fid", "kid", "precision-recall", "is", "clip-score", "lpips"]
RESIZES = {"tf1": tf1_bilinear, "antialiased": antialiased_bicubic}


def compare_sets(
    metrics: Sequence[Metric],
    made: np.ndarray,
    real: np.ndarray,
    reference: str,
    *,
    inception: Path | None,
    resize: Literal["tf1", "antialiased"],
    seed: int,
    fid_to: tuple[str, FeatureStatistics] | None = None,
) -> list[Score]:
    """The pictures as a set beside the real ones, by VGG16 or by the Inception-v3 of a path; the
    Inception score by SqueezeNet, for want of that. FID is to the statistics of that name where
    they are given, and all else to the real pictures."""
    if not {"fid", "kid", "precision-recall", "is"} & set(metrics):
        return []
    extractor = extractor_of(inception, resize)
    sets = [pool_features(extractor, images) for images in (made, real)]
    about: dict[str, Any] = {"extractor": described(extractor), "count": len(made), "seed": seed}
    against = about | {"reference": reference, "reference_count": len(real)}

    def name(kind: str) -> str:
        return score_name(kind, described(extractor))

    scores = []
    if "fid" in metrics:
        of_made, of_real = (FeatureStatistics.of(described(extractor), x) for x in sets)
        to, of_real = fid_to or (reference, of_real)
        value = frechet_distance(of_made, of_real)
        named = about | {"reference": to, "reference_count": of_real.count}
        scores.append(Score(name=name("FID"), value=value, **named))
    if "kid" in metrics:
        # Half at most, else the subsets are all the same and seem certain.
        size = max(2, min(1000, len(made) // 2, len(real) // 2))
        kid = kernel_distance(*sets, size=size, seed=seed)
        scores.append(
            Score(
                name=name("KID"),
                value=kid.mean,
                spread=kid.deviation,
                spread_of="deviation of 100 subsets",
                settings={"subset size": size},
                **against,
            )
        )
    if "precision-recall" in metrics:
        settings = {"neighbours": 3}
        for kind, value in precision_recall(*sets)._asdict().items():
            scores.append(Score(name=name(kind), value=value, settings=settings, **against))
    if "is" in metrics:
        if isinstance(extractor, Resized) and isinstance(extractor.extractor, InceptionV3):
            logits = np.asarray(extractor.extractor.logits(jnp.asarray(sets[0])))
        else:
            classifier = Resized(load_squeezenet(), antialiased_bicubic(227))
            logits = pool_features(classifier, made)
            about["extractor"] = described(classifier)
        splits = min(10, len(made))
        found = inception_score(logits, splits=splits, seed=seed)
        scores.append(
            Score(
                name=score_name("IS", about["extractor"]),
                value=found.mean,
                spread=found.deviation,
                spread_of=f"deviation of {splits} splits",
                **about,
            )
        )
    return scores


def extractor_of(
    inception: Path | None, resize: Literal["tf1", "antialiased"]
) -> AbstractFeatureExtractor:
    """The network of the set scores."""
    if inception is None:
        return load_vgg16()
    return Resized(load_inception(inception), RESIZES[resize]())


def compare_pairs(
    metrics: Sequence[Metric],
    made: np.ndarray,
    real: np.ndarray,
    captions: Sequence[str],
    *,
    clip: Path | None,
    seed: int,
) -> list[Score]:
    """Each picture beside its caption, and beside the real picture of its caption."""
    found: list[tuple[str, str, str, np.ndarray]] = []
    if "clip-score" in metrics and clip is not None:
        values = clip_score(load_clip(clip), made, captions)
        found.append(("CLIP score", f"CLIP {clip.name}", "captions", values))
    if "lpips" in metrics:
        lpips = eqx.filter_jit(load_lpips("alex"))
        pairs = zip(to_unit(made), to_unit(real), strict=True)
        values = np.array([float(lpips(a, b)) for a, b in pairs])
        found.append(("LPIPS", "AlexNet", "real pictures of the same captions", values))
    return [
        Score(
            name=name,
            value=float(values.mean()),
            spread=float(values.std() / len(values) ** 0.5),
            spread_of="standard error",
            extractor=extractor,
            count=len(made),
            reference=reference,
            reference_count=len(made),
            seed=seed,
        )
        for name, extractor, reference, values in found
    ]


def interval(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, drawing whole groups: squares of one picture, or
    pictures of one caption, are alike."""
    names = np.unique(groups)
    sums = np.array([values[groups == name].sum() for name in names])
    counts = np.array([(groups == name).sum() for name in names])
    drawn = np.random.default_rng(seed).integers(len(names), size=(2000, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
