"""Making a cache: every image and every distinct caption is encoded once, on the accelerator."""

import contextlib
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ..images import to_unit
from .encode import cropped, EncodeCaptions, EncodeImages, LatentWriter, TextWriter
from .latents import CachedLatents, FORMAT, MANIFEST, NAMES
from .skips import over_limit, Skips
from .source import AbstractSource, digest
from .transforms import Crop

_log = logging.getLogger("equildm.data")

Progress = Callable[[int, int], None]


def cached_latents(
    source: AbstractSource,
    *,
    size: int,
    encode_images: EncodeImages,
    encode_captions: EncodeCaptions,
    key_parts: Mapping[str, str],
    folder: str | Path,
    flip: bool = False,
    batch: int = 64,
    dtype: Literal["float16", "float32"] = "float16",
    max_skipped: float = 0.05,
    progress: Progress | None = None,
) -> CachedLatents:
    """The latents and text embeddings of `source`, from a cache in `folder` that is made if absent.

    **Arguments:**

    - `source`: captioned images. Unusable ones are logged, counted in the manifest and left out.
        An error of the machine while one is read, an `OSError`, ends the build.
    - `size`: images are cropped in the middle to `size` x `size`.
    - `encode_images`: a batch of images in [-1, 1] to latents. Jit it: the shape is always
        `(batch, size, size, 3)`, because the last batch is filled up.
    - `encode_captions`: `batch` captions to embeddings with a leading axis. The empty caption is
        always encoded too.
    - `key_parts`: fingerprints of the VAE and the text encoder, and of all else that the latents
        depend on. With the fingerprints of the data and the crop they name the cache: where any of
        them changes, a new cache is made beside the old one.
    - `folder`: of the caches, with a sub-folder for each.
    - `flip`: add the mirror image of each image, as a further sample.
    - `batch`: images encoded at once.
    - `dtype`: of the latents on disk (text is float16). float16 has 11 bits, enough for latents of
        about unit scale.
    - `max_skipped`: share of the samples that may be unusable. One more ends the build.
    - `progress`: called with (number of images done, number of all images).

    An interrupted build leaves nothing that looks like a cache. Processes that need the same cache
    at once, on one file system, wait for the one that builds it.

    **Raises** `ValueError` if no sample is usable or too many are not, or an encoder's output has a
    wrong shape or is not finite.
    """
    if batch < 1:
        raise ValueError(f"The encoding batch must be at least 1; got {batch}.")
    if dtype not in ("float16", "float32"):
        raise ValueError(f"Latents are cached as float16 or float32; got {dtype!r}.")
    if len(source) == 0:
        raise ValueError("A data set must have a usable sample; this one is empty. Check the data.")
    crop = Crop(size)
    key = {
        "format": str(FORMAT),
        "data": source.fingerprint,
        "crop": crop.fingerprint,
        "flip": str(flip),
        "dtype": dtype,
        **{f"key {name}": value for name, value in key_parts.items()},
    }
    root = Path(folder)
    finished = root / digest(f"{name}={key[name]}" for name in sorted(key))
    if not finished.exists():
        root.mkdir(parents=True, exist_ok=True)
        with _only_one(root / f".{finished.name}.lock"):
            if not finished.exists():
                with _appears_whole(finished) as part:
                    writer = LatentWriter(part, encode_images, batch, crop.size, dtype)
                    texts = TextWriter(part, encode_captions, batch)
                    skips = Skips(source, max_skipped)
                    manifest = _build(part, source, crop, flip, writer, texts, skips, progress)
                    manifest |= {"format": FORMAT, "key": key}
                    (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    cache = CachedLatents(finished)
    _check_skips(cache, max_skipped)
    return cache


def _check_skips(cache: CachedLatents, limit: float) -> None:
    """Says what a cache lacks, which may have been made under another limit."""
    counts: dict[str, int] = cache.manifest["skipped"]
    lost = sum(counts.values())
    total = cache.manifest["images"] + lost
    if lost / total > limit:
        raise ValueError(over_limit(limit, total, counts, cache.manifest["skipped_names"]))
    if lost:
        _log.warning("%s lacks %d of %d samples: %s", cache.folder, lost, total, counts)


def _build(
    folder: Path,
    source: AbstractSource,
    crop: Crop,
    flip: bool,
    latents: LatentWriter,
    texts: TextWriter,
    skips: Skips,
    progress: Progress | None,
) -> dict[str, Any]:
    used = 0
    with latents, texts, (folder / NAMES).open("w", encoding="utf-8") as names:
        for index, item in enumerate(cropped(source, crop, skips, ahead=2 * latents.batch)):
            if item is not None:
                pixels, caption = item
                names.write(json.dumps(source.name(index)) + "\n")
                number = texts.number(caption)
                latents.add(to_unit(pixels), number, used, mirrored=False)
                if flip:
                    latents.add(to_unit(pixels[:, ::-1]), number, used, mirrored=True)
                used += 1
            if progress is not None:
                progress(index + 1, len(source))
        skips.require(used)
    skips.summarise()
    return {
        "images": used,
        "samples": sum(latents.files.values()),
        "captions": texts.count,
        "skipped": skips.counts,
        "skipped_names": {reason: names[:100] for reason, names in skips.names.items()},
        "remarks": source.remarks.counts,
        "latent_shape": latents.shape,
        "dtype": latents.dtype,
        "latent_mean": latents.mean,
        "latent_std": latents.std,
        "text_shape": texts.shape,
        "latents": latents.files,
        "texts": texts.files,
    }


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """A lock that one process holds at a time. The system releases it when that process ends."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _appears_whole(folder: Path) -> Iterator[Path]:
    """A folder to write in. It gets its name if the block succeeds, else it is removed."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    # Under the lock: a folder that is there was left by a process that died.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
