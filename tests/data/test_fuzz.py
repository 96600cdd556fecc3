"""Random damage to every kind of file: an error that names it, or the rest of the samples.

Nothing else is raised, nothing hangs, and no sample goes that was not touched.
"""

import io
import json
import tarfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from icc_profiles import ADOBE_RGB, rgb_profile
from PIL import features, Image

from equildm.data import (
    AbstractSource,
    decode_image,
    open_source,
    Skips,
    UnusableSample,
    write_arrayrecord,
)

COUNT = 6
PIXELS = [np.full((8, 8, 3), [40 * i, 255 - 40 * i, 7 * i], np.uint8) for i in range(COUNT)]
CAPTIONS = [f"sample number {i} ü" for i in range(COUNT)]
FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"] + ["AVIF"] * bool(features.check("avif"))
KINDS = ["image", "txt", "jsonl", "csv", "folder image", "tar", "joined", "parquet", "arrayrecord"]


def encoded(pixels, kind="PNG", profile=None):
    data = io.BytesIO()
    options = {} if profile is None or kind in ("GIF", "BMP") else {"icc_profile": profile}
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def damaged(data: bytes, random: np.random.Generator) -> tuple[bytes, int, int]:
    """The bytes with one kind of damage, and where what was not touched ends and goes on."""
    if not data:
        return b"\xff", 0, 0
    start = int(random.integers(len(data)))
    if random.random() < 0.3:
        start -= start % 512
    length = int(min(len(data) - start, random.choice([1, 2, 10, 100, 512, 1024, 5000])))
    end = start + length
    noise = random.bytes(length)
    match random.integers(8):
        case 0:
            return data[:start], start, len(data)
        case 1:
            return data[:start] + data[end:], start, end
        case 2:
            return data[:start] + noise + data[start:], start, start
        case 3:
            return data[:start] + noise + data[end:], start, end
        case 4:
            return data[:start] + bytes(length) + data[end:], start, end
        case 5:
            flipped = bytes([data[start] ^ 1 << int(random.integers(8))])
            return data[:start] + flipped + data[start + 1 :], start, start + 1
        case 6:
            return data[:start] + data[start:end] * 2 + data[end:], start, end
        case _:
            return data[:start] + b"\xff" * length + data[end:], start, end


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """For each kind: what `open_source` takes, the file to damage, and its bytes."""
    root = tmp_path_factory.mktemp("fuzz")
    files = {}
    for kind in ("txt", "jsonl", "csv", "folder image"):
        folder = root / kind.replace(" ", "-")
        folder.mkdir()
        for i in range(COUNT):
            (folder / f"{i}.png").write_bytes(encoded(PIXELS[i]))
        if kind in ("txt", "folder image"):
            for i in range(COUNT):
                (folder / f"{i}.txt").write_text(CAPTIONS[i], encoding="utf-8")
            file = folder / ("3.txt" if kind == "txt" else "3.png")
        else:
            rows = [
                json.dumps({"file_name": f"{i}.png", "text": CAPTIONS[i]}) for i in range(COUNT)
            ]
            if kind == "csv":
                rows = ["file_name,text", *(f'{i}.png,"{CAPTIONS[i]}"' for i in range(COUNT))]
            file = folder / f"metadata.{kind}"
            file.write_text("\n".join(rows) + "\n", encoding="utf-8")
        files[kind] = folder, file
    for kind, parts in (("tar", [range(COUNT)]), ("joined", [range(3), range(3, COUNT)])):
        file = root / f"{kind}.tar"
        file.write_bytes(b"".join(map(tar_bytes, parts)))
        files[kind] = file, file
    images = [encoded(pixels) for pixels in PIXELS]
    file = root / "a.parquet"
    pq.write_table(pa.table({"image": images, "text": CAPTIONS}), file, row_group_size=2)
    files["parquet"] = file, file
    file = root / "a.arrayrecord"
    write_arrayrecord(open_source(root / "txt"), file)
    files["arrayrecord"] = file, file
    return {kind: (spec, file, file.read_bytes()) for kind, (spec, file) in files.items()}


def tar_bytes(numbers):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for i in numbers:
            for suffix, content in ((".png", encoded(PIXELS[i])), (".txt", CAPTIONS[i].encode())):
                entry = tarfile.TarInfo(f"{i}{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def untouched(kind: str, data: bytes, start: int, end: int) -> set[int]:
    """The samples that damage from `start` to `end` leaves alone."""
    if kind in ("txt", "folder image"):
        return set(range(COUNT)) - {3}
    if kind not in ("tar", "joined"):
        return set()
    touched, members = set(), 0
    with tarfile.open(fileobj=io.BytesIO(data), ignore_zeros=True) as tar:
        for member in tar:
            first, last = member.offset, member.offset_data + member.size
            if first < start < last if start == end else start < last and end > first:
                touched.add(int(member.name[0]))
            members += 1
    assert members == 2 * COUNT
    return set(range(COUNT)) - touched


def read_all(source: AbstractSource) -> dict[str, np.ndarray]:
    skips = Skips(source)
    samples = [skips.attempt(index, source.__getitem__) for index in range(len(source))]
    usable = [sample for sample in samples if sample is not None]
    assert len(usable) + sum(skips.counts.values()) == len(source)
    for sample in usable:
        assert "\0" not in sample.caption and sample.caption.encode()
        assert sample.name.encode()
    return {sample.caption: sample.image for sample in usable}


def check(kind: str, seed: int, originals) -> None:
    random = np.random.default_rng((KINDS.index(kind), seed))
    if kind == "image":
        pixels = PIXELS[int(random.integers(COUNT))]
        profile = rgb_profile(ADOBE_RGB, 2.2) if random.random() < 0.5 else None
        content, *_ = damaged(encoded(pixels, str(random.choice(FORMATS)), profile), random)
        try:
            image = decode_image(content, "this image")
        except UnusableSample as error:
            assert "this image" in str(error)
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        return
    spec, file, data = originals[kind]
    content, start, end = damaged(data, random)
    file.write_bytes(content)
    try:
        source = open_source(spec)
        samples = read_all(source)
    except (ValueError, OSError) as error:
        # A folder whose metadata are no longer any names the folder's metadata.
        assert file.name in str(error) or "metadata" in str(error), str(error)
        assert not isinstance(error, UnusableSample)
        assert kind not in ("txt", "folder image"), "one file must not end the reading"
    else:
        if kind in ("jsonl", "csv"):
            assert len(source) >= COUNT  # each image is used or counted
        for i in untouched(kind, data, start, end):
            np.testing.assert_array_equal(samples[CAPTIONS[i]], PIXELS[i])
    finally:
        file.write_bytes(data)


def fuzz(kind, seeds, originals):
    for seed in seeds:
        begin = time.monotonic()
        try:
            check(kind, seed, originals)
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}: {error!r}") from error
        assert time.monotonic() - begin < 10, f"{kind}, seed {seed} took too long"


@pytest.mark.parametrize("kind", KINDS)
def test_damage(kind, originals):
    fuzz(kind, range(34), originals)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_much_damage(kind, originals):
    fuzz(kind, range(34, 34 + 1112), originals)
