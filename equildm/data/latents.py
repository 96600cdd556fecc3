"""Reading a complete cache of latents and text embeddings."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final, NamedTuple, TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from .._types import TextEmbedding
from .batch import host_text, LatentBatch
from .pipeline import AbstractDataset
from .records import RecordReader
from .source import digest

if TYPE_CHECKING:
    import grain

MANIFEST = "manifest.json"
NAMES = "names.jsonl"
CAPTIONS = "captions.jsonl"
FORMAT = 1
_MEMORY = 2**30


class CachedSample(NamedTuple):
    """One latent with its caption's embedding, the caption itself and the name of the image."""

    latent: Float[np.ndarray, "height width channels"]
    text: TextEmbedding
    caption: str
    name: str


def latent_record(shape: Sequence[int], dtype: str) -> np.dtype[np.void]:
    """One latent with the numbers of its caption and its name, and whether it is mirrored."""
    latent = np.dtype(dtype).newbyteorder("<")
    return np.dtype(
        [("caption", "<u4"), ("source", "<u4"), ("mirrored", "?"), ("latent", latent, tuple(shape))]
    )


def text_record(tokens: int, width: int) -> np.dtype[np.void]:
    """The embedding of one distinct caption."""
    return np.dtype([("tokens", "<f2", (tokens, width)), ("mask", "?", (tokens,))])


@final
class CachedLatents(AbstractDataset):
    """Latents with the embeddings of their captions, in random access.

    `dataset[i]` is one `CachedSample`, `gather(indices)` a batch. A cache of up to 1 GiB is read
    into memory once, a larger one from the disk batch by batch; `in_memory` overrides that. Threads
    may share one.

    **Fields:**

    - `manifest`: the key of the cache, counts, skipped samples and shapes, as a dictionary.
    - `latent_shape`: (height, width, channels).
    - `latent_mean`, `latent_std`: of each channel over the data set, for scaling to unit variance.
    - `null_text`: the embedding of the empty caption, for caption dropout and guidance.

    **Raises** `ValueError` for a folder without a complete cache, or with a damaged one.
    """

    def __init__(self, folder: str | Path, *, in_memory: bool | None = None):
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)
        height, width, channels = self.manifest["latent_shape"]
        self.latent_shape: tuple[int, int, int] = (height, width, channels)
        self.latent_mean = np.asarray(self.manifest["latent_mean"], np.float32)
        self.latent_std = np.asarray(self.manifest["latent_std"], np.float32)
        latents = self._open("latents", latent_record(self.latent_shape, self.manifest["dtype"]))
        texts = self._open("texts", text_record(*self.manifest["text_shape"]))
        if in_memory is None:
            in_memory = latents.nbytes + texts.nbytes <= _MEMORY
        self._latents: Any = latents.read() if in_memory else latents
        self._texts: Any = texts.read() if in_memory else texts
        null = self._texts[np.array([0])][0]
        self.null_text = host_text(null["tokens"].astype(np.float32), null["mask"].copy())
        self._captions: list[str] | None = None
        self._names: list[str] | None = None

    def _open(self, kind: str, record: np.dtype[np.void]) -> "_Records":
        listed: Mapping[str, int] = self.manifest[kind]
        reader = RecordReader([self.folder / file for file in listed])
        if reader.counts != list(listed.values()):
            raise ValueError(
                f"The shards of a cache must hold what its manifest lists, {dict(listed)}; "
                f"they hold {reader.counts}. Delete {self.folder} to make it again."
            )
        return _Records(reader, record)

    @property
    def fingerprint(self) -> str:
        key: Mapping[str, str] = self.manifest["key"]
        return digest(f"{name}={key[name]}" for name in sorted(key))

    @property
    def captions(self) -> list[str]:
        """The distinct captions; the first one is empty."""
        if self._captions is None:
            self._captions = _lines(self.folder / CAPTIONS)
        return self._captions

    @property
    def names(self) -> list[str]:
        """The names of the images in their source."""
        if self._names is None:
            self._names = _lines(self.folder / NAMES)
        return self._names

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, index: int) -> CachedSample:
        if not 0 <= index < len(self):
            raise IndexError(f"This cache holds samples 0 to {len(self) - 1}; received {index}.")
        record = self._latents[np.array([index])][0]
        text = self._texts[np.array([record["caption"]])][0]
        return CachedSample(
            record["latent"].astype(np.float32),
            host_text(text["tokens"].astype(np.float32), text["mask"].copy()),
            self.captions[record["caption"]],
            self.names[record["source"]] + (" mirrored" if record["mirrored"] else ""),
        )

    def gather(self, indices: Int[np.ndarray, "batch"] | Sequence[int]) -> LatentBatch:
        """The samples at `indices`, in their order, as one float32 batch of numpy arrays."""
        records = self._latents[np.asarray(indices)]
        texts = self._texts[records["caption"]]
        return LatentBatch(
            records["latent"].astype(np.float32),
            host_text(texts["tokens"].astype(np.float32), texts["mask"].copy()),
        )

    def arrange(self, order: "grain.MapDataset", batch: int, seed: int) -> "grain.MapDataset":
        del seed
        return order.batch(batch).map(self.gather)


@final
class _Records:
    """Fixed-size records as a sequence of structured values: on the disk, or `read` at once."""

    def __init__(self, reader: RecordReader, record: np.dtype[np.void]):
        self._reader = reader
        self._record = record

    @property
    def nbytes(self) -> int:
        return len(self) * self._record.itemsize

    def __len__(self) -> int:
        return len(self._reader)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return np.frombuffer(b"".join(self._reader.read(indices)), self._record)

    def read(self) -> np.ndarray:
        records = np.empty(len(self), self._record)
        step = max(1, 2**24 // self._record.itemsize)
        for start in range(0, len(self), step):
            part = np.arange(start, min(start + step, len(self)))
            records[part[0] : part[-1] + 1] = self[part]
        return records


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"A complete cache must hold {MANIFEST}; {str(folder)!r} does not ({error}). "
            "Make it with cached_latents, after deleting this folder if it exists."
        ) from error
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"A cache must be of format {FORMAT}; {str(folder)!r} is of {manifest.get('format')}. "
            "Delete it to make it again."
        )
    return manifest


def _lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
