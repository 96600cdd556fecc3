"""R-precision: how often an image's own caption ranks first among others."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .bootstrap import interval

DISTRACTORS = 99
TIE = 1e-9


def unit_rows(rows: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows width"]:
    """The rows at unit length, in float64. A row of zeros stays one."""
    rows = np.asarray(rows, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class CaptionMatch(NamedTuple):
    """R-precision of images and captions.

    **Fields:**

    - `name`: with the networks, for instance "VGG16-MiniLM R-precision".
    - `rank1`: share of images whose own caption ranks first; one that shares the first rank with
        others counts as its share. `chance` for unrelated captions.
    - `rank1_interval`: 95 % bootstrap interval of it.
    - `mrr`: mean of `1 / rank`.
    - `mrr_interval`: 95 % bootstrap interval of it.
    - `chance`: `1 / candidates`.
    - `candidates`: captions ranked for each image, its own included.
    - `images`: the number of images.
    """

    name: str
    rank1: float
    rank1_interval: tuple[float, float]
    mrr: float
    mrr_interval: tuple[float, float]
    chance: float
    candidates: int
    images: int

    def __str__(self) -> str:
        low, high = self.rank1_interval
        return (
            f"{self.name} {self.rank1:.1%} ({low:.1%} to {high:.1%}), chance {self.chance:.1%}; "
            f"mean reciprocal rank {self.mrr:.3f}; {self.images} images, "
            f"{self.candidates} candidates"
        )


def retrieval(
    name: str,
    images: Float[np.ndarray, "images width"],
    truth: Int[np.ndarray, "images"],
    captions: Float[np.ndarray, "captions width"],
    random: np.random.Generator,
) -> CaptionMatch:
    """Ranks each image's own caption among itself and 99 others, by inner product.

    For each image the others are drawn without replacement from all captions but its own; if there
    are fewer, all are taken. Scores that differ by less than 1e-9, as by rounding, count as equal:
    of `n` others with the score of the true caption half rank before it, and it has a share
    `1 / (1 + n)` of a first rank. So a constant embedding scores chance, not 1.

    The intervals resample captions, each with all of its images, because several images of one
    caption are not independent.

    **Arguments:**

    - `name`: of the result.
    - `images`, `captions`: vectors of unit length; the captions distinct.
    - `truth`: for each image the index of its caption.
    - `random`: draws the other captions and the bootstrap.
    """
    total = len(captions)
    if total < 2 or len(images) == 0:
        raise ValueError(
            "R-precision takes at least one image and two distinct captions to choose from, "
            f"received {len(images)} and {total}. Give a pool of other captions."
        )
    images, captions = np.asarray(images, np.float64), np.asarray(captions, np.float64)
    if not (np.isfinite(images).all() and np.isfinite(captions).all()):
        raise ValueError(
            "R-precision is of finite vectors, received "
            f"{np.sum(~np.isfinite(images).all(axis=1))} images and "
            f"{np.sum(~np.isfinite(captions).all(axis=1))} captions that are not. Look for NaN in "
            "the images."
        )
    others = min(DISTRACTORS, total - 1)
    first, inverse = np.empty((2, len(images)))
    for i, (image, true) in enumerate(zip(images, truth, strict=True)):
        # Indices from `true` on move up by one: every caption but the true one.
        drawn = random.choice(total - 1, others, replace=False)
        drawn = drawn + (drawn >= true)
        scores, score = captions[drawn] @ image, captions[true] @ image
        equal = np.isclose(scores, score, rtol=0.0, atol=TIE)
        better, ties = np.sum((scores > score) & ~equal), np.sum(equal)
        first[i], inverse[i] = (better == 0) / (1 + ties), 1 / (1 + better + ties / 2)
    return CaptionMatch(
        name=name,
        rank1=float(first.mean()),
        rank1_interval=_share(interval(first, truth, random)),
        mrr=float(inverse.mean()),
        mrr_interval=_share(interval(inverse, truth, random)),
        chance=1 / (others + 1),
        candidates=others + 1,
        images=len(images),
    )


def _share(interval: tuple[float, float]) -> tuple[float, float]:
    """The part of an interval that lies within 0 and 1."""
    low, high = np.clip(interval, 0.0, 1.0)
    return float(low), float(high)
