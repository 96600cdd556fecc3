"""Making a cache bit by bit: a file for each range of samples that is encoded.

A segment says which samples of a range are used, and the digests of their images. It is written
when their latents and embeddings are in the stores. A build that was stopped goes on behind the
segments that are there, with any number of processes.
"""

import itertools
import json
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from .caption_text import clean_captions
from .encode_captions import CaptionEncoder
from .encode_images import BucketEncoders
from .skips import Skips
from .source import AbstractSource

_FIRST = 1024
_MOST = 8192
_SECONDS = 30.0
"""Samples of the first and of the largest segment; how long one should take."""


class _Item(NamedTuple):
    captions: tuple[str, ...]
    digest: bytes
    bucket: int
    pixels: UInt8[np.ndarray, "h w 3"] | None  # None: its latents are there
    original: tuple[int, int]


@final
class Segments:
    """The segments of one cache that is being made, in a folder of their own."""

    def __init__(self, folder: Path):
        self.folder = folder

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges that are done, in order."""
        paths = self.folder.glob("[0-9]*.arrow")
        return sorted((int(a), int(b)) for a, b in (path.stem.split("-") for path in paths))

    def missing(self, total: int) -> list[tuple[int, int]]:
        """The ranges that are not done."""
        bounds = [0, *(bound for pair in self.ranges() for bound in pair), total]
        return [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True) if a < b]

    def __enter__(self) -> "Segments":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Removes them when the cache is made, and when what they say was refused: a launch with
        other decoders may read what was skipped."""
        if kind is None or issubclass(kind, ValueError):
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, start: int, stop: int, rows: Sequence[tuple[str, _Item]], about: Any) -> None:
        """Writes one, whole or not at all."""
        import pyarrow as pa

        table = pa.table(
            {
                "name": pa.array([name for name, _ in rows], pa.large_string()),
                "captions": pa.array(
                    [item.captions for _, item in rows], pa.large_list(pa.large_string())
                ),
                "digest": pa.array([item.digest for _, item in rows], pa.binary(16)),
                "bucket": pa.array([item.bucket for _, item in rows], pa.uint16()),
            }
        ).replace_schema_metadata({"about": json.dumps(about)})
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{start:012d}-{stop:012d}.arrow"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def read(self) -> tuple[Any, dict[str, list[str]], dict[str, int]]:
        """The table of all of them, what was skipped (names by reason), and the remarks' counts."""
        import pyarrow as pa

        tables: list[Any] = []
        skipped: dict[str, list[str]] = {}
        remarks = Counter[str]()
        for start, stop in self.ranges():
            path = self.folder / f"{start:012d}-{stop:012d}.arrow"
            with pa.memory_map(str(path)) as file:
                tables.append(pa.ipc.open_file(file).read_all())
            about = json.loads(tables[-1].schema.metadata[b"about"])
            remarks.update(about["remarks"])
            for reason, names in about["skipped"].items():
                skipped.setdefault(reason, []).extend(names)
        everything = pa.concat_tables([table.replace_schema_metadata() for table in tables])
        return everything, skipped, dict(remarks)


def shares(ranges: Sequence[tuple[int, int]], count: int) -> list[list[tuple[int, int]]]:
    """Ranges as `count` parts of equal length, in order."""
    total = sum(stop - start for start, stop in ranges)
    bounds = [total * part // count for part in range(count + 1)]
    parts: list[list[tuple[int, int]]] = []
    for low, high in itertools.pairwise(bounds):
        part, before = [], 0
        for start, stop in ranges:
            first, last = max(start, start + low - before), min(stop, start + high - before)
            if first < last:
                part.append((first, last))
            before += stop - start
        parts.append(part)
    return parts


def make_segments(
    segments: Segments,
    ranges: Sequence[tuple[int, int]],
    source: AbstractSource,
    latents: BucketEncoders,
    captions: CaptionEncoder,
    skips: Skips,
    progress: Callable[[int], None],
    *,
    batch: int,
) -> None:
    """Encodes what the stores lack of the samples in `ranges`. `progress` counts samples."""
    size, done = _FIRST, 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(done)

    try:
        for start, end in ranges:
            while start < end:
                began, stop = time.monotonic(), min(end, start + size)
                before = Counter(source.remarks.counts)
                rows = []
                for index, item in _read(source, latents, skips, start, stop, ahead=2 * batch):
                    if item is not None:
                        for caption in item.captions:
                            captions.add(caption)
                        if item.pixels is not None:
                            latents.add(item.bucket, item.pixels, item.digest, item.original)
                        rows.append((source.name(index), item._replace(pixels=None)))
                    count()
                latents.commit()
                captions.commit()
                remarks = Counter(source.remarks.counts) - before
                about = {"skipped": skips.names_in(start, stop), "remarks": dict(remarks)}
                segments.write(start, stop, rows, about)
                rate = (stop - start) / max(1e-3, time.monotonic() - began)
                size = int(min(_MOST, max(batch, rate * _SECONDS)))
                start = stop
    except BaseException:
        latents.abandon()
        captions.abandon()
        raise


def _read(
    source: AbstractSource,
    latents: BucketEncoders,
    skips: Skips,
    start: int,
    stop: int,
    *,
    ahead: int,
) -> Iterator[tuple[int, _Item | None]]:
    """Each sample in order, or None where it is unusable.

    Threads read and decode some batches ahead while the accelerator encodes earlier ones: decoding
    and resizing run outside of Python's lock. An image that is encoded already is not decoded.
    """

    def read(index: int) -> _Item:
        # The captions first: reading them costs less.
        captions = clean_captions(source.captions(index), source.name(index))
        image = source.stored(index)
        bucket = latents.bucket(image.digest)
        if bucket is not None:
            return _Item(captions, image.digest, bucket, None, (0, 0))
        bucket, pixels, original = latents.crop(image)
        return _Item(captions, image.digest, bucket, pixels, original)

    waiting: deque[Future[_Item | None]] = deque()
    pool = ThreadPoolExecutor(min(32, os.cpu_count() or 1))
    first = start
    try:
        for index in range(start, stop):
            waiting.append(pool.submit(skips.attempt, index, read))
            if len(waiting) > ahead:
                yield first, waiting.popleft().result()
                first += 1
        while waiting:
            yield first, waiting.popleft().result()
            first += 1
    finally:
        pool.shutdown(cancel_futures=True)
