"""A file that is cut off or damaged is refused by name; it is never a shorter data set."""

import errno
import io
import os
import resource
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import (
    ArrayRecordSource,
    LatentCache,
    open_source,
    ShapesSource,
    Skips,
    WebDatasetSource,
    write_arrayrecord,
)
from equildm.data.records import open_writer

END = 1024


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """An ArrayRecord file of 200 KB with 20 samples."""
    path = tmp_path_factory.mktemp("records") / "a.arrayrecord"
    write_arrayrecord(ShapesSource(side=128, count=400), path)
    return path.read_bytes()


def tar_bytes(names, pad=True):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            for suffix, content in ((".png", b"p" * 700), (".txt", b"a caption")):
                entry = tarfile.TarInfo(name + suffix)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    size = tar.offset if pad else len(names) * (512 + 1024 + 512 + 512)
    return data.getvalue()[:size] if not pad else data.getvalue()


NAMES = [f"{number:02d}" for number in range(10)]
SAMPLE = 512 + 1024 + 512 + 512
"""Bytes of a sample: two headers, an image and a caption."""


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no records" * 20000,
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:-70000],
        lambda data: data + b"xx",
        lambda data: bytes(len(data)),
        lambda data: data[:65536],
    ],
)
def test_arrayrecord(damage, records, tmp_path):
    path = tmp_path / "b.arrayrecord"
    path.write_bytes(damage(records))
    write_arrayrecord(ShapesSource(side=32, count=3), tmp_path / "a.arrayrecord")
    for files in ([path], [tmp_path / "a.arrayrecord", path]):
        with pytest.raises(ValueError, match=r"must be complete; .*b\.arrayrecord.*Copy it again"):
            ArrayRecordSource(files)


def test_arrayrecord_that_is_damaged_within_ends_the_reading(records, tmp_path):
    path = tmp_path / "b.arrayrecord"
    middle = len(records) // 3
    path.write_bytes(records[:middle] + b"\1" * 3000 + records[middle + 3000 :])
    source = ArrayRecordSource([path])
    skips = Skips(source)
    with pytest.raises(OSError, match=r"b\.arrayrecord' cannot be read.*Copy it again"):
        for index in range(len(source)):
            skips.attempt(index, source.__getitem__)


def test_too_many_open_files_are_no_empty_data_set(records, tmp_path):
    path = tmp_path / "b.arrayrecord"
    path.write_bytes(records)
    pq.write_table(pa.table({"image": [b"x"], "text": ["a"]}), tmp_path / "b.parquet")
    (tmp_path / "b.tar").write_bytes(tar_bytes(NAMES))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.open(os.devnull, os.O_RDONLY)
    opened = [first]
    errors = {}
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first + 50, limits[1]))
        with pytest.raises(OSError, match="Too many"):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        for kind in ("arrayrecord", "parquet", "tar"):
            with pytest.raises(OSError) as caught:
                open_source(str(tmp_path / f"b.{kind}"))
            errors[kind] = caught.value
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for kind, error in errors.items():
        assert error.errno == errno.EMFILE and str(error.filename).endswith(f"b.{kind}")


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    class Full:
        def write(self, record):
            raise RuntimeError("write() failed: No space left on device")

        def close(self):
            pass

    writer = open_writer(tmp_path / "a.arrayrecord")
    writer.write(b"x")
    monkeypatch.setattr(writer, "_writer", Full())
    with pytest.raises(OSError, match=r"a.arrayrecord' cannot be written.*No space"):
        writer.write(b"y")
    with pytest.raises(OSError, match="cannot be written"):
        open_writer(tmp_path / "no folder" / "a.arrayrecord").write(b"x")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        # Cuts: between members, in a header, in an image, in its padding.
        (lambda data: data[: 4 * SAMPLE], "ends without the blocks of zeros"),
        (lambda data: data[: 4 * SAMPLE + 100], "cut off"),
        (lambda data: data[: 4 * SAMPLE + 512 + 300], "unexpected end of data"),
        (lambda data: data[: 4 * SAMPLE + 512 + 1000], "unexpected end of data"),
        # Damage in the middle: a header overwritten, or zeroed, or a zero block between members.
        (lambda data: patched(data, 4 * SAMPLE, b"\1" * 512), "no valid header"),
        (lambda data: patched(data, 4 * SAMPLE, bytes(512)), "1 blocks of zeros"),
        (lambda data: patched(data, 4 * SAMPLE, bytes(SAMPLE + 600)), "6 blocks of zeros"),
        (lambda data: patched(data, 4 * SAMPLE, bytes(SAMPLE)), "5 blocks of zeros"),
        (lambda data: patched(data, 4 * SAMPLE + 20, b"\1"), "no valid header"),
        (
            lambda data: data[: 4 * SAMPLE] + bytes(512) + data[4 * SAMPLE :],
            "1 blocks of zeros",
        ),
        (lambda data: data[: 4 * SAMPLE] + data[4 * SAMPLE + 200 :], "no valid header"),
        (lambda data: data + b"something after the end", "cut off"),
        (lambda data: data + b"something after the end" * 100, "no valid header"),
    ],
)
def test_tar(damage, fault, tmp_path):
    path = tmp_path / "b.tar"
    path.write_bytes(damage(tar_bytes(NAMES)))
    with pytest.raises(ValueError, match=rf"must be complete; .*b\.tar.*{fault}.*again"):
        WebDatasetSource([path])


def patched(data, start, content):
    return data[:start] + content + data[start + len(content) :]


@pytest.mark.parametrize("end", [512, 1024, 1300, 10240])
def test_a_tar_that_ends_in_zeros_is_complete(end, tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(NAMES, pad=False) + bytes(end))
    assert len(WebDatasetSource([path])) == 10


def test_joined_tars_are_read_to_the_end(tmp_path, caplog):
    path = tmp_path / "joined.tar"
    short = tar_bytes(NAMES, pad=False) + bytes(1024)
    path.write_bytes(tar_bytes(NAMES) + short + tar_bytes(["x"]))
    source = WebDatasetSource([path])
    assert len(source) == 21 and source.name(20) == "joined.tar#3:x"
    assert len({source.name(index) for index in range(21)}) == 21
    assert all(source.caption(index) == "a caption" for index in range(21))
    assert "joined.tar: 2 x archive after the first in one file, used" in caplog.text


def test_a_tar_that_is_cut_off_while_it_is_read(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(tar_bytes(NAMES))
    source = WebDatasetSource([path])
    os.truncate(path, 3 * SAMPLE)
    assert source.caption(0) == "a caption"
    skips = Skips(source)
    with pytest.raises(OSError, match=r"a\.tar was cut off"):
        skips.attempt(5, source.caption)


def test_parquet(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.bytes(5000) for _ in range(50)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": images, "text": ["a"] * 50}), path, row_group_size=10)
    data = path.read_bytes()
    for damaged in (b"", data[:-1], data[: len(data) // 2], bytes(len(data))):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"must be parquet; .*a\.parquet.*again"):
            open_source(str(path))
    path.write_bytes(patched(data, 8, b"\xff" * 30))  # the header of a page
    source = open_source(str(path))
    with pytest.raises(OSError, match=r"row group 0 of .*a\.parquet.*again"):
        Skips(source).attempt(0, source.image)


def test_no_cache_is_made_of_a_damaged_file(tmp_path, records, pool, spell):
    path = tmp_path / "b.arrayrecord"
    middle = len(records) // 3
    path.write_bytes(records[:middle] + b"\1" * 3000 + records[middle + 3000 :])
    with pytest.raises(OSError, match="cannot be read"):
        LatentCache(
            encode_images=pool,
            encode_captions=spell,
            image_key="",
            caption_key="",
            folder=tmp_path / "caches",
            max_skipped=1.0,
        ).latents(ArrayRecordSource([path]), 16)
    assert list((tmp_path / "caches").glob("*/manifest.json")) == []
