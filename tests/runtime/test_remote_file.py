"""Reading some bytes of a file at an address, and listing what a pattern names."""

import io
import os
import tarfile
import uuid

import fsspec.config
import pytest
from remote_servers import failing, s3_server, use_s3

from equildm.runtime.remote import RemoteFolder
from equildm.runtime.remote_file import open_address


@pytest.fixture
def folder():
    return RemoteFolder(f"memory://bucket/{uuid.uuid4().hex}")


def test_a_file_reads_like_a_local_one(folder):
    content = os.urandom(100_000)
    folder.write("a/file", content)
    with open_address(f"{folder.address}/a/file", buffer=1000) as file:
        local = io.BytesIO(content)
        for offset, whence, size in ((5, 0, 10), (-7, 2, 20), (100, 1, 5), (50_000, 0, 40_000)):
            assert file.seek(offset, whence) == local.seek(offset, whence)
            assert file.read(size) == local.read(size) and file.tell() == local.tell()
        file.seek(0)
        assert file.read() == content and file.read(1) == b""
        with pytest.raises(OSError, match="begin at 0"):
            file.seek(-1)
    with pytest.raises(FileNotFoundError):
        open_address(f"{folder.address}/none")


def test_only_what_is_asked_for_is_copied(folder, monkeypatch):
    """The second of two members of an archive, without the first one's bytes."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("first", "second"):
            info = tarfile.TarInfo(name)
            info.size = 10_000_000
            tar.addfile(info, io.BytesIO(name.encode() * 2_000_000))
    folder.write("x.tar", archive.getvalue())
    copied = []
    read = RemoteFolder.read_range
    monkeypatch.setattr(
        RemoteFolder, "read_range", lambda *args: copied.append(args[3] - args[2]) or read(*args)
    )
    with (
        open_address(f"{folder.address}/x.tar", buffer=4096) as file,
        tarfile.open(fileobj=file, mode="r:") as tar,
    ):
        member = tar.extractfile(tar.getmembers()[1])
        assert member is not None and member.read(12) == b"secondsecond"
    assert sum(copied) < 50_000


def test_a_file_that_changes_is_an_error(folder):
    folder.write("file", b"a" * 10_000)
    with open_address(f"{folder.address}/file", buffer=10) as file:
        assert file.read(10) == b"a" * 10
        folder.write("file", b"b" * 10_000)
        with pytest.raises(OSError, match="has changed"):
            file.read(10)


def test_a_change_is_seen_after_a_listing(monkeypatch):
    """The protocol's package answers from its last listing, if it may."""
    with s3_server() as url:
        use_s3(monkeypatch, url)
        monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": url})
        folder = RemoteFolder("s3://bucket/data")
        folder.write("file", b"a" * 10_000)
        with open_address("s3://bucket/data/file", buffer=10) as file:
            other = RemoteFolder("s3://bucket/data")
            assert list(other.top()) == list(other.files()) == ["file"]
            # As another machine does:
            folder._fs.call_s3("put_object", Bucket="bucket", Key="data/file", Body=b"b")
            with pytest.raises(OSError, match="has changed"):
                file.read(10)
        with pytest.raises(FileNotFoundError, match="is a folder"):
            RemoteFolder("s3://bucket").entry("data")


def test_patterns(folder):
    for name in ("a/1.tar", "a/2.tar", "b/3.tar", "b/c/4.tar", "a/x.txt"):
        folder.write(name, b"1")

    def names(pattern):
        return list(folder.matching(pattern))

    assert names("a/*.tar") == ["a/1.tar", "a/2.tar"]
    assert names("*/[23].tar") == ["a/2.tar", "b/3.tar"]
    assert names("**/*.tar") == ["a/1.tar", "a/2.tar", "b/3.tar", "b/c/4.tar"]
    assert names("a/x.txt") == ["a/x.txt"]
    assert names("*.zip") == []


def test_reads_go_on_after_faults(monkeypatch):
    content = os.urandom(300_000)
    requests = []

    def fault(method: str, path: str) -> int | None:
        requests.append(path)
        return (503, 0, None)[len(requests) % 3] if method == "GET" else None

    with s3_server() as url:
        use_s3(monkeypatch, url)
        RemoteFolder("s3://bucket/data").write("file", content)
        with failing(url, fault) as shaken:
            use_s3(monkeypatch, shaken)
            with open_address("s3://bucket/data/file", buffer=50_000) as file:
                assert b"".join(iter(lambda: file.read(40_000), b"")) == content
            assert list(RemoteFolder("s3://bucket/data").matching("f*")) == ["file"]
    assert len(requests) > 10
