"""Precision and recall: how much of one set lies within another, and how much of it is covered."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .pairs import check_pair

BLOCK = 1024
ROUNDING = 1e-12
"""Rounding error of a squared distance, relative to the squared norms of its ends."""


class PrecisionRecall(NamedTuple):
    """**Fields:**

    - `precision`: share of generated images that lie in the neighbourhood of a real one.
    - `recall`: share of real images that lie in the neighbourhood of a generated one.
    - `density`: mean number of real neighbourhoods that a generated image lies in, over `k` (Naeem
        et al. 2020). Unlike `precision`, one outlier's large neighbourhood does not mislead it. It
        may exceed 1.
    - `coverage`: share of real images whose neighbourhood holds a generated one.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    generated: Float[np.ndarray, "images features"],
    real: Float[np.ndarray, "others features"],
    *,
    neighbours: int = 3,
    block: int = BLOCK,
) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019, section 2).

    The neighbourhood of an image is the closed ball up to its `neighbours`-th nearest image of its
    own set; points that are as far within rounding lie inside. Computed in float64, on the default
    device; `block x block` distances are in memory at a time.

    **Arguments:**

    - `generated`, `real`: features of each image. Take equal numbers of both: the scores depend on
        them.
    - `neighbours`: k; the papers take 3 for precision and recall, 5 for density and coverage.
    - `block`: side of a block of distances.

    **Raises** `ValueError` for fewer than `neighbours + 1` images.
    """
    check_pair(generated, real, least=neighbours + 1)
    if neighbours < 1 or block <= neighbours:
        raise ValueError(
            f"Precision and recall take at least 1 neighbour and larger blocks, received "
            f"neighbours={neighbours}, block={block}."
        )
    block = min(block, max(len(generated), len(real)))  # a block is padded to its size
    with jax.enable_x64(True):
        # Centred features: a large common offset would cost digits of the distances.
        centre = np.asarray(real, np.float64).mean(axis=0)
        generated_rows, real_rows = (_blocks(x - centre, block) for x in (generated, real))
        inside, covered = _inside(generated_rows, real_rows, _radii(real_rows, neighbours))
        counts, _ = _inside(real_rows, generated_rows, _radii(generated_rows, neighbours))
    return PrecisionRecall(
        precision=float(np.mean(inside[: len(generated)] > 0)),
        recall=float(np.mean(counts[: len(real)] > 0)),
        density=float(np.mean(inside[: len(generated)]) / neighbours),
        coverage=float(np.mean(covered[: len(real)])),
    )


class _Block(NamedTuple):
    """Some images of a set, padded to the size of a block. `exists` is false for the padding."""

    rows: Float[Array, "block features"]
    exists: Bool[Array, "block"]
    position: Int[Array, "block"]


def _blocks(features: np.ndarray, size: int) -> list[_Block]:
    out = []
    for start in range(0, len(features), size):
        rows = np.asarray(features[start : start + size], np.float64)
        exists = np.arange(size) < len(rows)
        rows = np.pad(rows, ((0, size - len(rows)), (0, 0)))
        index = np.arange(start, start + size)
        out.append(_Block(*jax.device_put((rows, exists, index))))
    return out


def _radii(blocks: list[_Block], neighbours: int) -> list[Float[np.ndarray, "block"]]:
    """The squared distance of each image to its k-th nearest other image."""
    out = []
    for block in blocks:
        nearest = np.full((len(block.rows), neighbours), np.inf)
        for other in blocks:
            nearest = _nearer(block, other, nearest)
        out.append(np.asarray(nearest)[:, -1])
    return out


@jax.jit
def _nearer(
    block: _Block, other: _Block, nearest: Float[Array, "block neighbours"]
) -> Float[Array, "block neighbours"]:
    distances = _distances(block.rows, other.rows)
    counts = other.exists & (block.position[:, None] != other.position)
    distances = jnp.where(counts, distances, jnp.inf)
    every = jnp.concatenate([nearest, distances], axis=1)
    return -jax.lax.top_k(-every, nearest.shape[1])[0]


def _inside(
    points: list[_Block], centres: list[_Block], radii: list[Float[np.ndarray, "block"]]
) -> tuple[np.ndarray, np.ndarray]:
    """The number of balls that each point lies in, and whether each ball holds a point."""
    counts, filled = [], [np.zeros(len(c.rows), bool) for c in centres]
    for point in points:
        count = np.zeros(len(point.rows), int)
        for i, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
            count, filled[i] = _counted(point, centre, radius, count, filled[i])
        counts.append(count)
    return np.concatenate(counts), np.concatenate(filled)


@jax.jit
def _counted(
    point: _Block,
    centre: _Block,
    radius: Float[Array, "centres"],
    count: Int[Array, "points"],
    filled: Bool[Array, "centres"],
) -> tuple[Int[Array, "points"], Bool[Array, "centres"]]:
    """The counts and the filled balls with those of one block of centres added."""
    within = _within(point, centre, radius)
    return count + jnp.sum(within, axis=1), filled | jnp.any(within, axis=0)


def _within(
    point: _Block, centre: _Block, radius: Float[Array, "centres"]
) -> Bool[Array, "points centres"]:
    # Rounding errors grow with the norms: of this point, and of the neighbour that gave the radius,
    # whose norm is at most that of the centre plus the radius.
    slack = 1e-9 * radius + ROUNDING * _norms(point.rows, centre.rows)
    within = _distances(point.rows, centre.rows) <= radius + slack
    return within & centre.exists & point.exists[:, None]


def _distances(
    x: Float[Array, "rows features"], y: Float[Array, "columns features"]
) -> Float[Array, "rows columns"]:
    """Squared distances. Values that rounding alone can give equal rows are set to 0."""
    norms = _norms(x, y)
    squared = norms - 2.0 * (x @ y.T)
    return jnp.where(squared > ROUNDING * norms, squared, 0.0)


def _norms(
    x: Float[Array, "rows features"], y: Float[Array, "columns features"]
) -> Float[Array, "rows columns"]:
    return jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)
