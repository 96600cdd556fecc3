"""How certain a mean is, by resampling."""

import numpy as np
import scipy.stats
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

    With few groups these quantiles are too near. They are moved away from the mean by
    `sqrt(n / (n - 1)) t / 1.96`, where `t` is the 97.5 % quantile of Student's distribution with
    `n - 1` degrees of freedom: for 4 groups by 1.9, for 40 by 1.04. So 95 % of the intervals hold
    the mean where the means of groups are about normal. Where they are very skewed (log-normal) it
    is about 87 % for 12 groups and 90 % for 40. Values that are all alike give an interval of 0.

    **Arguments:**

    - `values`: one score for each image.
    - `groups`: the group of each value, numbers or names.
    - `seed`: of the draws, or the generator that makes them.

    **Returns:** `(low, high)`; the infinities for one group, which tells nothing of others.
    """
    names, place = np.unique(groups, return_inverse=True)
    count = len(names)
    if count < 2:
        return -np.inf, np.inf
    sums, counts = np.bincount(place, values), np.bincount(place)
    drawn = np.random.default_rng(seed).integers(count, size=(2000, count))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    mean = np.mean(values)
    wider = np.sqrt(count / (count - 1)) * scipy.stats.t.ppf(0.975, count - 1) / 1.96
    low, high = mean + wider * (np.quantile(means, (0.025, 0.975)) - mean)
    return float(low), float(high)
