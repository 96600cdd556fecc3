"""The Frechet distance between two sets of features: the "F" and "D" of FID."""

import numpy as np
from jaxtyping import Float

from .score import score_name
from .statistics import check_alike, FeatureStatistics


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """`|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))` (Heusel et al. 2017).

    The squared 2-Wasserstein distance of two Gaussians, in squared units of the features; 0 for
    equal statistics. Few images bias it upwards: use several thousand, and compare values of equal
    numbers of images only. `frechet_name` names it.

    `tr (C_a C_b)^(1/2)` is taken as the sum of the singular values of `C_a^(1/2) C_b^(1/2)`. These
    are real and not negative, also where the covariances are singular, as they are with fewer
    images than features; there, rounding spoils the eigenvalues of the product.

    **Raises** `ValueError` if the two are of different networks or of fewer than 2 images.
    """
    check_alike(a, b)
    cov_a, cov_b = a.covariance, b.covariance
    roots = np.linalg.svd(square_root(cov_a) @ square_root(cov_b), compute_uv=False)
    step = a.mean - b.mean
    distance = step @ step + np.trace(cov_a) + np.trace(cov_b) - 2.0 * np.sum(roots)
    return max(float(distance), 0.0)


def frechet_name(statistics: FeatureStatistics) -> str:
    """The name of the distance, for instance "VGG16-FID"; see `score_name`."""
    return score_name("FID", statistics.extractor)


def square_root(
    covariance: Float[np.ndarray, "features features"],
) -> Float[np.ndarray, "features features"]:
    """The symmetric root of a covariance; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
