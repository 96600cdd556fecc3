"""The kernel distance between two sets of features: the "KID" (kernel Inception distance)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .pairs import check_pair


class KID(NamedTuple):
    """**Fields:**

    - `mean`: over the subsets. For equal distributions it may be a little below 0.
    - `deviation`: standard deviation of the subsets' values, which other libraries report.
    - `standard_error`: `deviation / sqrt(subsets)`. With few images the subsets share many of them,
        and it is too small.
    """

    mean: float
    deviation: float
    standard_error: float


def kernel_distance(
    a: Float[np.ndarray, "images features"],
    b: Float[np.ndarray, "others features"],
    *,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 0,
) -> KID:
    """The squared maximum mean discrepancy of two sets (Binkowski et al. 2018), unbiased.

    With the kernel `k(x, y) = (x . y / features + 1)^3` and subsets of `m` images,
    `sum_{i != j} (k(a_i, a_j) + k(b_i, b_j)) / (m (m - 1)) - 2 sum_ij k(a_i, b_j) / m^2`. Unlike
    FID it is not biased by few images. Computed in float64, on the default device.

    **Arguments:**

    - `a`, `b`: features of each image.
    - `subsets`: number of subsets, each drawn without replacement.
    - `size`: images in each subset.
    - `seed`: of the draws.

    **Raises** `ValueError` if a subset would be larger than one of the sets.
    """
    check_pair(a, b, least=2)
    if not 2 <= size <= min(len(a), len(b)) or subsets < 1:
        raise ValueError(
            f"KID takes at least one subset of 2 to {min(len(a), len(b))} images (the smaller "
            f"set), received subsets={subsets} and size={size}."
        )
    random = np.random.default_rng(seed)
    values = np.empty(subsets)
    with jax.enable_x64(True):
        for i in range(subsets):
            rows_a = random.choice(len(a), size, replace=False)
            rows_b = random.choice(len(b), size, replace=False)
            values[i] = _discrepancy(*(np.asarray(x, np.float64) for x in (a[rows_a], b[rows_b])))
    deviation = float(values.std())
    return KID(float(values.mean()), deviation, deviation / subsets**0.5)


@jax.jit
def _discrepancy(
    a: Float[Array, "images features"], b: Float[Array, "images features"]
) -> Float[Array, ""]:
    size, features = a.shape

    def sums(x, y):
        kernel = (x @ y.T / features + 1.0) ** 3
        return jnp.sum(kernel), jnp.trace(kernel)

    (aa, aa_own), (bb, bb_own), (ab, _) = sums(a, a), sums(b, b), sums(a, b)
    return (aa - aa_own + bb - bb_own) / (size * (size - 1)) - 2.0 * ab / size**2
