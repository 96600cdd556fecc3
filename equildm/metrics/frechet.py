"""The Frechet distance between two sets of features: the "F" and "D" of FID."""

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class FeatureStatistics:
    """Count, mean and scatter of features, in float64, collected in any number of pieces.

    Pieces of any size, from any process, merge to the statistics of the whole up to rounding
    (Chan et al. 1979): no piece is subtracted from another, so that nothing cancels.

    **Fields:**

    - `extractor`: the network that gave the features. Sets of different networks do not mix.
    - `count`: how many.
    - `mean`: their mean.
    - `scatter`: the sum of `(x - mean)(x - mean)^T`.
    """

    extractor: str
    count: int
    mean: Float[np.ndarray, "features"]
    scatter: Float[np.ndarray, "features features"]

    @classmethod
    def of(
        cls, extractor: str, features: Float[np.ndarray, "images features"]
    ) -> "FeatureStatistics":
        """The statistics of one batch of features."""
        rows = np.asarray(features, np.float64)
        if rows.ndim != 2 or len(rows) == 0 or not np.isfinite(rows).all():
            raise ValueError(
                "Statistics are of finite features (images, features) with at least one image, "
                f"received shape {rows.shape}, {np.count_nonzero(~np.isfinite(rows))} not finite."
            )
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(extractor, len(rows), mean, centred.T @ centred)

    def merge(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """The statistics of both sets together."""
        _check_alike(self, other)
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        between = np.outer(step, step) * (self.count * other.count / count)
        return FeatureStatistics(
            self.extractor, count, mean, self.scatter + other.scatter + between
        )

    @property
    def covariance(self) -> Float[np.ndarray, "features features"]:
        """The unbiased covariance, `scatter / (count - 1)`."""
        if self.count < 2:
            raise ValueError(f"A covariance takes at least 2 features, received {self.count}.")
        return self.scatter / (self.count - 1)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """`|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))` (Heusel et al. 2017).

    The squared 2-Wasserstein distance of two Gaussians, in the units of the features squared. 0
    for equal statistics. Biased upwards by too few samples: use several thousand, and equal
    numbers where two values are compared. Name it by `frechet_name`.

    `tr (C_a C_b)^(1/2)` is the sum of the singular values of `C_a^(1/2) C_b^(1/2)`: real and
    not negative also where the covariances are singular, as they are with fewer samples than
    features, and not thrown off by rounding there as eigenvalues of the product are.
    """
    _check_alike(a, b)
    cov_a, cov_b = a.covariance, b.covariance
    roots = np.linalg.svd(_square_root(cov_a) @ _square_root(cov_b), compute_uv=False)
    step = a.mean - b.mean
    distance = step @ step + np.trace(cov_a) + np.trace(cov_b) - 2.0 * np.sum(roots)
    return max(float(distance), 0.0)


def frechet_name(statistics: FeatureStatistics) -> str:
    """What the distance is called, for instance "VGG16-FID".

    Plain "FID" stands for one Inception-v3 file; distances of other networks are other numbers.
    """
    return f"{statistics.extractor}-FID"


def _square_root(
    covariance: Float[np.ndarray, "features features"],
) -> Float[np.ndarray, "features features"]:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def _check_alike(a: FeatureStatistics, b: FeatureStatistics) -> None:
    if (a.extractor, a.mean.shape) != (b.extractor, b.mean.shape):
        raise ValueError(
            "Two sets of features must come from one network, received "
            f"{a.extractor} {a.mean.shape} and {b.extractor} {b.mean.shape}."
        )
