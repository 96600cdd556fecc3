"""How uncertain a Frechet distance is: a jackknife over captions, cheap enough for every point.

It is not the bootstrap: a set drawn with replacement has fewer different images, and the distance
grows as images get fewer. With up to a few times as many images as features the bootstrap's spread
is 1.5 times too wide; leaving out a group of images at a time gives the right one
(tests/study/test_jackknife.py).
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float, Int

from ..metrics import FeatureStatistics
from ..metrics.frechet import square_root


@dataclasses.dataclass(frozen=True)
class FrechetReference:
    """Statistics of real images, with what many Frechet distances to them share computed once."""

    statistics: FeatureStatistics

    @functools.cached_property
    def _root(self) -> Float[np.ndarray, "features features"]:
        return square_root(self.statistics.covariance)

    @functools.cached_property
    def _trace(self) -> float:
        return float(np.trace(self.statistics.covariance))

    def distances(
        self,
        features: Float[np.ndarray, "images features"],
        weights: Float[np.ndarray, "sets images"] | Int[np.ndarray, "sets images"],
    ) -> Float[np.ndarray, "sets"]:
        """The distance of each weighted set; an image of weight 0 is left out.

        It equals `metrics.frechet_distance`. The singular values of `C_a^(1/2) C_b^(1/2)` come from
        the eigenvalues of the smaller of two Gram matrices: no covariance of a set is computed, and
        a set of few images costs little.

        **Arguments:**

        - `features`: of all images.
        - `weights`: how often each image is in each set.
        """
        rows = np.asarray(features, np.float64)
        turned = rows @ self._root
        return np.array([self._distance(rows, turned, w) for w in np.asarray(weights, np.float64)])

    def _distance(self, rows: np.ndarray, turned: np.ndarray, weights: np.ndarray) -> float:
        present = weights > 0
        w, a, b = weights[present], rows[present], turned[present]
        total = w.sum()
        mean = w @ a / total
        step = mean - self.statistics.mean
        trace = (w @ np.einsum("ij,ij->i", a - mean, a - mean)) / (total - 1)
        half = np.sqrt(w / (total - 1))[:, None] * (b - w @ b / total)
        gram = half @ half.T if len(half) < half.shape[1] else half.T @ half
        roots = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None))
        return max(float(step @ step + trace + self._trace - 2.0 * roots.sum()), 0.0)


def leave_out(
    captions: Int[np.ndarray, "images"], groups: int, seed: int = 0
) -> Int[np.ndarray, "groups images"]:
    """Weights of the jackknife's sets: each lacks one group of captions, with all their images.

    Several images of one caption are not independent, so they are left out together. The same
    captions, groups and seed give the same sets, so that the distances of two models can be
    subtracted set by set.

    **Arguments:**

    - `captions`: for each image the number of its caption.
    - `groups`: how many sets; with fewer captions, one for each caption.
    - `seed`: of the division into groups.

    **Raises** `ValueError` for fewer than 2 groups, and where a set would have fewer than 2 images,
    which have no covariance.
    """
    _, caption = np.unique(captions, return_inverse=True)
    count = int(np.max(caption)) + 1
    groups = min(groups, count)
    if groups < 2:
        raise ValueError(
            f"A jackknife takes at least 2 groups of captions, received {groups} of {count} "
            "captions. Sample more captions."
        )
    return _without(np.random.default_rng(seed).permutation(count)[caption] % groups, groups)


def leave_out_images(
    captions: Int[np.ndarray, "images"], groups: int, seed: int = 0
) -> Int[np.ndarray, "groups images"]:
    """As `leave_out`, but each set lacks a group of images, an equal share of each caption's.

    For captions that are a few classes: images of a class are independent draws, and a set without
    one of the classes would show what that class adds to the distance, not how uncertain it is.
    """
    order = np.lexsort((np.random.default_rng(seed).permutation(len(captions)), captions))
    rank = np.empty(len(captions), int)
    rank[order] = np.arange(len(captions))
    groups = min(groups, len(captions))
    return _without(rank % groups, groups)


def _without(group: Int[np.ndarray, "images"], groups: int) -> Int[np.ndarray, "groups images"]:
    present = group[None] != np.arange(groups)[:, None]
    if present.sum(axis=1).min() < 2:
        raise ValueError(
            "A jackknife leaves out a group and keeps at least 2 images, received "
            f"{len(group)} images in {groups} groups. Sample more images."
        )
    return present.astype(np.int64)


def frechet_spread(
    features: Float[np.ndarray, "images features"],
    reference: FrechetReference,
    weights: Int[np.ndarray, "groups images"],
) -> tuple[float, Float[np.ndarray, "groups"]]:
    """The Frechet distance of a set of images, and its deviations.

    With `d_g` the distance without group `g` of `G`, the deviations are
    `(d_g - mean d) sqrt(G - 1)`: their mean square is the variance of the distance (the
    delete-a-group jackknife; Kott 2001), and the mean product of two models' deviations the
    covariance of theirs.

    The variance is that of the distance of *so many images* about its expectation. The expectation
    itself lies above the limit of many images, by the same for all sets that are compared.

    Features that are not finite, of a model that diverged, have an infinite distance and
    deviations of 0.

    **Arguments:**

    - `features`: of the images.
    - `reference`: of the real images.
    - `weights`: see `leave_out`.

    **Returns:** `(distance, deviations)`.
    """
    if not np.isfinite(features).all():
        return float("inf"), np.zeros(len(weights))
    (value,) = reference.distances(features, np.ones((1, len(features))))
    without = reference.distances(features, weights)
    return float(value), (without - without.mean()) * np.sqrt(len(without) - 1)
