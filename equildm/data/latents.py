"""Reading a complete cache of latents and text embeddings."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final, NamedTuple, TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float, Int

from .._types import Condition
from .batch import full_precision, host_sizes, LatentBatch
from .cached_texts import CachedTexts
from .caption_lists import CaptionLists
from .pipeline import AbstractDataset, shuffled
from .records import RecordReader

if TYPE_CHECKING:
    import grain

MANIFEST = "manifest.json"
SAMPLES = "samples.arrow"
CAPTIONS = "captions.arrow"
FORMAT = 2
_MEMORY = 2**30
_PIECE = 2**24


class CachedSample(NamedTuple):
    """One latent with its caption's embedding, the caption itself and the name of the image."""

    latent: Float[np.ndarray, "height width channels"]
    text: Condition
    caption: str
    name: str


@final
class CachedLatents(AbstractDataset):
    """Latents with the embeddings of their captions, in random access.

    `dataset[i]` is one `CachedSample`, `gather(indices)` a batch. A cache of up to 1 GiB is read
    into memory once, a larger one from the disk batch by batch; `in_memory` overrides that. Names
    and captions stay on the disk. Threads may share one. Of a sample's captions training draws one
    each time; `dataset[i]` and `gather` have the first. With `with_sizes` the condition of a sample
    is a `SizeCondition`: the caption with the sizes of the original and of the crop.

    **Fields:**

    - `manifest`: the key of the cache, counts, skipped samples and shapes, as a dictionary.
    - `latent_shape`: (height, width, channels).
    - `latent_mean`, `latent_std`: of each channel over the data set, for scaling to unit variance.
    - `null_text`: the embedding of the empty caption, for caption dropout and guidance.

    **Raises** `ValueError` for a folder without a complete cache, or with a damaged one.
    """

    def __init__(
        self, folder: str | Path, *, in_memory: bool | None = None, with_sizes: bool = False
    ):
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if "buckets" in self.manifest:
            raise ValueError(
                f"CachedLatents are of one shape; {str(folder)!r} has several: "
                f"{', '.join(self.manifest['buckets'])}. Open it as BucketedLatents."
            )
        height, width, channels = self.manifest["latent_shape"]
        self.latent_shape: tuple[int, int, int] = (height, width, channels)
        self.latent_mean = np.asarray(self.manifest["latent_mean"], np.float32)
        self.latent_std = np.asarray(self.manifest["latent_std"], np.float32)
        self._type = np.dtype(self.manifest["dtype"]).newbyteorder("<")
        self._rows = _column(self._samples, "latent")
        self._numbers = _caption_lists(self._samples)
        self._reader = self._open("latents")
        texts = self._open("texts")
        tokens, features = self.manifest["text_shape"]
        self._bytes = height * width * channels * self._type.itemsize
        size = self._bytes * len(self._rows) + self.manifest["text_bytes"]
        if in_memory is None:
            in_memory = size <= _MEMORY
        rows = _column(self._captions, "text")
        self._texts = CachedTexts(texts, rows, tokens, features, in_memory=in_memory)
        self._sizes = self._read_sizes() if with_sizes else None
        self._in_memory = self._read_all() if in_memory else None
        null = full_precision(self._texts.gather(np.array([0])))
        self.null_text = jax.tree.map(lambda leaf: leaf[0], null)

    def _open(self, kind: str) -> RecordReader:
        listed: Mapping[str, int] = self.manifest[kind]
        is_bucket = (self.folder.parent / MANIFEST).exists()  # of one shape of several
        root = self.folder.parent.parent if is_bucket else self.folder.parent
        reader = RecordReader([root / file for file in listed])
        if reader.counts != list(listed.values()):
            raise ValueError(
                f"The shards of a cache must hold what its manifest lists, {dict(listed)}; "
                f"they hold {reader.counts}. Delete {self.folder} to make it again."
            )
        return reader

    def _read_sizes(self) -> np.ndarray:
        """The six numbers of `SizeCondition.sizes` of each sample."""
        columns = ("original_0", "original_1", "offset_0", "offset_1")
        known = np.stack([_column(self._samples, name) for name in columns], axis=-1)
        crop = np.broadcast_to(self.manifest["image_shape"], (len(self), 2))
        return np.concatenate([known, crop], axis=-1).astype(np.float32)

    def _read_all(self) -> np.ndarray:
        latents = np.empty((len(self), *self.latent_shape), self._type)
        step = max(1, _PIECE // self._bytes)
        for part in np.split(np.arange(len(self)), range(step, len(self), step)):
            latents[part] = self._read(part)
        return latents

    def _read(self, indices: np.ndarray) -> np.ndarray:
        records = b"".join(self._reader.read(self._rows[indices]))
        return np.frombuffer(records, self._type).reshape(len(indices), *self.latent_shape)

    @cached_property
    def _samples(self) -> Any:
        return _table(self.folder / SAMPLES)

    @cached_property
    def _captions(self) -> Any:
        return _table(self.folder / CAPTIONS)

    @property
    def fingerprint(self) -> str:
        return self.manifest["content"]

    @property
    def captions(self) -> list[str]:
        """The distinct captions; the first one is empty."""
        return self._captions["caption"].to_pylist()

    @property
    def names(self) -> list[str]:
        """The name of the image of each sample in its source."""
        return self._samples["name"].to_pylist()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> CachedSample:
        if not 0 <= index < len(self):
            raise IndexError(f"This cache holds samples 0 to {len(self) - 1}; received {index}.")
        latents, text = jax.tree.map(lambda leaf: leaf[0], self.gather([index]))
        mirrored = self._samples["mirrored"][index].as_py()
        return CachedSample(
            latents,
            text,
            self._captions["caption"][int(self._numbers.drawn(index, None))].as_py(),
            self._samples["name"][index].as_py() + (" mirrored" if mirrored else ""),
        )

    def gather(self, indices: Int[np.ndarray, "batch"] | Sequence[int]) -> LatentBatch:
        """The samples at `indices`, in their order, as one float32 batch of numpy arrays."""
        return full_precision(self._first(np.asarray(indices)))

    def _first(self, indices: Int[np.ndarray, "batch"]) -> LatentBatch:
        """Samples with their first captions, as they are stored."""
        return self._gathered((indices, self._numbers.first(indices)))

    def _gathered(self, chosen: tuple[np.ndarray, np.ndarray]) -> LatentBatch:
        """Samples with the captions of these numbers, as they are stored."""
        indices, captions = chosen
        latents: Any = self._read(indices) if self._in_memory is None else self._in_memory[indices]
        text: Condition = self._texts.gather(captions)
        if self._sizes is not None:
            text = host_sizes(text, self._sizes[indices])
        return LatentBatch(latents, text)

    def parts(self, batch_size: int, of: int, seed: int) -> "grain.MapDataset":
        order, rows = shuffled(len(self), seed), batch_size // of
        if self._numbers.is_single:
            return order.batch(rows).map(self._first)
        # The draw follows from the seed and the sample's number in the endless order, as that of
        # random crops in ImageDataset.
        return order.random_map(self._chosen, seed=seed).batch(rows).map(self._gathered)

    def _chosen(self, index: int, generator: np.random.Generator) -> tuple[int, np.int64]:
        return index, self._numbers.drawn(index, generator)


def _caption_lists(samples: Any) -> CaptionLists:
    if "captions" not in samples.column_names:
        return CaptionLists(_column(samples, "caption"))
    lists = samples["captions"].combine_chunks()
    return CaptionLists(lists.values.to_numpy(), lists.offsets.to_numpy())


def _table(path: Path) -> Any:
    """An Arrow table that stays on the disk."""
    import pyarrow as pa

    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise ValueError(
            f"A cache's tables must be whole; {str(path)!r} is not: {error}. Delete "
            f"{path.parent} to make it again."
        ) from error


def _column(table: Any, name: str) -> np.ndarray:
    """A column of numbers without a copy."""
    return table[name].combine_chunks().to_numpy(zero_copy_only=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a complete cache. `ValueError` where there is none."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"A complete cache must hold {MANIFEST}; {str(folder)!r} does not ({error}). "
            "Make it with LatentCache, after deleting this folder if it exists."
        ) from error
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"A cache must be of format {FORMAT}; {str(folder)!r} is of {manifest.get('format')}. "
            "Delete it to make it again."
        )
    return manifest


def manifests(folder: Path) -> list[dict[str, Any]]:
    """The manifest of each shape of a complete data set; most have one shape."""
    manifest = read_manifest(folder)
    return [read_manifest(folder / name) for name in manifest.get("buckets", ())] or [manifest]


def listed_shards(folder: Path) -> list[Path]:
    """The files of latents and embeddings that a complete data set needs, each once."""
    files = (part[kind] for part in manifests(folder) for kind in ("latents", "texts"))
    return sorted({folder.parent / file for listed in files for file in listed})
