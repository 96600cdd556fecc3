"""Small sources and encoders for the tests of the data package."""

import io
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from equildm._types import TextEmbedding
from equildm.data import AbstractSource, LatentCache, UnusableSample


class ListSource(AbstractSource):
    """Images and captions in memory; None in place of either is an unusable sample."""

    def __init__(self, images, captions, fingerprint="list"):
        self._images, self._captions, self._fingerprint = images, captions, fingerprint
        self.decoded = 0

    @property
    def fingerprint(self):
        return self._fingerprint

    def __len__(self):
        return len(self._images)

    def name(self, index):
        return f"image {index}"

    def caption(self, index):
        if self._captions[index] is None:
            raise UnusableSample("missing caption", self.name(index))
        return self._captions[index]

    def image(self, index):
        self.decoded += 1
        if self._images[index] is None:
            raise UnusableSample("broken image", self.name(index))
        return self._images[index]


@pytest.fixture
def make_source() -> Callable[..., ListSource]:
    """`make_source(count, side, broken=(), mute=())`: random images, captions in threes."""

    def make(count, side=16, broken=(), mute=(), fingerprint="list"):
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count)]
        captions = [f"thing number {index // 3}" for index in range(count)]
        return ListSource(
            [None if index in broken else image for index, image in enumerate(images)],
            [None if index in mute else caption for index, caption in enumerate(captions)],
            fingerprint,
        )

    return make


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """`encode(image, "PNG")`: an image as the bytes of a file."""

    def run(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
        data = io.BytesIO()
        Image.fromarray(image).save(data, kind, **options)
        return data.getvalue()

    return run


@pytest.fixture
def pool() -> Callable[[np.ndarray], np.ndarray]:
    """A stand-in for a VAE with a known answer: means over 4x4 blocks, and twice the first."""

    def run(images: np.ndarray) -> np.ndarray:
        batch, height, width, _ = images.shape
        blocks = images.reshape(batch, height // 4, 4, width // 4, 4, 3).mean((2, 4))
        return np.concatenate([blocks, 2 * blocks[..., :1]], -1)

    return run


@pytest.fixture
def spell() -> Callable[[Sequence[str]], TextEmbedding]:
    """A stand-in for a text encoder: 24 letters, each two numbers exact in float16."""

    def run(captions: Sequence[str]) -> TextEmbedding:
        letters = np.zeros((len(captions), 24), np.float32)
        for row, caption in zip(letters, captions, strict=True):
            codes = [ord(letter) / 128 for letter in caption[:24]]
            row[: len(codes)] = codes
        tokens = jnp.asarray(np.stack([letters, -letters], -1))
        return TextEmbedding(tokens=tokens, mask=jnp.asarray(letters > 0))

    return run


@pytest.fixture
def build(tmp_path, pool, spell):
    """`build(source, **options)`: the latents of a `LatentCache` with the stand-in encoders."""

    def run(source, size=16, buckets=None, **options):
        defaults = {
            "encode_images": pool,
            "encode_captions": spell,
            "image_key": "pool",
            "caption_key": "spell",
            "folder": tmp_path / "caches",
            "batch": 4,
            "max_skipped": 1.0,
        }
        cache = LatentCache(**(defaults | options))
        return cache.latents(source, size) if buckets is None else cache.bucketed(source, buckets)

    return run
