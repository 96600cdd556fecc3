"""Data at an address hold what the same files on this machine hold."""

import io
import json
import logging
import shutil
import tarfile
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import hub_server
from remote_servers import (
    failing,
    gcs_environment,
    gcs_server,
    s3_server,
    use_s3,
)

from equildm.data import copied, open_source, Skips, write_arrayrecord
from equildm.runtime.remote import RemoteFolder

SPECS = {
    "tar": "/shard-*.tar",
    "tars in braces": "/shard-{0..1}.tar",
    "tar folder": "",
    "metadata": "",
    "sidecar": "",
    "classes": "",
    "parquet": "/*.parquet",
    "parquet folder": "/",
    "paths in parquet": "/0.parquet",
    "arrow": "/0.arrow",
    "saved": "",
    "arrayrecord": "/{0,1}.arrayrecord",
}


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def write(tmp_path, make_source, encode):
    """`write(kind)`: a folder of data in one of the layouts."""

    def run(kind: str) -> Path:
        folder, source = tmp_path / kind, make_source(10)
        (folder / "below_this").mkdir(parents=True)
        (folder / "other").mkdir()
        samples = [(f"{n}.png", encode(sample[0]), sample[1]) for n, sample in enumerate(source)]
        if kind.startswith("tar"):
            for shard in range(2):
                with tarfile.open(folder / f"shard-{shard}.tar", "w") as tar:
                    for name, data, caption in samples[shard::2]:
                        stem = "x" * 120 * (name == "4.png") + name[0]  # one of a long header
                        members = {f"{stem}.png": data, f"{stem}.txt": caption.encode()}
                        for member, content in members.items():
                            entry = tarfile.TarInfo(member)
                            entry.size = len(content)
                            tar.addfile(entry, io.BytesIO(content))
        elif kind in ("metadata", "sidecar", "classes"):
            for name, data, caption in samples:
                place = folder / ("other" if name < "5" else "below_this") / name
                place.write_bytes(data)
                if kind == "sidecar":
                    place.with_suffix(".txt").write_text(caption)
            lines = [
                json.dumps({"file_name": f"{'other' if n < '5' else 'below_this'}/{n}", "text": c})
                for n, _, c in samples
            ]
            lines += ["no json", json.dumps({"file_name": "gone.png", "text": "not there"})]
            if kind == "metadata":
                (folder / "metadata.jsonl").write_text("\n".join(lines))
            (folder / ".hidden").mkdir()
            (folder / ".hidden" / "x.png").write_bytes(b"hidden")
            (folder / "other" / "notes.pdf").write_bytes(b"of another kind")
        elif kind == "arrayrecord":
            for shard in range(2):
                write_arrayrecord(make_source(5 + shard), folder / f"{shard}.arrayrecord")
        else:
            images = [{"bytes": data, "path": None} for _, data, _ in samples]
            if kind == "paths in parquet":
                images = [{"bytes": None, "path": name} for name, *_ in samples]
                for name, data, _ in samples[:-1]:
                    (folder / name).write_bytes(data)
            table = pa.table({"image": images, "text": [caption for *_, caption in samples]})
            if "parquet" in kind:
                pq.write_table(table, folder / "0.parquet", row_group_size=2)
            else:
                with pa.ipc.new_stream(str(folder / "0.arrow"), table.schema) as writer:
                    writer.write_table(table)
            if kind == "saved":
                state = {"_data_files": [{"filename": "0.arrow"}]}
                (folder / "state.json").write_text(json.dumps(state))
        return folder

    return run


def upload(folder: Path, address: str) -> str:
    remote = RemoteFolder(address)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        remote.upload(file, file.relative_to(folder).as_posix())
    return address


def contents(spec: str):
    source = open_source(spec)
    skips = Skips(source, 1.0)
    samples = [skips.attempt(index, source.__getitem__) for index in range(len(source))]
    names = [source.name(index) for index in range(len(source))]
    images = [None if x is None else (x.image.tobytes(), x.caption) for x in samples]
    return names, images, skips.names, source.remarks.counts, source.caption_hashes().tolist()


@pytest.mark.parametrize("kind", SPECS)
def test_the_same_as_on_this_machine(kind, write):
    folder = write(kind)
    address = upload(folder, f"memory://bucket/{uuid.uuid4().hex}")
    expected = contents(f"{folder}{SPECS[kind]}")
    assert contents(address + SPECS[kind]) == expected
    assert sum(image is not None for image in expected[1]) >= 9


@pytest.mark.parametrize("kind", ["tar", "metadata", "parquet", "arrow", "arrayrecord"])
def test_the_fingerprint_changes_with_the_data(kind, write):
    folder = write(kind)
    address = upload(folder, f"memory://bucket/{uuid.uuid4().hex}")
    first = open_source(address + SPECS[kind]).fingerprint
    assert open_source(address + SPECS[kind]).fingerprint == first
    upload(folder, address)
    assert open_source(address + SPECS[kind]).fingerprint != first  # by its time


def test_a_tar_that_changes_ends_the_run(write):
    folder = write("tar")
    address = upload(folder, f"memory://bucket/{uuid.uuid4().hex}")
    source = open_source(address + "/*.tar")
    source.image(0)
    shutil.copy(folder / "shard-1.tar", folder / "shard-0.tar")
    upload(folder, address)
    with pytest.raises(OSError, match=r"changed.*shard-0\.tar"):
        source.image(0)


def test_only_what_is_needed_is_read(tmp_path, monkeypatch):
    """Headers of large members, and the one that is asked for."""
    noise = np.random.default_rng(0).bytes(3_000_000)
    with tarfile.open(tmp_path / "large.tar", "w") as tar:
        for number in range(4):
            entry = tarfile.TarInfo(f"{number}.png")
            entry.size = len(noise)
            tar.addfile(entry, io.BytesIO(noise))
    address = upload(tmp_path, f"memory://bucket/{uuid.uuid4().hex}")
    copied_bytes = []
    read = RemoteFolder.read_range
    monkeypatch.setattr(
        RemoteFolder, "read_range", lambda *a: copied_bytes.append(a[3] - a[2]) or read(*a)
    )
    source = open_source(f"{address}/large.tar")
    assert sum(copied_bytes) < 7_000_000
    copied_bytes.clear()
    assert source.stored(2).digest and sum(copied_bytes) == 3_000_000


def test_copies_are_made_once_and_whole(write, caplog, monkeypatch, tmp_path):
    folder = write("arrayrecord")
    address = upload(folder, f"memory://bucket/{uuid.uuid4().hex}")
    with caplog.at_level(logging.WARNING):
        open_source(f"{address}/*.arrayrecord")
    assert f"{address}: 2 files of" in caplog.text and "copied, once" in caplog.text
    copies = list((tmp_path / "user/equildm/data").rglob("*.arrayrecord"))
    assert len(copies) == 2
    monkeypatch.setattr(RemoteFolder, "download", None)  # no more are
    open_source(f"{address}/*.arrayrecord")
    monkeypatch.undo()
    copies[0].unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(copied.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(ValueError, match=r"need room.*1 files.*received 0\.000 GB.*XDG_CACHE_HOME"):
        open_source(f"{address}/*.arrayrecord")
    assert not copies[0].exists()


def test_what_is_not_there(write):
    address = upload(write("tar"), f"memory://bucket/{uuid.uuid4().hex}")
    for spec in ("/none", "/none.tar", "/*.parquet"):
        with pytest.raises(ValueError, match="A data set must be"):
            open_source(address + spec)
    with pytest.raises(ValueError, match=r"1 of 3 are not, such as '.*shard-2\.tar'"):
        open_source(address + "/shard-{0..2}.tar")
    with pytest.raises(ValueError, match=r"is one of this machine.*s3://bucket/x"):
        open_source("fashion-mnist:s3://bucket/x")


def test_an_outage_ends_the_run_and_is_no_fault_of_the_data(write, monkeypatch):
    """It is not a sample to skip, nor a damaged file."""
    for kind in ("tar", "metadata", "parquet"):
        address = upload(write(kind), f"memory://bucket/{uuid.uuid4().hex}")
        source = open_source(address + SPECS[kind])

        def away(*args, **options):
            raise ConnectionError("could not be reached")

        with monkeypatch.context() as patch:
            patch.setattr(RemoteFolder, "_patiently", away)
            with pytest.raises(ConnectionError, match="could not be reached"):
                Skips(source, 1.0).attempt(len(source) // 2, source.__getitem__)
            with pytest.raises(ConnectionError, match="could not be reached"):
                open_source(address + SPECS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPECS)
def test_s3_with_faults(kind, write, monkeypatch):
    """One request in four is refused or cut off."""
    requests = []

    def fault(method: str, path: str) -> int | None:
        requests.append(path)
        return {1: 503, 3: 0, 5: 429}.get(len(requests) % 12) if method != "HEAD" else None

    folder = write(kind)
    with s3_server() as url:
        use_s3(monkeypatch, url)
        upload(folder, "s3://bucket/data")
        with failing(url, fault) as shaken:
            use_s3(monkeypatch, shaken)
            found = contents("s3://bucket/data" + SPECS[kind])
    assert found == contents(f"{folder}{SPECS[kind]}")
    assert len(requests) > 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPECS)
def test_gcs(kind, write, monkeypatch):
    folder = write(kind)
    with gcs_server() as url:
        for name, value in gcs_environment(url).items():
            monkeypatch.setenv(name, value)
        upload(folder, "gs://bucket/data")
        found = contents("gs://bucket/data" + SPECS[kind])
    assert found == contents(f"{folder}{SPECS[kind]}")


@pytest.mark.parametrize("kind", ["tars in braces", "metadata", "parquet", "saved"])
def test_a_repository_of_the_hub(kind, write, monkeypatch):
    folder = write(kind)
    expected = contents(f"{folder}{SPECS[kind]}")
    with hub_server(monkeypatch) as hub:
        commit = hub.push(folder)
        assert contents(f"hf://datasets/user/set{SPECS[kind]}") == expected
        assert contents(f"hf://datasets/user/set@{commit}{SPECS[kind]}") == expected


def test_a_push_changes_nothing_of_what_is_read(write, tmp_path, monkeypatch):
    """The commit is that of the opening; reads ask for nothing else."""
    with hub_server(monkeypatch) as hub:
        hub.push(write("parquet"))
        source = open_source("hf://datasets/user/set/0.parquet")
        expected = [source[index].image.tobytes() for index in range(len(source))]
        (tmp_path / "new").mkdir()
        hub.push(tmp_path / "new")
        hub.requests.clear()
        assert [source[index].image.tobytes() for index in range(len(source))] == expected
        assert all("/resolve/" in path for path in hub.requests)
        with pytest.raises(ValueError, match="A data set must be"):
            open_source("hf://datasets/user/set/0.parquet")


def test_splits_of_a_repository(write, tmp_path, monkeypatch):
    shard = write("parquet") / "0.parquet"
    (tmp_path / "repository/data").mkdir(parents=True)
    (tmp_path / "repository/README.md").write_text("card")
    shard.rename(tmp_path / "repository/data/train-00000-of-00001.parquet")
    with hub_server(monkeypatch) as hub:
        hub.push(tmp_path / "repository")
        assert contents("hf://datasets/user/set") == contents(str(tmp_path / "repository"))
        shutil.copy(next(tmp_path.rglob("train-*")), tmp_path / "repository/data/test-0.parquet")
        with pytest.raises(ValueError, match=r"one split.*test, train.*/data/train\*\.parquet'"):
            open_source("hf://datasets/user/set")
        assert len(open_source("hf://datasets/user/set/data/train*.parquet")) == 10


def test_what_is_not_on_the_hub(write, monkeypatch):
    with hub_server(monkeypatch) as hub:
        hub.push(write("parquet"))
        for address in ("hf://datasets/user/other", "hf://datasets/user/set@gone/0.parquet"):
            with pytest.raises(ValueError, match=r"must be of a repository.*user/.*hf auth login"):
                open_source(address)
