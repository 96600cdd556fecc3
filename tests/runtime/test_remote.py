"""Files at an address: listed, copied both ways, whole or not at all, and tried again."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT
from remote_servers import failing, gcs_environment, gcs_server, s3_environment, s3_server, use_s3

from equildm.runtime.options import check_paths
from equildm.runtime.remote import copy_together, is_address, local_path, RemoteFolder


@pytest.fixture
def folder(tmp_path):
    """One that needs no network, at a protocol of files that can be seen half written."""
    return RemoteFolder(f"file://{tmp_path}/bucket", patience=0.0)


@pytest.fixture
def s3(monkeypatch):
    """The URL of a server with the bucket `bucket`, which this process uses."""
    with s3_server() as url:
        use_s3(monkeypatch, url)
        yield url


def check_folder(folder: RemoteFolder, tmp_path: Path) -> None:
    """What every protocol does."""
    assert folder.files() == {} and folder.read("a") is None
    folder.write("a", b"text")
    (tmp_path / "large").write_bytes(os.urandom(6_000_000))
    entry = folder.upload(tmp_path / "large", "b/c/large")
    assert folder.files() == {"a": folder.files()["a"], "b/c/large": entry}
    assert folder.files()["a"].size == 4 and entry.size == 6_000_000
    assert folder.inside("b").files() == {"c/large": entry}
    copy_together(lambda name: folder.download(name, tmp_path / "back" / name), folder.files())
    assert (tmp_path / "back/b/c/large").read_bytes() == (tmp_path / "large").read_bytes()
    assert not [path for path in (tmp_path / "back").rglob("*") if path.name.endswith(".tmp")]
    before = folder.files()["a"]
    time.sleep(1.1)  # some have dates of seconds
    folder.write("a", b"next")
    assert folder.files()["a"].version != before.version and folder.read("a") == b"next"
    folder.remove(["a", "a", "none"])
    assert list(folder.files()) == ["b/c/large"]
    with pytest.raises(FileNotFoundError, match="not there"):
        folder.download("none", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_files(folder, tmp_path):
    check_folder(folder, tmp_path)


def test_memory(tmp_path):
    check_folder(RemoteFolder(f"memory://{tmp_path.name}/x"), tmp_path)


def test_s3(s3, tmp_path):
    check_folder(RemoteFolder("s3://bucket/some/run"), tmp_path)


def test_gcs(tmp_path, monkeypatch):
    with gcs_server() as url:
        for name, value in gcs_environment(url).items():
            monkeypatch.setenv(name, value)
        folder = RemoteFolder("gs://bucket/some/run")
        check_folder(folder, tmp_path)
        for end in (b"\r", b"\n", b"\r\n", b""):
            folder.write("end", b"text\r\n" + end)
            assert folder.read("end") == b"text\r\n" + end


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, 429, 0], ids=["unavailable", "throttled", "cut"])
def test_an_outage_is_waited_for(s3, tmp_path, monkeypatch, status):
    """More failures one after the other than the library below tries by itself."""
    failures = {"PUT": 14, "GET": 14}

    def fault(method: str, path: str) -> int | None:
        del path
        failures[method] = failures.get(method, 0) - 1
        return status if failures[method] >= 0 else None

    (tmp_path / "file").write_bytes(b"content" * 1000)
    with failing(s3, fault) as url:
        use_s3(monkeypatch, url)
        folder = RemoteFolder("s3://bucket/run", patience=60.0)
        folder.upload(tmp_path / "file", "file")
        folder.download("file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content" * 1000
    assert failures["PUT"] < 0 and failures["GET"] < 0


@pytest.mark.slow
def test_an_outage_that_lasts_is_one_line(s3, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"content")
    with failing(s3, lambda method, path: 503) as url:
        use_s3(monkeypatch, url)
        with pytest.raises(ConnectionError, match="could not be reached for 1 s") as error:
            RemoteFolder("s3://bucket/run", patience=1.0).upload(tmp_path / "file", "file")
    assert "\n" not in str(error.value) and "s3://bucket/run" in str(error.value)


@pytest.mark.slow
def test_what_waiting_does_not_mend(s3, monkeypatch):
    start = time.monotonic()
    with failing(s3, lambda method, path: 403) as url:
        use_s3(monkeypatch, url)
        with pytest.raises(ValueError, match=r"cannot be used.*credentials"):
            RemoteFolder("s3://bucket/run").write("a", b"")
    use_s3(monkeypatch, s3)  # the one without faults
    with pytest.raises((ValueError, FileNotFoundError), match="s3://no-such-bucket/run"):
        RemoteFolder("s3://no-such-bucket/run").write("a", b"")
    assert time.monotonic() - start < 60


def test_a_copy_that_is_cut_off_is_made_again(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"content" * 10)
    folder = RemoteFolder(folder.address, patience=30.0)
    folder.upload(tmp_path / "file", "file")
    copies = []

    def cut(path: str, target: str) -> None:
        copies.append(path)
        content = Path(path).read_bytes()
        Path(target).write_bytes(content if len(copies) > 2 else content[:5])

    monkeypatch.setattr(folder._fs, "get_file", cut)
    folder.download("file", tmp_path / "back")
    assert len(copies) == 3 and (tmp_path / "back").read_bytes() == b"content" * 10


@pytest.mark.slow
def test_a_killed_upload_leaves_nothing(s3, tmp_path):
    """The server never shows a part of an object."""
    (tmp_path / "file").write_bytes(os.urandom(30_000_000))
    with failing(s3, lambda method, path: time.sleep(0.5) if method == "PUT" else None) as url:
        code = (
            "import pathlib, sys; from equildm.runtime.remote import RemoteFolder\n"
            "print('go', flush=True)\n"
            "RemoteFolder('s3://bucket/run').upload(pathlib.Path(sys.argv[1]), 'file')"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "file")]
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | s3_environment(url), stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"go\n"
        time.sleep(1.5)
        process.kill()
        process.communicate()
    entries = RemoteFolder("s3://bucket/run").files()
    assert entries == {} or entries["file"].size == 30_000_000


def test_addresses_and_paths():
    assert is_address("gs://bucket/x") and is_address("memory://x")
    assert not is_address("runs/emoji") and not is_address(Path("C:/runs"))
    assert local_path("runs/emoji") == Path("runs/emoji")
    for path in ("gs://bucket/x", Path("gs://bucket/x")):
        with pytest.raises(ValueError, match="received the address gs://bucket/x"):
            local_path(path)


def test_options_that_take_no_address():
    import dataclasses

    @dataclasses.dataclass
    class Data:
        cache: Path

    @dataclasses.dataclass
    class Config:
        run: str | Path
        data: Data
        lora: tuple[Path, ...] = ()

    check_paths(Config("s3://bucket/x", Data(Path("runs/cache"))))
    with pytest.raises(ValueError, match=r"--cache is one of this machine.*gs://bucket/cache"):
        check_paths(Config("runs/x", Data(Path("gs://bucket/cache"))))
    with pytest.raises(ValueError, match="--lora"):
        check_paths(Config("runs/x", Data(Path("x")), (Path("a"), Path("s3://b/c"))))


def test_unknown_protocols_and_missing_packages(monkeypatch):
    with pytest.raises(ValueError, match="received nonsense://bucket/x"):
        RemoteFolder("nonsense://bucket/x")
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(ValueError, match=r"az://box/x needs a package.*adlfs"):
        RemoteFolder("az://box/x")
