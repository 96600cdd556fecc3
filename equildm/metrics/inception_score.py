"""The Inception score: whether a classifier is sure of each image, and the images differ."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class InceptionScore(NamedTuple):
    """**Fields:**

    - `mean`: over the splits; from 1 to the number of classes.
    - `deviation`: standard deviation of the splits' values; not an error of the mean.
    """

    mean: float
    deviation: float


def inception_score(
    logits: Float[np.ndarray, "images classes"], *, splits: int = 10, seed: int | None = None
) -> InceptionScore:
    """`exp(mean_x KL(p(y | x) || p(y)))` in each split (Salimans et al. 2016), in float64.

    Few images in a split bias it downwards: compare values of equal numbers only.

    **Arguments:**

    - `logits`: of the classes, for each image.
    - `splits`: number of parts of nearly one size, each with its own `p(y)`.
    - `seed`: shuffles the images first; by default they stay in order.

    **Raises** `ValueError` for logits that are not finite, or for fewer than two images a split,
    whose score is 1 whatever they show.
    """
    count = len(logits)
    if logits.ndim != 2 or not 1 <= splits <= count // 2 or not np.isfinite(logits).all():
        raise ValueError(
            "The Inception score takes finite logits (images, classes) and at least two images a "
            f"split, received shape {logits.shape} and splits={splits}. Make more images."
        )
    rows = np.asarray(logits, np.float64)
    if seed is not None:
        rows = rows[np.random.default_rng(seed).permutation(count)]
    rows = rows - rows.max(axis=1, keepdims=True)
    log_p = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    scores = []
    for i in range(splits):
        part = slice(i * count // splits, (i + 1) * count // splits)
        marginal = p[part].mean(axis=0)
        # 0 log 0 = 0: a class that no image has adds nothing.
        log_marginal = np.log(np.where(marginal > 0, marginal, 1.0))
        scores.append(np.exp(np.mean(np.sum(p[part] * (log_p[part] - log_marginal), axis=1))))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))
