"""Making a cache: every picture and every distinct caption is encoded once, on the accelerator."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Array, Float

from .._types import TextEmbedding
from .checked import Skips
from .encode import cropped, LatentWriter, TextWriter
from .latents import CachedLatents, FORMAT, MANIFEST, NAMES
from .sample import AbstractSource, digest
from .transforms import Crop, to_unit

EncodeImages = Callable[[Float[np.ndarray, "batch height width 3"]], Float[Array, "batch h w c"]]
EncodeCaptions = Callable[[Sequence[str]], TextEmbedding]
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
    progress: Progress | None = None,
) -> CachedLatents:
    """The latents and text embeddings of `source`: read from `folder`, or made there first.

    **Arguments:**

    - `source`: captioned pictures. Unusable ones are logged, counted in the manifest and left out.
    - `size`: pictures are cropped in the middle to `size` x `size`.
    - `encode_images`: pictures in [-1, 1] to latents, for whole batches. Jit it: the shape is
        always `(batch, size, size, 3)`, the last batch being filled up.
    - `encode_captions`: `batch` captions to embeddings with a leading axis. The empty caption is
        always among them.
    - `key_parts`: fingerprints of the VAE and the text encoder, and whatever else the latents
        depend on. With the fingerprint of the data and the crop they name the cache, so that a
        change of any makes a new one beside the old.
    - `folder`: where caches live, one sub-folder each.
    - `flip`: also keep each picture's mirror image, as a further sample.
    - `dtype`: of the latents on disk (text is float16). float16 has 11 bits: enough for latents of
        about unit scale.
    - `progress`: called with (pictures done, pictures in all).

    An interrupted build leaves nothing that could be taken for a cache. Processes that want the
    same cache at once on one file system wait for the one that builds it.

    Raises `ValueError` if nothing is usable, or an encoder's output is unfit.
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
                    manifest = _build(part, source, crop, flip, writer, texts, progress)
                    manifest |= {"format": FORMAT, "key": key}
                    (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return CachedLatents(finished)


def _build(
    folder: Path,
    source: AbstractSource,
    crop: Crop,
    flip: bool,
    latents: LatentWriter,
    texts: TextWriter,
    progress: Progress | None,
) -> dict[str, Any]:
    skips = Skips(source)
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
        "pictures": used,
        "samples": sum(latents.files.values()),
        "captions": texts.count,
        "skipped": skips.counts,
        "skipped_names": {reason: every[:100] for reason, every in skips.names.items()},
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
    """Held by one process at a time. The system lets go when a process dies, however it dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _appears_whole(folder: Path) -> Iterator[Path]:
    """A folder to write in. It gets its name if the block ends well, and goes if it does not."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    # Under the lock: what is there was left by a process that died.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
