"""The last step of making a cache: segments become the tables of a data set."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from .encode_captions import caption_key
from .latents import CAPTIONS, FORMAT, MANIFEST, SAMPLES
from .records import SUFFIX
from .segments import Segments
from .skips import check_limit, require_usable
from .source import digest_of
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
        self.known = store.known(places)


def compose(
    folder: Path,
    segments: Segments,
    total: int,
    latent_stores: Mapping[tuple[int, int], Path],
    text_store: Path,
    *,
    flip: bool,
    key: Mapping[str, str],
    remarks: Mapping[str, int],
    max_skipped: float,
) -> None:
    """Writes the tables and the manifest of a complete cache to `folder`.

    The latents of each shape of images are in a store of their own. With several, the tables of
    each lie in a folder of their own, and the manifest lists them.

    **Raises** `ValueError` if no sample of `total` is usable, or too many are not.
    """
    import pyarrow.compute as pc

    table, skipped, more = segments.read()
    counts = {reason: len(names) for reason, names in skipped.items()}
    check_limit(max_skipped, total, counts, skipped)
    require_usable(table.num_rows, total, counts)
    texts = RecordStore(text_store)
    captions = pc.sum(pc.list_value_length(table["captions"])).as_py()
    about = {
        "format": FORMAT,
        "key": dict(key),
        "images": table.num_rows,
        "captions_per_image": captions / table.num_rows,
        "skipped": counts,
        "skipped_names": {reason: names[:100] for reason, names in skipped.items()},
        "remarks": {name: remarks.get(name, 0) + more.get(name, 0) for name in {**remarks, **more}},
    }
    if len(latent_stores) == 1:
        ((shape, path),) = latent_stores.items()
        about |= _tables(folder, table, shape, RecordStore(path), texts, flip, key)
    else:
        about |= _buckets(folder, table, latent_stores, texts, flip, key)
    _write_manifest(folder, about)


def _buckets(
    folder: Path,
    table: Any,
    stores: Mapping[tuple[int, int], Path],
    texts: RecordStore,
    *rest: Any,
) -> dict[str, Any]:
    """Writes the tables of each shape that occurs. Returns what the manifest says of them."""
    buckets, contents = {}, []
    for number, (shape, path) in enumerate(stores.items()):
        rows = table.filter(np.asarray(table["bucket"]) == number)
        if rows.num_rows:
            name = f"{shape[0]}x{shape[1]}"
            (folder / name).mkdir()
            one = _tables(folder / name, rows, shape, RecordStore(path), texts, *rest)
            _write_manifest(folder / name, {"format": FORMAT, "images": rows.num_rows, **one})
            buckets[name] = one["samples"]
            contents.append(one["content"].encode())
    content = "content:" + digest_of(*contents).hex()
    return {"buckets": buckets, "samples": sum(buckets.values()), "content": content}


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _digests(table: Any) -> KeyArray:
    column = table["digest"].combine_chunks()
    return np.frombuffer(column.buffers()[1], "S16", len(column), 16 * column.offset)


def _tables(
    folder: Path,
    table: Any,
    shape: tuple[int, int],
    latent_store: RecordStore,
    text_store: RecordStore,
    flip: bool,
    key: Mapping[str, str],
) -> dict[str, Any]:
    """Writes the tables of the samples of one shape. Returns what the manifest says of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    copies = 2 if flip else 1
    image_keys = _digests(table)
    sample_keys = np.repeat(image_keys, copies)
    if flip:
        sample_keys[1::2] = mirrored_keys(image_keys)
    latents = _Listed(latent_store, sample_keys)

    empty = pa.array([""], pa.large_string())
    lists = table["captions"].combine_chunks()
    flat = lists.flatten()
    captions = pc.unique(pa.concat_arrays([empty, flat]))
    numbers = pc.index_in(flat, captions).to_numpy().astype(np.int64)
    starts = np.append(0, np.cumsum(pc.list_value_length(lists).to_numpy()))
    text_keys = as_keys([caption_key(caption) for caption in captions.to_pylist()])
    texts = _Listed(text_store, text_keys)

    known = latents.known
    images = pa.array(np.repeat(np.arange(table.num_rows), copies))
    samples = {
        "name": pc.take(table["name"], images),
        "caption": pc.take(pa.array(numbers[starts[:-1]]), images),
        "latent": pa.array(latents.rows),
        "mirrored": pa.array(np.tile([False, True][:copies], table.num_rows)),
        **{f"{name}_{axis}": pa.array(known[name][:, axis]) for name in _SIZES for axis in (0, 1)},
    }
    several = len(numbers) > table.num_rows
    if several:
        samples["captions"] = pc.take(pa.LargeListArray.from_arrays(starts, numbers), images)
    _write_table(folder / SAMPLES, samples)
    _write_table(folder / CAPTIONS, {"caption": captions, "text": pa.array(texts.rows)})
    mean, std = _moments(known)
    tokens, width = (int(x) for x in texts.known["shape"][0])
    return {
        "content": _content(key, sample_keys, text_keys, numbers, *([starts] if several else [])),
        "samples": len(sample_keys),
        "captions": len(captions),
        "image_shape": list(shape),
        "latent_shape": [int(x) for x in known["shape"][0]],
        "dtype": key["dtype"],
        "latent_mean": mean,
        "latent_std": std,
        "text_shape": [tokens, width],
        "text_bytes": int(texts.known["used"].astype(np.int64).sum()) * 2 * width,
        "latents": latents.files,
        "texts": texts.files,
    }


_SIZES = ("original", "offset")


def _content(
    key: Mapping[str, str], samples: KeyArray, texts: KeyArray, *captions: np.ndarray
) -> str:
    """Changes when a sample does. Where the images lie and when they were written do not count."""
    encoders = json.dumps({name: key[name] for name in sorted(key) if name != "data"})
    numbers = (part.astype("<i8").tobytes() for part in captions)
    parts = (samples.tobytes(), texts.tobytes(), *numbers)
    return "content:" + digest_of(encoders.encode(), *parts).hex()


def _moments(known: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, from those of images of one size."""
    means, variances = known["mean"].astype(np.float64), known["var"].astype(np.float64)
    mean = means.mean(0)
    return mean.tolist(), np.sqrt((variances + (means - mean) ** 2).mean(0)).tolist()


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa

    table = pa.table(columns).combine_chunks()
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
