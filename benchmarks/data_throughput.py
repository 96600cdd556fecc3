"""How many samples a second come out of a cache of latents, and out of JPEG files.

    python benchmarks/data_throughput.py
    EQUILDM_PEER_PYTHON=.venv-peers/bin/python python benchmarks/data_throughput.py

The cache is that of the paper's 39M network: latents of 64 x 64 x 4, each with 77 tokens of width
768. It is read in batches, from memory and from the disk (whose files the system may still hold).
JPEG files are read from a folder and from a tar, reduced to `--size` and batched. The peer is
PyTorch's `DataLoader` with Pillow and a worker for each core, over the folder.
"""

import dataclasses
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._peer import Peer, peer_python
from equildm import TextEmbedding
from equildm.data import (
    AbstractDataset,
    AbstractSource,
    batches,
    CachedLatents,
    Crop,
    decode_image,
    FolderSource,
    ImageDataset,
    LatentCache,
    prefetch,
    WebDatasetSource,
)

CHIPS, PEAK, SHARE, STEP = 8, 197e12, 0.4, 173e9
"""TPU v5e chips, FLOP/s of each in bfloat16, the share of it that is assumed, and the operations of
an example's forward and backward pass through the 39M network (docs/scale.md)."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    samples: int = 4096
    """Latents in the cache, of 150 KB with their captions."""
    batch_size: int = 2048
    """Latents in a batch."""
    images: int = 64
    """JPEG files."""
    height: int = 3000
    """Of the JPEG files, in pixels."""
    width: int = 4000
    """Of the JPEG files, in pixels."""
    size: int = 256
    """Side that images are reduced to."""
    seconds: float = 10.0
    """How long each reading is timed, at least."""


class Numbered(AbstractSource):
    """One small image, over and over, each time with a caption of its own."""

    fingerprint = "numbered"

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        return f"image {index}"

    def caption(self, index: int) -> str:
        return f"caption number {index}"

    def image(self, index: int) -> np.ndarray:
        return np.full((8, 8, 3), index % 256, np.uint8)


def write_cache(folder: Path, samples: int) -> Path:
    """A cache of random latents and embeddings; the path of its folder."""
    rng = np.random.default_rng(0)

    def encode_captions(captions: Sequence[str]) -> TextEmbedding:
        tokens = rng.standard_normal((len(captions), 77, 768), np.float32)
        return TextEmbedding(jnp.asarray(tokens), jnp.ones((len(captions), 77), bool))

    cache = LatentCache(
        folder=folder,
        encode_images=lambda images: jnp.asarray(
            rng.standard_normal((len(images), 64, 64, 4), np.float32)
        ),
        encode_captions=encode_captions,
        image_key="random",
        caption_key="random",
    )
    return cache.latents(Numbered(samples), 8).folder


def write_jpegs(folder: Path, config: Config) -> Path:
    """JPEG files of noise with the spectrum of photographs, and a tar of them; the tar's path."""
    shape = (config.height, config.width, 3)
    rows, columns = np.fft.fftfreq(shape[0])[:, None, None], np.fft.rfftfreq(shape[1])[:, None]
    falling = np.maximum(np.hypot(rows, columns), 1 / shape[1]) ** 1.2
    folder.mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).standard_normal((*shape[:2], 1), np.float32)
        pixels = np.fft.irfft2(np.fft.rfft2(noise, axes=(0, 1)) / falling, shape[:2], axes=(0, 1))
        grey = (128 + 45 * pixels / pixels.std()).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(grey.repeat(3, 2))
        for place in range(number, config.images, 4):
            image.save(folder / f"{place:04d}.jpg", quality=90)
    tar = folder.parent / "images.tar"
    with tarfile.open(tar, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return tar


def rate(iterator: Iterator[Any], batch: int, seconds: float) -> float:
    """Examples a second, after the first two batches."""
    for _ in range(2):
        jax.block_until_ready(next(iterator))
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        jax.block_until_ready(next(iterator))
        count += batch
    return count / (time.perf_counter() - begun)


def read(dataset: AbstractDataset, batch: int, seconds: float) -> tuple[float, float]:
    """Examples a second in the host's memory, and on the device: as they are stored, which is what
    the training asks for."""
    source = batches(dataset, batch_size=batch, seed=0)
    host = rate(iter(source.stored, None), batch, seconds)
    with prefetch(batches(dataset, batch_size=batch, seed=0), stored=True) as ahead:
        return host, rate(ahead, batch, seconds)


def latents(folder: Path, config: Config) -> None:
    """Prints the rates of the cache."""
    needed = CHIPS * PEAK * SHARE / STEP
    print(f"needed at {SHARE:.0%} of {CHIPS} v5e chips: {needed:,.0f} samples/s")
    cache = write_cache(folder, config.samples)
    for name, in_memory in (("memory", True), ("disk", False)):
        dataset = CachedLatents(cache, in_memory=in_memory)
        host, device = read(dataset, config.batch_size, config.seconds)
        print(f"latents from {name:6}: {host:7,.0f} samples/s, {device:7,.0f} to the device")


def jpegs(folder: Path, config: Config) -> None:
    """Prints the rates of JPEG files."""
    tar, cores = write_jpegs(folder, config), len(os.sched_getaffinity(0))
    data = next(folder.iterdir()).read_bytes()
    print(f"JPEG of {config.width}x{config.height}, {len(data) / 1e6:.1f} MB, to {config.size}")
    for side in (None, config.size):
        begun = time.perf_counter()
        for _ in range(5):
            Crop(config.size)(decode_image(data, "image", side=side))
        milliseconds = 200 * (time.perf_counter() - begun)
        print(f"one image, {'whole' if side is None else 'reduced':7}: {milliseconds:6.1f} ms")
    for name, source in (("folder", FolderSource(folder)), ("tar", WebDatasetSource([tar]))):
        dataset = ImageDataset(source, Crop(config.size))
        host, _ = read(dataset, 16, config.seconds)
        print(f"JPEG from {name:6}: {host:6.1f} images/s, {host / cores:5.1f} a core")
    if peer_python() is None:
        return
    setup = {"paths": [str(path) for path in folder.iterdir()], "size": config.size}
    with Peer("benchmarks/peers/jpeg_worker.py", setup | {"batch_size": 16, "workers": cores}) as p:
        for draft in (False, True):
            answer = p("read", draft=draft, seconds=config.seconds)
            value = answer["images"] / answer["seconds"]
            kind = "draft" if draft else "whole"
            print(f"DataLoader, {kind:5}: {value:6.1f} images/s, {value / cores:5.1f} a core")


def main(config: Config) -> None:
    with tempfile.TemporaryDirectory() as name:
        latents(Path(name) / "cache", config)
        jpegs(Path(name) / "images", config)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
