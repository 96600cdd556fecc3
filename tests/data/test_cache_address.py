"""Caches at an address: made once, copied both ways, and gone on with on another machine."""

import shutil
import threading
import time
import uuid

import numpy as np
import pytest
from remote_servers import failing, gcs_environment, gcs_server, s3_server, use_s3

from equildm.data import Buckets, cache_mirror, segments
from equildm.runtime.remote import RemoteFolder
from equildm.runtime.remote_lock import RemoteLock


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small segments, copied at once."""
    monkeypatch.setattr(segments, "_FIRST", 4)
    monkeypatch.setattr(segments, "_MOST", 4)
    monkeypatch.setattr(cache_mirror, "_EVERY", 0.05)
    monkeypatch.setattr(cache_mirror, "_PAUSE", 0.2)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """`machine(name)`: from here on this process has the disk of that machine."""

    def use(name: str) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    use("first")
    return use


@pytest.fixture
def address(machine) -> str:
    return f"memory://bucket/{uuid.uuid4().hex}/cache"


def equal(first, second):
    assert first.fingerprint == second.fingerprint and first.names == second.names
    assert first.captions == second.captions
    one, other = (x.gather(range(len(x))) for x in (first, second))
    np.testing.assert_array_equal(one.latents, other.latents)
    np.testing.assert_array_equal(one.text.tokens, other.text.tokens)


class Counted:
    """An encoder that counts the images that it was given, and fails from one on."""

    def __init__(self, encode, stop=10_000):
        self.encode, self.stop, self.count = encode, stop, 0

    def __call__(self, batch):
        self.count += sum(bool(np.any(x)) for x in batch)
        if self.count > self.stop:
            raise OSError(5, "Input/output error")
        return self.encode(batch)


def names_at(address: str) -> list[str]:
    return sorted(RemoteFolder(address).files())


def test_made_once_and_opened_on_another_machine(address, machine, make_source, build, pool):
    source = make_source(10, broken={3})
    peace = build(source)
    equal(build(source, folder=address), peace)
    names = names_at(address)
    assert not [name for name in names if name.startswith(".") or ".tmp" in name]
    assert sum(name.endswith("/manifest.json") for name in names) == 1
    machine("second")
    encoder = Counted(pool)
    equal(build(source, folder=address, encode_images=encoder), peace)
    assert encoder.count == 0 and names_at(address) == names
    # With more images only these are encoded, on a third machine.
    machine("third")
    grown = make_source(12, broken={3}, fingerprint="grown")
    equal(build(grown, folder=address, encode_images=encoder), build(grown))
    assert encoder.count == 2


def test_several_shapes(address, machine, make_source, build):
    source = make_source(9)
    source._images[2] = np.zeros((32, 64, 3), np.uint8)
    buckets = Buckets(32, step=8)
    peace = build(source, buckets=buckets)
    for name in ("first", "second"):
        machine(name)
        other = build(source, buckets=buckets, folder=address)
        assert other.fingerprint == peace.fingerprint and len(other) == len(peace)


def test_goes_on_on_another_machine(address, machine, make_source, build, pool):
    """What was complete at the address is not encoded again, and nothing is lost or doubled."""
    source = make_source(15)
    with pytest.raises(OSError, match="Input/output"):
        build(source, folder=address, encode_images=Slow(pool, 9))
    names = names_at(address)
    assert sum(".part/" in name for name in names) == 2  # of 4 images each
    assert not any(name.endswith(("manifest.json", "lock.json")) for name in names)
    machine("second")
    encoder = Counted(pool)
    equal(build(source, folder=address, encode_images=encoder), build(source))
    assert encoder.count == 7
    assert not [name for name in names_at(address) if ".part/" in name]
    machine("first")  # what lies in its copy is of no more use
    equal(build(source, folder=address), build(source))


class Slow(Counted):
    """One that leaves time for copies."""

    def __call__(self, batch):
        time.sleep(0.5)
        return super().__call__(batch)


def test_a_launch_that_was_killed_between_tables_and_manifest(
    address, machine, make_source, build, monkeypatch, pool
):
    source = make_source(6)
    upload = RemoteFolder.upload

    def cut(self, file, name):
        if name.endswith("manifest.json"):
            raise ConnectionError("gone")
        return upload(self, file, name)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "upload", cut)
        with pytest.raises(ConnectionError):
            build(source, folder=address)
    assert any(name.endswith("samples.arrow") for name in names_at(address))
    encoder = Counted(pool)
    for name in ("second", "first"):
        machine(name)
        equal(build(source, folder=address, encode_images=encoder), build(source))
    assert encoder.count == 0


def test_a_second_launch_waits(address, machine, make_source, build, pool, tmp_path):
    """It encodes nothing, and has the same."""
    source, counts, results = make_source(12), [], []

    def launch():
        encoder = Slow(pool)
        results.append(build(source, folder=address, encode_images=encoder))
        counts.append(encoder.count)

    threads = [threading.Thread(target=launch) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join(60)
    assert sorted(counts) == [0, 12]
    equal(*results)


def test_a_lost_lock_ends_the_build(address, machine, make_source, build, monkeypatch):
    monkeypatch.setattr(RemoteLock, "is_held", lambda self: False)
    with pytest.raises(OSError, match="another one went on"):
        build(make_source(6), folder=address)
    monkeypatch.undo()
    assert not [name for name in names_at(address) if name.endswith("manifest.json")]


def test_too_many_skips_leave_no_segments(address, machine, make_source, build):
    with pytest.raises(ValueError, match=r"max-skipped|unusable"):
        build(make_source(12, broken={1, 5, 9}), folder=address, max_skipped=0.1)
    assert not [name for name in names_at(address) if "manifest" in name]


def test_a_lost_shard_is_an_error(address, machine, make_source, build):
    build(make_source(6), folder=address)
    shard = next(name for name in names_at(address) if name.endswith(".arrayrecord"))
    RemoteFolder(address).remove([shard])
    build(make_source(6), folder=address)  # it is in the copy
    machine("second")
    with pytest.raises(FileNotFoundError, match="not there"):
        build(make_source(6), folder=address)


@pytest.mark.slow
def test_s3_with_faults(make_source, build, machine, monkeypatch, tmp_path):
    """One request in four is refused or cut off; the copy is lost in between."""
    requests = []

    def fault(method: str, path: str) -> int | None:
        requests.append(path)
        return {1: 503, 3: 0, 5: 429}.get(len(requests) % 12)

    source = make_source(40)
    peace = build(source)
    with s3_server() as url, failing(url, fault) as shaken:
        use_s3(monkeypatch, shaken)
        equal(build(source, folder="s3://bucket/cache"), peace)
        shutil.rmtree(tmp_path / "first")
        equal(build(source, folder="s3://bucket/cache"), peace)
    assert len(requests) > 40


@pytest.mark.slow
def test_gcs(make_source, build, machine, monkeypatch):
    source = make_source(20)
    with gcs_server() as url:
        for name, value in gcs_environment(url).items():
            monkeypatch.setenv(name, value)
        equal(build(source, folder="gs://bucket/cache"), build(source))
        machine("second")
        equal(build(source, folder="gs://bucket/cache"), build(source))
