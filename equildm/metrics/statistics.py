"""Mean and covariance of features, in float64, collected in any number of pieces.

The network's features are float32, their sums are float64: FID is a small difference of large
traces. The sums are taken on the host, batch by batch. This gives the same result on every platform
(TPUs have no float64) and costs a small part of what the network costs.
"""

import dataclasses
import functools
import itertools
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Float

from ..features import AbstractFeatureExtractor, stream_features
from ..runtime import replacing

UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error)
"""The errors of reading a file that is not an `.npz`, or that lacks an array. A `.npy` raises
TypeError."""

ROWS = 512
"""Rows of features that are collected before they are merged."""


@dataclasses.dataclass(frozen=True)
class FeatureStatistics:
    """Count, mean and scatter of features.

    The statistics of parts, of any size and from any process, merge to those of the union up to
    rounding (Chan et al. 1979). No part is subtracted from another, so nothing cancels.

    **Fields:**

    - `extractor`: the feature network and the size at which it saw the images, see
        `describe_features`. Features of two extractors do not merge.
    - `count`: the number of images.
    - `mean`: the mean of their features.
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
                f"received shape {rows.shape} with {np.count_nonzero(~np.isfinite(rows))} values "
                "that are not finite. Look for NaN in the images."
            )
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(extractor, len(rows), mean, centred.T @ centred)

    def merge(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """The statistics of both sets together."""
        check_alike(self, other)
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        between = np.outer(step, step) * (self.count * other.count / count)
        return FeatureStatistics(
            self.extractor, count, mean, self.scatter + other.scatter + between
        )

    def across_processes(self) -> "FeatureStatistics":
        """The merged statistics of all processes of `jax.distributed`.

        Every process calls this with its own part. They are merged in the order of the processes,
        so that all processes get the same bits.
        """
        # As uint32: an exchange of float64 would round to float32.
        own = np.concatenate([[self.count], self.mean, self.scatter.ravel()]).view(np.uint32)
        rows = np.asarray(multihost_utils.process_allgather(own)).reshape(-1, own.size)
        size = len(self.mean)
        total: FeatureStatistics | None = None
        for row in np.ascontiguousarray(rows).view(np.float64):
            scatter = row[1 + size :].reshape(size, size)
            part = FeatureStatistics(self.extractor, int(row[0]), row[1 : 1 + size], scatter)
            total = part if total is None else total.merge(part)
        assert total is not None
        return total

    @property
    def covariance(self) -> Float[np.ndarray, "features features"]:
        """The unbiased covariance, `scatter / (count - 1)`."""
        if self.count < 2:
            raise ValueError(
                f"A covariance takes at least 2 images, received {self.count}. Collect more."
            )
        return self.scatter / (self.count - 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an `.npz` with `mu` and `sigma` (the unbiased covariance), which pytorch-fid and
        others read, and with `count` and `extractor`."""
        content = {"count": self.count, "extractor": self.extractor}
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, mu=self.mean, sigma=self.covariance, **content)  # type: ignore[arg-type]

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        extractor: str | None = None,
        count: int | None = None,
    ) -> "FeatureStatistics":
        """Reads a file of `save`, or a public `.npz` with `mu` and `sigma` alone.

        **Arguments:**

        - `path`: the file.
        - `extractor`: the network that a public file was made with, see `describe_features`. You
            supply it because such a file does not record it.
        - `count`: the number of images of a public file, which it does not record either.

        **Raises** `ValueError` that names the file if it is neither, if `extractor` or `count` is
        missing, or if one of them differs from what the file records.
        """
        path = Path(path)
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                mean, covariance = (np.asarray(file[k], np.float64) for k in ("mu", "sigma"))
                written = {k: file[k].item() for k in ("extractor", "count") if k in file}
        except UNREADABLE as error:
            raise ValueError(
                f"{path} must be an .npz with 'mu' and 'sigma', and is not: {error}. Check the "
                "path."
            ) from error
        supplied = {"extractor": extractor, "count": count}
        for name, value in supplied.items():
            if name not in written and value is None:
                raise ValueError(f"{path} does not record its {name}. Give {name}=.")
            if name in written and value not in (None, written[name]):
                raise ValueError(
                    f"{path} records the {name} {written[name]!r}, received {name}={value!r}. "
                    "Leave it out, or give the file of that."
                )
        facts = {k: v for k, v in supplied.items() if v is not None} | written
        check_moments(path, facts["count"], mean, covariance)
        scatter = covariance * (facts["count"] - 1)
        return cls(str(facts["extractor"]), int(facts["count"]), mean, scatter)


def collect_statistics(
    extractor: AbstractFeatureExtractor,
    images: Iterable[np.ndarray],
    *,
    taps: Sequence[int] = (-1,),
    batch: int = 32,
    mesh: Mesh | None = None,
) -> FeatureStatistics:
    """The statistics of images that are read one batch at a time.

    Neither all images nor all features are in memory. The arguments are those of `pool_features`.
    With several processes, each collects its own images and `across_processes` merges them.
    """
    images = iter(images)
    first = next(images, None)
    if first is None:
        raise ValueError("collect_statistics takes at least one image, received none.")
    name, every = describe_features(extractor, first.shape), itertools.chain([first], images)
    parts = _joined(stream_features(extractor, every, taps=taps, batch=batch, mesh=mesh))
    return functools.reduce(
        FeatureStatistics.merge, (FeatureStatistics.of(name, rows) for rows in parts)
    )


def describe_features(extractor: AbstractFeatureExtractor, shape: Sequence[int]) -> str:
    """What features are of: "Inception-2015, tf1-bilinear 299", or "VGG16, 32 pixels".

    A network without a resize sees images as they are, and its features of small ones do not
    compare with those of large ones.

    **Arguments:**

    - `extractor`: the network.
    - `shape`: of an image or of several, `(..., height, width, 3)`.

    **Raises** `ValueError` for images smaller than the network takes.
    """
    if extractor.resize is not None:
        return extractor.description
    height, width = shape[-3:-1]
    if min(height, width) < extractor.smallest:
        raise ValueError(
            f"{extractor.name} takes images of at least {extractor.smallest} pixels a side, "
            f"received {height}x{width}. Take another network, or wrap it in Resized."
        )
    size = f"{height}" if height == width else f"{height}x{width}"
    return f"{extractor.description}, {size} pixels"


def _joined(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows in larger parts: one merge costs as much as hundreds of rows."""
    pending: list[np.ndarray] = []
    for part in parts:
        pending.append(part)
        if sum(map(len, pending)) >= ROWS:
            yield np.concatenate(pending)
            pending = []
    if pending:
        yield np.concatenate(pending)


def check_moments(path: Path, count: object, mean: np.ndarray, square: np.ndarray) -> None:
    """Raises `ValueError` unless a file holds a count of at least 2, a mean, and a covariance or
    scatter of that size."""
    if not isinstance(count, int | np.integer) or count < 2:
        raise ValueError(
            f"{path}: its count must be a whole number of at least 2, received {count!r}. Make it "
            "again."
        )
    if mean.ndim != 1 or square.shape != 2 * mean.shape or not mean.size:
        raise ValueError(
            f"{path} must hold a mean (features,) and a covariance (features, features), received "
            f"a mean of {mean.shape} and a covariance of {square.shape}. Make it again."
        )
    if not (np.isfinite(mean).all() and np.isfinite(square).all()):
        raise ValueError(
            f"{path} must hold a finite mean and covariance, received some that are not finite. "
            "Make it again."
        )


def check_alike(a: FeatureStatistics, b: FeatureStatistics) -> None:
    """Raises `ValueError` unless both are of features of one extractor."""
    if (a.extractor, a.mean.shape) != (b.extractor, b.mean.shape):
        raise ValueError(
            "Two sets of features compare if they are of one network, received "
            f"{a.extractor} {a.mean.shape} and {b.extractor} {b.mean.shape}. Collect them alike."
        )
