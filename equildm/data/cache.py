"""Making a cache: every image and every distinct caption is encoded once, on all accelerators.

    <folder>/latents-<key>/   latents by image, of one VAE, crop and dtype: see `store`
    <folder>/texts-<key>/     embeddings by caption, of one text encoder
    <folder>/<key>/           a data set: which of them are its samples
    <folder>/.<key>.part/     one that is being made: see `segments`

What is in a store is not encoded again: not after an interruption, not for one more image, not for
another split, and no latents for another text encoder.
"""

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax

from ..runtime import barrier, first_process, is_address
from .bucketed import BucketedLatents
from .buckets import Buckets
from .cache_copies import caches_folder
from .cache_mirror import CacheMirror
from .caption_lists import drawing
from .compose import compose
from .encode_captions import CaptionEncoder, EncodeCaptions
from .encode_images import BucketEncoders, EncodeImages, LatentEncoder
from .latents import CachedLatents, FORMAT, listed_shards
from .once import appears_whole, made_once
from .segments import make_segments, Segments, shares
from .skips import check_limit, Skips
from .source import AbstractSource, digest
from .store import keys_file
from .transforms import Crop

_log = logging.getLogger("equildm.data")

LISTING = 2
"""Version of what is listed of a source's samples: 2 lists all of their captions."""

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentCache:
    """A folder of latents and text embeddings, and the encoders that fill it.

        cache = LatentCache(folder="cache", encode_images=encode, encode_captions=embed,
                            image_key=fingerprint(vae), caption_key=text_encoder.fingerprint)
        dataset = cache.latents(training, 512)

    All processes of a launch ask for the same data, and share the work of encoding them. What was
    interrupted goes on where it was, with any number of processes. Launches that need the same data
    at once, on one file system or at one address, wait for the one that encodes them.

    A folder at an address has a local copy. What is encoded there is copied to the address, and
    what is complete at the address is copied here when it is needed.

    **Arguments:**

    - `folder`: of the cache, a path or an address such as `gs://bucket/cache`.
    - `encode_images`: a batch of images in [-1, 1] to latents. Jit it: the shape is always
        `(batch, height, width, 3)`, because the last batch is filled up.
    - `encode_captions`: `batch` captions to embeddings with a leading axis. The empty caption is
        always encoded too.
    - `image_key`: fingerprint of the VAE, and of all else that `encode_images` depends on.
    - `caption_key`: fingerprint of the text encoder.
    - `flip`: add the mirror image of each image, as a further sample.
    - `batch`: images encoded at once.
    - `dtype`: of the latents on disk (text is float16). float16 has 11 bits, enough for latents of
        about unit scale.
    - `max_skipped`: share of the samples that may be unusable. One more is an error.
    - `progress`: called with (number of images done, number of all images).

    **Raises** `ValueError` for values that cannot be.
    """

    folder: str | Path
    encode_images: EncodeImages
    encode_captions: EncodeCaptions
    image_key: str
    caption_key: str
    flip: bool = False
    batch: int = 64
    dtype: Literal["float16", "float32"] = "float16"
    max_skipped: float = 0.05
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"The encoding batch must be at least 1; got {self.batch}.")
        if self.dtype not in ("float16", "float32"):
            raise ValueError(f"Latents are cached as float16 or float32; got {self.dtype!r}.")

    def latents(
        self, source: AbstractSource, size: int, *, with_sizes: bool = False
    ) -> CachedLatents:
        """The samples of `source`, whose images are cropped in the middle to squares.

        **Arguments:**

        - `source`: captioned images. Unusable ones are logged, counted in the manifest and left
            out. An error of the machine while one is read, an `OSError`, ends the build.
        - `size`: side of the squares in pixels.
        - `with_sizes`: see `CachedLatents`.

        **Raises** `ValueError` if no sample is usable or too many are not, or an encoder's output
        has a wrong shape or is not finite.
        """
        dataset = CachedLatents(self._made(source, [Crop(size)]), with_sizes=with_sizes)
        self._report(dataset.folder, dataset.manifest)
        return dataset

    def bucketed(
        self, source: AbstractSource, buckets: Buckets, *, with_sizes: bool = False
    ) -> BucketedLatents:
        """The same for images of several shapes: `encode_images` takes each of them.

        An image is resized to cover the shape whose aspect is nearest, and cut in the middle to it.
        """
        folder = self._made(source, [Crop(shape) for shape in buckets.shapes], buckets.choose)
        dataset = BucketedLatents(folder, with_sizes=with_sizes)
        self._report(dataset.folder, dataset.manifest)
        return dataset

    def _made(
        self,
        source: AbstractSource,
        crops: list[Crop],
        choose: Callable[[int, int], int] = lambda height, width: 0,
    ) -> Path:
        """The folder of a complete data set. The latents of each crop have a store of their own."""
        if len(source) == 0:
            raise ValueError(
                "A data set must have a usable sample; this one is empty. Check the data."
            )
        common = {"dtype": self.dtype, "images": self.image_key}
        texts = {"captions": self.caption_key}
        data = digest([source.fingerprint, LISTING])
        key = {"format": str(FORMAT), "data": data, "flip": str(self.flip)}
        key |= {"crops": "; ".join(crop.fingerprint for crop in crops)} | common | texts
        at_address = is_address(self.folder)
        root = caches_folder(str(self.folder)) if at_address else Path(self.folder)
        finished = root / _digest(key)
        stores = {
            crop.shape: root / f"latents-{_digest(common | {'crop': crop.fingerprint})}"
            for crop in crops
        }
        text_store = root / f"texts-{_digest(texts)}"
        mirror = None
        if at_address:
            names = [store.name for store in (*stores.values(), text_store)]
            mirror = CacheMirror(str(self.folder), finished.name, names)

        def make(processes: int) -> None:
            segments = Segments(root / f".{finished.name}.part")
            remarks = source.remarks.counts
            encoders = [
                LatentEncoder(stores[crop.shape], self.encode_images, self.batch, crop, self.dtype)
                for crop in crops
            ]
            self._encode(
                source,
                segments,
                BucketEncoders(encoders, choose, flip=self.flip),
                CaptionEncoder(text_store, self.encode_captions, self.batch),
                processes,
            )
            if mirror is not None:
                mirror.share()
            if processes == 1 or first_process():
                _check_ranges(segments, len(source))
                with segments, appears_whole(finished) as part:
                    compose(
                        part,
                        segments,
                        len(source),
                        stores,
                        text_store,
                        flip=self.flip,
                        key=key,
                        remarks=remarks,
                        max_skipped=self.max_skipped,
                    )

        if mirror is not None:
            mirror.make_once(make)
        else:
            if first_process() and finished.exists() and (lost := _lost(finished)):
                _log.warning("%s lacks files of its own: what they held is made again", finished)
                for path in lost:
                    keys_file(path).unlink(missing_ok=True)
                shutil.rmtree(finished)
            made_once(finished, make)
        os.utime(finished)  # when it was last used
        return finished

    def _encode(
        self,
        source: AbstractSource,
        segments: Segments,
        latents: BucketEncoders,
        captions: CaptionEncoder,
        processes: int,
    ) -> None:
        """Encodes this process's share of what is missing, and waits for the others."""
        total = len(source)
        missing = segments.missing(total)
        share = shares(missing, processes)[jax.process_index() if processes > 1 else 0]
        before = total - sum(stop - start for start, stop in missing)
        skips = Skips(source, self.max_skipped)

        def count(done: int) -> None:
            if self.progress is not None:
                self.progress(min(before + done * processes, total), total)

        if processes > 1:
            barrier("a cache is begun")  # everyone has seen what is missing
        captions.add("")
        make_segments(segments, share, source, latents, captions, skips, count, batch=self.batch)
        skips.summarise()
        if processes > 1:
            barrier("a cache is encoded")

    def _report(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Says what a data set lacks, which may have been made under another limit, and whether
        captions are drawn."""
        counts: Mapping[str, int] = manifest["skipped"]
        lost = sum(counts.values())
        total = manifest["images"] + lost
        check_limit(self.max_skipped, total, counts, manifest["skipped_names"])
        if lost:
            _log.warning("%s lacks %d of %d samples: %s", folder, lost, total, counts)
        if (average := manifest.get("captions_per_image", 1)) > 1:
            _log.warning(drawing(average))


def _check_ranges(segments: Segments, total: int) -> None:
    """**Raises** `OSError` if another launch has added or removed segments of this build."""
    ranges = segments.ranges()
    if [0, *(stop for _, stop in ranges)] != [*(start for start, _ in ranges), total]:
        raise OSError(
            f"The segments of a cache in {segments.folder} are of one launch; another one has "
            "changed them. Launch again: what was encoded is kept."
        )


def _lost(finished: Path) -> list[Path]:
    """The shards of a data set that are gone."""
    return [path for path in listed_shards(finished) if not path.is_file()]


def _digest(key: Mapping[str, str]) -> str:
    return digest(f"{name}={key[name]}" for name in sorted(key))
