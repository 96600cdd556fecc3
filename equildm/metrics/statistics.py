"""Mean and covariance of features, in float64, collected in any number of pieces.

The network's features are float32, their sums are not: FID is a small difference of large traces.
The sums are made on the host, batch by batch, which is the same on every platform (TPUs have no
float64) and a small part of what the network costs.
"""

import dataclasses
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Float

from ..features import AbstractFeatureExtractor, described, stream_features
from ..runtime import replacing

UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error)
"""What reading a file raises that is no `.npz`, or one of other arrays. A `.npy` is a TypeError."""

ROWS = 512
"""Features that are put together before they are merged."""


@dataclasses.dataclass(frozen=True)
class FeatureStatistics:
    """Count, mean and scatter of features.

    Pieces of any size, from any process, merge to the statistics of the whole up to rounding
    (Chan et al. 1979): no piece is subtracted from another, so that nothing cancels.

    **Fields:**

    - `extractor`: the network that gave the features and the resizing before it. Sets of
        different ones do not mix.
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
        check_alike(self, other)
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        between = np.outer(step, step) * (self.count * other.count / count)
        return FeatureStatistics(
            self.extractor, count, mean, self.scatter + other.scatter + between
        )

    def across_processes(self) -> "FeatureStatistics":
        """Those of all processes of `jax.distributed`, each of which gives its own and gets all.

        In order of the processes, so that all get the same bits.
        """
        # Bytes, because an exchange of float64 would round to float32.
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
            raise ValueError(f"A covariance takes at least 2 features, received {self.count}.")
        return self.scatter / (self.count - 1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an `.npz` with the public names `mu` and `sigma` (the unbiased covariance), which
        pytorch-fid and others read, and beside them `count` and `extractor`."""
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
        """Reads what `save` wrote, or a public `.npz` with `mu` and `sigma` alone. Any other file
        is a `ValueError` that names it.

        **Arguments:**

        - `path`: the file.
        - `extractor`: what a public file was made with, `described(network)`: it does not say.
        - `count`: of how many images it is, which it does not say either.
        """
        path = Path(path)
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                mean, covariance = (np.asarray(file[k], np.float64) for k in ("mu", "sigma"))
                written = {k: file[k].item() for k in ("extractor", "count") if k in file}
        except UNREADABLE as error:
            raise ValueError(
                f"{path} must be an .npz with 'mu' and 'sigma', and is not: {error}."
            ) from error
        told = {k: v for k, v in (("extractor", extractor), ("count", count)) if v is not None}
        for name in ("extractor", "count"):
            if name not in written | told:
                raise ValueError(f"{path} does not say its {name}. Give {name}=.")
            if written.get(name, told.get(name)) != told.get(name, written.get(name)):
                raise ValueError(f"{path}: its {name} is {written[name]!r}, not {told[name]!r}.")
        known = written | told
        check_moments(path, known["count"], mean, covariance)
        scatter = covariance * (known["count"] - 1)
        return cls(str(known["extractor"]), int(known["count"]), mean, scatter)


def collect_statistics(
    extractor: AbstractFeatureExtractor,
    images: Iterable[np.ndarray],
    *,
    taps: Sequence[int] = (-1,),
    batch: int = 32,
    mesh: Mesh | None = None,
) -> FeatureStatistics:
    """The statistics of images that are never all in memory, nor are their features.

    The arguments are those of `pool_features`. With several processes each gives its own images,
    and `across_processes` joins them.
    """
    total: FeatureStatistics | None = None
    name = described(extractor)
    for rows in _joined(stream_features(extractor, images, taps=taps, batch=batch, mesh=mesh)):
        part = FeatureStatistics.of(name, rows)
        total = part if total is None else total.merge(part)
    if total is None:
        raise ValueError("collect_statistics takes at least one image, received none.")
    return total


def _joined(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows in larger pieces: merging one costs as much as hundreds of rows do."""
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) >= ROWS:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def check_moments(path: Path, count: Any, mean: np.ndarray, square: np.ndarray) -> None:
    """Raises `ValueError` unless a file's arrays are of `count` features: their mean, and their
    covariance or scatter."""
    if not isinstance(count, int | np.integer) or count < 2:
        raise ValueError(f"{path}: its count must be a whole number of at least 2, not {count!r}.")
    if mean.ndim != 1 or square.shape != 2 * mean.shape or not mean.size:
        raise ValueError(
            f"{path} must hold a mean (features,) and a covariance (features, features), and holds "
            f"a mean of {mean.shape} and a covariance of {square.shape}."
        )
    if not (np.isfinite(mean).all() and np.isfinite(square).all()):
        raise ValueError(f"{path} holds a mean or a covariance that is not finite. Make it again.")


def check_alike(a: FeatureStatistics, b: FeatureStatistics) -> None:
    """Raises `ValueError` unless both are of features of one kind."""
    if (a.extractor, a.mean.shape) != (b.extractor, b.mean.shape):
        raise ValueError(
            "Two sets of features must come from one network, received "
            f"{a.extractor} {a.mean.shape} and {b.extractor} {b.mean.shape}."
        )
