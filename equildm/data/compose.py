"""The last step of making a cache: segments become the tables of a data set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from .encode import caption_key
from .latents import CAPTIONS, FORMAT, MANIFEST, SAMPLES
from .records import SUFFIX
from .segments import Segments
from .skips import over_limit
from .source import AbstractSource, digest_of
from .store import as_keys, KeyArray, mirrored_keys, RecordStore


@final
class _Listed:
    """The shards of a store that a cache uses, in one order, and its records in them."""

    def __init__(self, store: RecordStore, keys: KeyArray):
        places = store.find(keys)
        shards, first, inverse = np.unique(places[:, 0], return_index=True, return_inverse=True)
        order = np.argsort(first)  # as they come up: most data sets are then read in order
        sizes = [store.size(int(shards[i])) for i in order]
        starts = np.empty(len(order), np.int64)
        starts[order] = np.cumsum([0, *sizes[:-1]])
        self.rows = starts[inverse] + places[:, 1]
        names = [f"{store.folder.name}/{store.shards[shards[i]]}{SUFFIX}" for i in order]
        self.files = dict(zip(names, sizes, strict=True))
        parts = [store.known(int(shard), places[places[:, 0] == shard, 1]) for shard in shards]
        self.known = np.concatenate(parts)  # in any order


def compose(
    folder: Path,
    segments: Segments,
    source: AbstractSource,
    latent_store: RecordStore,
    text_store: RecordStore,
    *,
    flip: bool,
    dtype: str,
    key: Mapping[str, str],
    remarks: Mapping[str, int],
    max_skipped: float,
) -> None:
    """Writes the tables and the manifest of a complete cache to `folder`.

    **Raises** `ValueError` if no sample is usable, or too many are not.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table, skipped, more = segments.read()
    _check(len(source), table.num_rows, skipped, max_skipped)
    image_keys = as_keys([table["digest"].combine_chunks().buffers()[1].to_pybytes()])
    image_keys = image_keys[: table.num_rows]
    copies = 2 if flip else 1
    sample_keys = np.repeat(image_keys, copies)
    if flip:
        sample_keys[1::2] = mirrored_keys(image_keys)
    latents = _Listed(latent_store, sample_keys)

    empty = pa.array([""], pa.large_string())
    captions = pc.unique(pa.concat_arrays([empty, *table["caption"].chunks]))
    numbers = pc.index_in(table["caption"], captions).combine_chunks().to_numpy()
    text_keys = as_keys([caption_key(caption) for caption in captions.to_pylist()])
    texts = _Listed(text_store, text_keys)

    samples = {
        "name": pc.take(table["name"], pa.array(np.repeat(np.arange(table.num_rows), copies))),
        "caption": pa.array(np.repeat(numbers, copies).astype(np.int64)),
        "latent": pa.array(latents.rows),
        "mirrored": pa.array(np.tile([False, True][:copies], table.num_rows)),
    }
    _write(folder / SAMPLES, samples)
    _write(folder / CAPTIONS, {"caption": captions, "text": pa.array(texts.rows)})
    mean, std = _moments(latents.known)
    tokens, width = (int(x) for x in texts.known["shape"][0])
    manifest = {
        "format": FORMAT,
        "key": dict(key),
        "content": _content(key, sample_keys, text_keys, numbers),
        "images": table.num_rows,
        "samples": len(sample_keys),
        "captions": len(captions),
        "skipped": {reason: len(names) for reason, names in skipped.items()},
        "skipped_names": {reason: names[:100] for reason, names in skipped.items()},
        "remarks": {name: remarks.get(name, 0) + more.get(name, 0) for name in {**remarks, **more}},
        "latent_shape": [int(x) for x in latents.known["shape"][0]],
        "dtype": dtype,
        "latent_mean": mean,
        "latent_std": std,
        "text_shape": [tokens, width],
        "text_bytes": int(texts.known["used"].astype(np.int64).sum()) * 2 * width,
        "latents": latents.files,
        "texts": texts.files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _check(total: int, used: int, skipped: Mapping[str, list[str]], limit: float) -> None:
    counts = {reason: len(names) for reason, names in skipped.items()}
    if sum(counts.values()) / total > limit:
        raise ValueError(over_limit(limit, total, counts, skipped))
    if used == 0:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in counts.items())
        raise ValueError(
            f"A data set must have a usable sample; of {total} none is ({reasons}). The log names "
            "them; check the data."
        )


def _content(
    key: Mapping[str, str], samples: KeyArray, texts: KeyArray, numbers: np.ndarray
) -> str:
    """Changes when a sample does. Where the images lie and when they were written do not count."""
    encoders = json.dumps({name: key[name] for name in sorted(key) if name != "data"})
    parts = (samples.tobytes(), texts.tobytes(), numbers.astype("<i8").tobytes())
    return "content:" + digest_of(encoders.encode(), *parts).hex()


def _moments(known: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, from those of images of one size."""
    means, variances = known["mean"].astype(np.float64), known["var"].astype(np.float64)
    mean = means.mean(0)
    return mean.tolist(), np.sqrt((variances + (means - mean) ** 2).mean(0)).tolist()


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa

    table = pa.table(columns).combine_chunks()
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
