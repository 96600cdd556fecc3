"""How certain a mean is, by resampling."""

import numpy as np
from jaxtyping import Float, Shaped


def interval(
    values: Float[np.ndarray, "count"],
    groups: Shaped[np.ndarray, "count"],
    seed: int | np.random.Generator = 0,
) -> tuple[float, float]:
    """The 95 % confidence interval of a mean, by the bootstrap over groups (Efron 1979).

    2,000 times, as many groups are drawn with replacement as there are, and the mean of all their
    values is taken; the interval lies between the 2.5 % and the 97.5 % quantile of these means.
    Values of one group (crops of one image, images of one caption) are alike, so they are drawn
    together.

    **Arguments:**

    - `values`: one score for each image.
    - `groups`: the group of each value, numbers or names.
    - `seed`: of the draws, or the generator that makes them.

    **Returns:** `(low, high)`.
    """
    names = np.unique(groups)
    sums = np.array([values[groups == name].sum() for name in names])
    counts = np.array([(groups == name).sum() for name in names])
    drawn = np.random.default_rng(seed).integers(len(names), size=(2000, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
