"""Latents of several shapes, in batches of one shape each."""

from pathlib import Path
from typing import Any, final, TYPE_CHECKING

from .._types import TextEmbedding
from .batch import LatentBatch
from .buckets import BucketOrder
from .latents import CachedLatents, read_manifest
from .pipeline import AbstractDataset, ENDLESS

if TYPE_CHECKING:
    import grain


@final
class BucketedLatents(AbstractDataset):
    """A cache of images of several shapes, as `LatentCache.bucketed` makes it.

    Every batch has one shape, and a compiled step is made for each. How often a shape comes up is
    its share of the samples; in which order follows from the seed and the number of the batch, so
    that a run that is resumed goes on exactly. All processes take their part of the same batch.

    **Fields:**

    - `buckets`: the latents of each shape that occurs.
    - `manifest`: counts and skipped samples, as a dictionary.
    - `null_text`: the embedding of the empty caption.

    **Arguments:** as of `CachedLatents`, for each shape.
    """

    def __init__(
        self, folder: str | Path, *, in_memory: bool | None = None, with_sizes: bool = False
    ):
        self.folder = Path(folder)
        self.manifest: dict[str, Any] = read_manifest(self.folder)
        self.buckets = tuple(
            CachedLatents(self.folder / name, in_memory=in_memory, with_sizes=with_sizes)
            for name in self.manifest["buckets"]
        )
        self.null_text: TextEmbedding = self.buckets[0].null_text

    @property
    def fingerprint(self) -> str:
        return self.manifest["content"]

    def __len__(self) -> int:
        return sum(map(len, self.buckets))

    def parts(self, batch_size: int, of: int, seed: int) -> "grain.MapDataset":
        """See `AbstractDataset`."""
        import grain

        order = BucketOrder([len(bucket) for bucket in self.buckets], seed)
        streams = [
            bucket.parts(batch_size, of, seed + number)
            for number, bucket in enumerate(self.buckets)
        ]

        def part(index: int) -> LatentBatch:
            batch, place = divmod(int(index), of)
            bucket, number = order(batch)
            return streams[bucket][number * of + place]

        return grain.MapDataset.range(ENDLESS // batch_size * of).map(part)
