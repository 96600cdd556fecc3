"""The interface of a feature network: an image to maps at several depths, and their means."""

import abc
from collections.abc import Iterable, Iterator, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from .._types import Image
from ..images import check_pixels, to_unit
from ..runtime import check_batch, put_batch
from .resize import Resize


class AbstractFeatureExtractor(eqx.Module):
    """A network that gives feature maps at several depths ("taps"), shallow to deep."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Its name in those of scores: "VGG16-FID", never "FID"."""

    @property
    @abc.abstractmethod
    def smallest(self) -> int:
        """Smallest height and width of an image."""

    @property
    @abc.abstractmethod
    def channels(self) -> tuple[int, ...]:
        """Channels of each tap."""

    @property
    @abc.abstractmethod
    def resize(self) -> Resize | None:
        """How an image is resized first, if it is."""

    @property
    def description(self) -> str:
        """The name and the resize, "Inception-2015, tf1-bilinear 299". Two sets of features compare
        only if both of them are the same."""
        return self.name + (f", {self.resize}" if self.resize else "")

    @abc.abstractmethod
    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        """The taps of one image in [-1, 1], each `(height, width, channels)`."""


class Resized(AbstractFeatureExtractor):
    """Another extractor with every image resized first.

    **Fields:**

    - `extractor`: the network.
    - `method`: how images are resized.
    """

    extractor: AbstractFeatureExtractor
    method: Resize = eqx.field(static=True)

    @property
    def resize(self) -> Resize:
        return self.method

    @property
    def name(self) -> str:
        return self.extractor.name

    @property
    def description(self) -> str:
        return f"{self.extractor.description}, {self.method}"

    @property
    def smallest(self) -> int:
        return 1

    @property
    def channels(self) -> tuple[int, ...]:
        return self.extractor.channels

    def __call__(self, image: Image) -> tuple[Float[Array, "..."], ...]:
        return self.extractor(self.method(image))


def check_rgb(image: Image, extractor: AbstractFeatureExtractor) -> None:
    """Raises `ValueError` unless this is one RGB image, as large as the network takes."""
    height, width, channels = image.shape
    if channels != 3 or min(height, width) < extractor.smallest:
        raise ValueError(
            f"{extractor.name} takes an RGB image of at least {extractor.smallest} pixels a side, "
            f"shape (height, width, 3), received {image.shape}. Resize it, or vmap over a batch."
        )


def imagenet_input(image: Image, extractor: AbstractFeatureExtractor) -> Image:
    """An image in [-1, 1] shifted and scaled as ImageNet networks expect it.

    `(x - m) / d` with the means and deviations of ImageNet's colours, here for [-1, 1] (those for
    [0, 1] are `(m + 1) / 2` and `d / 2`). The rounded numbers are LPIPS's.
    """
    check_rgb(image, extractor)
    mean = jnp.asarray(np.array([-0.030, -0.088, -0.188], np.float32), image.dtype)
    deviation = jnp.asarray(np.array([0.458, 0.448, 0.450], np.float32), image.dtype)
    return (image - mean) / deviation


def pooled(
    extractor: AbstractFeatureExtractor, image: Image, taps: Sequence[int] = (-1,)
) -> Float[Array, "features"]:
    """The means over positions of the taps of these numbers, joined, in float32."""
    maps = extractor(image)
    return jnp.concatenate([jnp.mean(maps[i].astype(jnp.float32), axis=(0, 1)) for i in taps])


def pool_features(
    extractor: AbstractFeatureExtractor,
    images: Iterable[np.ndarray],
    *,
    taps: Sequence[int] = (-1,),
    batch: int = 32,
    mesh: Mesh | None = None,
) -> Float[np.ndarray, "images features"]:
    """Pooled features of many images of one size, in batches of one shape.

    **Arguments:**

    - `extractor`: the network.
    - `images`: each `(height, width, 3)`, uint8 or floating in [-1, 1] and clipped to it; read one
        batch at a time.
    - `taps`: numbers of the maps to pool; the deepest alone by default.
    - `batch`: images a call. Copies fill the last batch and are dropped again.
    - `mesh`: this process's devices, among which each batch is divided; by default one device.
    """
    parts = list(stream_features(extractor, images, taps=taps, batch=batch, mesh=mesh))
    if not parts:
        raise ValueError("pool_features takes at least one image, received none.")
    return np.concatenate(parts)


def stream_features(
    extractor: AbstractFeatureExtractor,
    images: Iterable[np.ndarray],
    *,
    taps: Sequence[int] = (-1,),
    batch: int = 32,
    mesh: Mesh | None = None,
) -> Iterator[Float[np.ndarray, "images features"]]:
    """The rows of `pool_features`, batch by batch. No more than two batches are in memory.

    The device works on one batch while the previous one is yielded.
    """
    if mesh is not None:
        check_batch(batch, mesh)
    chosen, waiting = tuple(taps), None
    for chunk, count in _batches(images, batch):
        placed = jnp.asarray(chunk) if mesh is None else put_batch(chunk, mesh)
        features = _pool_batch(extractor, placed, chosen)
        if waiting is not None:
            yield np.asarray(waiting[0])[: waiting[1]]
        waiting = features, count
    if waiting is not None:
        yield np.asarray(waiting[0])[: waiting[1]]


@eqx.filter_jit
def _pool_batch(
    extractor: AbstractFeatureExtractor,
    images: Float[Array, "batch height width rgb"],
    taps: tuple[int, ...],
) -> Float[Array, "batch features"]:
    return jax.vmap(lambda image: pooled(extractor, image, taps))(images)


def _batches(images: Iterable[np.ndarray], batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """Stacks of exactly `batch` images, each with the number of them that are real."""
    chunk: list[np.ndarray] = []
    for image in images:
        chunk.append(_unit_range(image))
        if len(chunk) == batch:
            yield np.stack(chunk), batch
            chunk = []
    if chunk:
        yield np.stack(chunk + [chunk[-1]] * (batch - len(chunk))), len(chunk)


def _unit_range(image: np.ndarray) -> Float[np.ndarray, "height width rgb"]:
    """An image of bytes, or of floats in [-1, 1], as float32 in [-1, 1]."""
    array = np.asarray(image)
    check_pixels(array)
    return to_unit(array) if array.dtype == np.uint8 else np.clip(to_unit(array), -1.0, 1.0)
