"""An error of the machine ends the run; it is never counted as a broken image."""

import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from equildm.data import (
    batches,
    Crop,
    decode_image,
    FolderSource,
    ImageDataset,
    open_source,
    ParquetSource,
    PhotographSource,
    prefetch,
    Skips,
    UnusableSample,
    write_arrayrecord,
)

ERRORS = ("EIO", "ESTALE", "EMFILE", "ENFILE", "ENOSPC", "ETIMEDOUT", "EACCES", "ENOMEM")


@pytest.fixture
def folder(tmp_path, make_source, encode):
    """100 images with captions beside them."""
    for number, sample in enumerate(make_source(100)):
        (tmp_path / f"{number:03d}.png").write_bytes(encode(sample.image))
        (tmp_path / f"{number:03d}.txt").write_text(sample.caption)
    return tmp_path


def failing(monkeypatch, name, code):
    """Reading a file whose path contains `name` fails."""
    honest = Path.read_bytes

    def read_bytes(self):
        if name in str(self):
            raise OSError(code, os.strerror(code))  # as `read` does: without the name
        return honest(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


@pytest.mark.parametrize("code", ERRORS)
def test_a_cache_of_an_outage_is_not_made(code, folder, build, monkeypatch, tmp_path):
    number = getattr(errno, code)
    source = FolderSource(folder)
    with monkeypatch.context() as outage:
        failing(outage, "07", number)
        with pytest.raises(OSError, match=r"070.png|07\d\.txt|007.(txt|png)") as caught:
            build(source, folder=tmp_path / "caches")
    assert caught.value.errno == number
    assert list((tmp_path / "caches").glob("*/manifest.json")) == []
    cache = build(source, folder=tmp_path / "caches")
    assert len(cache) == 100 and cache.manifest["skipped"] == {}


def test_a_file_that_goes_away_is_no_broken_image(folder):
    source = FolderSource(folder)
    (folder / "003.png").unlink()
    (folder / "004.txt").unlink()
    skips = Skips(source)
    with pytest.raises(FileNotFoundError, match=r"003\.png"):
        skips.attempt(3, source.image)
    with pytest.raises(FileNotFoundError, match=r"004\.txt"):
        skips.attempt(4, source.caption)


def test_metadata_that_name_no_file_are_a_fault_of_the_data(tmp_path, encode, make_source):
    (tmp_path / "a.png").write_bytes(encode(make_source(1).image(0)))
    (tmp_path / "file").write_text("")
    names = ["gone.png", "file/a.png", "x" * 300 + ".png", ".", "a\0.png", "\ud800.png", "a.png"]
    rows = [json.dumps({"file_name": name, "text": "a caption"}) for name in names]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    source = FolderSource(tmp_path)
    skips = Skips(source)
    usable = [skips.attempt(index, source.__getitem__) for index in range(len(source))]
    assert [sample.name for sample in usable if sample is not None] == ["a.png"]
    assert skips.counts == {"unreadable record": 6}


@pytest.mark.parametrize("code", ERRORS)
def test_other_sources(code, tmp_path, make_source, encode, monkeypatch):
    number = getattr(errno, code)
    image = encode(make_source(1).image(0))
    (tmp_path / "seen.png").write_bytes(image)
    table = {"image": [{"bytes": None, "path": "seen.png"}], "text": ["a caption"]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    wallpaper = tmp_path / "backgrounds" / "mate" / "nature" / "Aqua.jpg"
    wallpaper.parent.mkdir(parents=True)
    wallpaper.write_bytes(image)
    sources = [
        (ParquetSource([tmp_path / "a.parquet"]), "seen.png"),
        (PhotographSource(tmp_path), "Aqua.jpg"),
        (open_source("emoji"), ".png"),
    ]
    for source, name in sources:
        with monkeypatch.context() as outage:
            failing(outage, name, number)
            with pytest.raises(OSError) as caught:
                Skips(source).attempt(0, source.image)
        assert caught.value.errno == number and str(caught.value.filename).endswith(name)
        assert Skips(source).attempt(0, source.image) is not None


def test_tars_and_shards(tmp_path, make_source, encode, monkeypatch):
    import tarfile

    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("a.png", encode(make_source(1).image(0))), ("a.txt", b"a caption")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    source = open_source(str(path))

    def refuse(self, *args, **options):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "open", refuse)
    for read in (source.caption, source.image):
        with pytest.raises(OSError, match=r"Stale file handle.*a\.tar"):
            Skips(source).attempt(0, read)
    with pytest.raises(OSError, match=r"Stale file handle.*a\.tar"):
        open_source(str(path))


def test_no_permission(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        FolderSource(folder)


@pytest.mark.parametrize("pattern", ["*.tar", "a*/*.tar", "**/*.tar"])
def test_a_folder_that_cannot_be_read_hides_no_shard(pattern, tmp_path, monkeypatch):
    """`glob` alone leaves out what it cannot read."""
    (tmp_path / "a1").mkdir()
    honest = os.scandir

    def refuse(path="."):
        if str(path).endswith("a1" if "/" in pattern else tmp_path.name):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return honest(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        open_source(f"{tmp_path}/{pattern}")


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "x")]
)
def test_decoding_fails_for_want_of_the_machine(error, encode, monkeypatch):
    data = encode(np.zeros((8, 8, 3), np.uint8))

    def fail(self):
        raise error

    monkeypatch.setattr(Image.Image, "load", fail)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(type(error)):
        decode_image(data, "a")


def test_decoding_fails_for_want_of_an_image(monkeypatch, encode):
    """Pillow's own `OSError`s have no number."""

    def fail(self):
        raise OSError("image file is truncated")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(UnusableSample, match="broken image"):
        decode_image(encode(np.zeros((8, 8, 3), np.uint8)), "a")


def test_too_many_skips_end_a_cache(folder, build, tmp_path):
    for number in range(6):
        (folder / f"{number:03d}.png").write_bytes(b"no image")
    source = FolderSource(folder)
    with pytest.raises(
        ValueError, match=r"so far \d of 100 samples are.*x broken image \(000\.png, 001"
    ):
        build(source, folder=tmp_path / "caches", max_skipped=0.05)
    assert list((tmp_path / "caches").glob("*/manifest.json")) == []
    cache = build(source, folder=tmp_path / "caches", max_skipped=0.06)
    assert len(cache) == 94
    with pytest.raises(ValueError, match=r"so far 6 of 100 .*6 x broken image \(000\.png, 001"):
        build(source, folder=tmp_path / "caches", max_skipped=0.05)  # of the complete cache
    with pytest.raises(ValueError, match="At most a share"):
        write_arrayrecord(source, tmp_path / "a.arrayrecord")
    assert not (tmp_path / "a.arrayrecord").exists()


def test_training_on_pixels_ends_too(folder, monkeypatch):
    """In the threads that read ahead."""
    dataset = ImageDataset(FolderSource(folder), Crop(8))
    failing(monkeypatch, "07", errno.EIO)
    ahead = prefetch(batches(dataset, batch_size=10, seed=0))
    with pytest.raises(OSError, match=r"Input/output error: '.*07.*png'"):
        for _ in range(11):
            next(ahead)
