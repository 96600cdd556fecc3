"""Making a cache: every image and every distinct caption is encoded once, on all accelerators.

    <folder>/latents-<key>/   latents by image, of one VAE, crop and dtype: see `store`
    <folder>/texts-<key>/     embeddings by caption, of one text encoder
    <folder>/<key>/           a data set: which of them are its samples
    <folder>/.<key>.part/     one that is being made: see `segments`

What is in a store is not encoded again: not after an interruption, not for one more image, not for
another split, and no latents for another text encoder.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

import jax

from ..runtime import barrier, broadcast_from_first, first_process
from .compose import compose
from .encode import CaptionEncoder, EncodeCaptions, EncodeImages, LatentEncoder
from .latents import CachedLatents, FORMAT
from .segments import make_segments, Segments, shares
from .skips import over_limit, Skips
from .source import AbstractSource, digest
from .store import RecordStore
from .transforms import Crop

_log = logging.getLogger("equildm.data")

Progress = Callable[[int, int], None]


def cached_latents(
    source: AbstractSource,
    *,
    size: int,
    encode_images: EncodeImages,
    encode_captions: EncodeCaptions,
    image_key: str,
    caption_key: str,
    folder: str | Path,
    flip: bool = False,
    batch: int = 64,
    dtype: Literal["float16", "float32"] = "float16",
    max_skipped: float = 0.05,
    progress: Progress | None = None,
) -> CachedLatents:
    """The latents and text embeddings of `source`, from a cache in `folder` that is made if absent.

    All processes of a launch call it and share the work, each with its own `encode_images`.

    **Arguments:**

    - `source`: captioned images. Unusable ones are logged, counted in the manifest and left out.
        An error of the machine while one is read, an `OSError`, ends the build.
    - `size`: images are cropped in the middle to `size` x `size`.
    - `encode_images`: a batch of images in [-1, 1] to latents. Jit it: the shape is always
        `(batch, size, size, 3)`, because the last batch is filled up.
    - `encode_captions`: `batch` captions to embeddings with a leading axis. The empty caption is
        always encoded too.
    - `image_key`: fingerprint of the VAE, and of all else that `encode_images` depends on.
    - `caption_key`: fingerprint of the text encoder.
    - `folder`: of the caches.
    - `flip`: add the mirror image of each image, as a further sample.
    - `batch`: images encoded at once.
    - `dtype`: of the latents on disk (text is float16). float16 has 11 bits, enough for latents of
        about unit scale.
    - `max_skipped`: share of the samples that may be unusable. One more ends the build.
    - `progress`: called with (number of images done, number of all images).

    A build that was interrupted goes on where it was, with any number of processes. Launches that
    need the same cache at once, on one file system, wait for the one that builds it.

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
    latent_key = {"crop": crop.fingerprint, "dtype": dtype, "images": image_key}
    text_key = {"captions": caption_key}
    key = {"format": str(FORMAT), "data": source.fingerprint, "flip": str(flip)}
    key |= latent_key | text_key
    root = Path(folder)
    finished = root / _digest(key)
    stores = root / f"latents-{_digest(latent_key)}", root / f"texts-{_digest(text_key)}"

    def build(processes: int) -> None:
        segments = Segments(root / f".{finished.name}.part")
        remarks = source.remarks.counts
        latents = LatentEncoder(stores[0], encode_images, batch, crop.size, dtype)
        captions = CaptionEncoder(stores[1], encode_captions, batch)
        captions.add("")
        missing = segments.missing(len(source))
        share = shares(missing, processes)[jax.process_index() if processes > 1 else 0]
        before = len(source) - sum(stop - start for start, stop in missing)
        skips = Skips(source, max_skipped)

        def count(done: int) -> None:
            if progress is not None:
                progress(min(before + done * processes, len(source)), len(source))

        _together(processes, "a cache is begun")  # everyone has seen what is missing
        make_segments(segments, share, source, crop, latents, captions, skips, count, flip=flip)
        skips.summarise()
        _together(processes, "a cache is encoded")
        if processes == 1 or first_process():
            with segments, _appears_whole(finished) as part:
                compose(
                    part,
                    segments,
                    source,
                    RecordStore(stores[0]),
                    RecordStore(stores[1]),
                    flip=flip,
                    dtype=dtype,
                    key=key,
                    remarks=remarks,
                    max_skipped=max_skipped,
                )

    _once(finished, build)
    cache = CachedLatents(finished)
    os.utime(finished)  # when it was last used
    _check_skips(cache, max_skipped)
    return cache


def _digest(key: dict[str, str]) -> str:
    return digest(f"{name}={key[name]}" for name in sorted(key))


def _check_skips(cache: CachedLatents, limit: float) -> None:
    """Says what a cache lacks, which may have been made under another limit."""
    counts: dict[str, int] = cache.manifest["skipped"]
    lost = sum(counts.values())
    total = cache.manifest["images"] + lost
    if lost / total > limit:
        raise ValueError(over_limit(limit, total, counts, cache.manifest["skipped_names"]))
    if lost:
        _log.warning("%s lacks %d of %d samples: %s", cache.folder, lost, total, counts)


def _once(finished: Path, build: Callable[[int], None]) -> None:
    """Calls `build` with the number of processes that share the work, unless all is there."""
    finished.parent.mkdir(parents=True, exist_ok=True)
    lock = finished.with_name(f".{finished.name}.lock")
    if jax.process_count() == 1 or not _share_folder(finished.parent):
        if not finished.exists():
            with _only_one(lock):
                if not finished.exists():
                    build(1)
        return
    if broadcast_from_first(int(finished.exists())):
        return
    with _only_one(lock) if first_process() else contextlib.nullcontext():
        if not broadcast_from_first(int(finished.exists())):
            build(jax.process_count())
        barrier("a cache is made")


def _share_folder(folder: Path) -> bool:
    """Whether all processes see one folder, and not each a folder of its own machine."""
    from jax.experimental import multihost_utils

    token = time.time_ns() if first_process() else None
    token = broadcast_from_first(token)
    mark = folder / f".{token}.mark"
    if first_process():
        mark.touch()
    barrier("a folder is marked")
    seen = multihost_utils.process_allgather(mark.exists())
    if first_process():
        mark.unlink()
    return bool(seen.all())


def _together(processes: int, name: str) -> None:
    if processes > 1:
        barrier(name)


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """A lock that one process holds at a time. The system releases it when that process ends."""
    with lock.open("w") as file:
        if not _acquire(file):
            _log.warning("another launch makes this cache: waiting for it")
        while not _acquire(file):
            time.sleep(0.2)  # ctrl-C ends it
        yield


def _acquire(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
