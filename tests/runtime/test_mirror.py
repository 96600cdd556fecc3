"""A run at an address: its local copy, its lock and its checkpoints. The protocol is in memory."""

import dataclasses
import json
import shutil
import uuid
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from equildm.runtime import Checkpoints, MetricsLog, mirror as mirrors, read_metrics, Run
from equildm.runtime.mirror import local_folder, Mirror
from equildm.runtime.remote import RemoteFolder
from equildm.runtime.remote_lock import NAME, RemoteLock


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 1


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A new address. What runs hold for their process is given up at the end."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mirrors, "_EVERY", 0.2)
    yield f"memory://bucket/{uuid.uuid4().hex}"
    for mirror in list(mirrors._training.values()):
        mirror.close()


def end_launch():
    """What the end of a process does."""
    for mirror in list(mirrors._training.values()):
        mirror.close()


def files(address):
    return set(RemoteFolder(address).files())


def test_a_run_is_pushed_and_opened_elsewhere(address, tmp_path):
    run = Run.create(address, Config(), "mine")
    assert files(address) == {NAME}, "config.json comes when all else is there"
    with MetricsLog(run) as log:
        log.scalars(1, {"loss": 1.5})
    (run.path / "vae").mkdir()
    (run.path / "vae" / "weights").write_bytes(b"w" * 1000)
    (run.path / "locks").mkdir()
    (run.path / "locks" / "training.0").write_text("own")
    run.push()
    names = files(address)
    assert {"config.json", "environment.json", "metrics.jsonl", "vae/weights"} <= names
    assert any(name.startswith("tensorboard/") for name in names)
    assert not any(name.startswith("locks") for name in names)
    end_launch()
    assert NAME not in files(address)

    shutil.rmtree(tmp_path / "cache")
    again = Run.open(address)
    assert again.location == address and again.recipe == "mine"
    assert read_metrics(again.metrics) == [{"step": 1, "loss": 1.5}]
    assert not (again.path / "vae").exists()
    assert (local_folder(address) / "vae" / "weights").read_bytes() == b"w" * 1000
    assert not (local_folder(address) / "tensorboard").exists()


def test_only_what_has_changed_is_copied(address, monkeypatch):
    run = Run.create(address, Config(), "mine")
    run.push()
    copied = []

    def noting(method):
        copy = getattr(RemoteFolder, method)

        def note(self, first, second):
            copied.append(first if isinstance(first, str) else second)
            return copy(self, first, second)

        monkeypatch.setattr(RemoteFolder, method, note)

    noting("upload")
    noting("download")
    run.push()
    Mirror(address, "training").pull()
    assert copied == []
    (run.path / "new").write_text("1")
    run.push()
    assert copied == ["new"]
    reader = Mirror(address)
    reader.pull()
    reader.pull()
    assert sorted(copied[1:]) == ["config.json", "environment.json", "new"]


def test_the_address_is_the_truth(address):
    """What a launch left in its copy and not at the address is gone in the next."""
    run = Run.create(address, Config(), "mine")
    run.push()
    (run.path / "vae").mkdir()
    (run.path / "vae" / "part").write_text("of a launch that was killed")
    (run.path / "samples" / "x.png").write_text("of the same")
    end_launch()
    again = Run.create(address, Config(), "mine", resume=True)
    assert not (again.path / "vae").exists() and not list(again.samples.glob("*"))
    launches = json.loads((again.path / "environment.json").read_text())["launches"]
    assert len(launches) == 2


def test_a_launch_that_was_killed_while_it_began_is_begun_anew(address):
    remote = RemoteFolder(address)
    remote.write("environment.json", b"{}")
    remote.write("vae/part", b"cut off")
    run = Run.create(address, Config(), "mine")
    run.push()
    assert "vae/part" not in files(address) and "config.json" in files(address)


def test_a_folder_of_something_else_is_refused(address):
    RemoteFolder(address).write("thesis.tex", b"")
    with pytest.raises(ValueError, match=r"needs an empty folder, received memory://.*thesis.tex"):
        Run.prepare(address, Config(), "mine")
    assert files(address) == {"thesis.tex"}, "a refused command leaves nothing, not even a lock"


def test_a_trained_run_is_not_begun_again(address):
    run = Run.create(address, Config(), "mine")
    run.push()
    with Checkpoints(run.checkpoints) as checkpoints:
        checkpoints.save(1, {"model": {"w": jnp.ones(3)}}, {})
    end_launch()
    with pytest.raises(ValueError, match="one that was trained"):
        Run.prepare(address, Config(), "mine")
    with pytest.raises(ValueError, match=r"steps is 1 in memory://.*config.json, received 2"):
        Run.prepare(address, Config(2), "mine", resume=True)
    assert Run.prepare(address, Config(), "mine", resume=True).document is not None


def test_files_are_pushed_in_the_background(address):
    run = Run.create(address, Config(), "mine")
    run.push()
    (run.path / "later").write_text("1")
    import time

    for _ in range(100):
        time.sleep(0.1)
        if "later" in files(address):
            return
    raise AssertionError("not pushed")


def test_paths_that_were_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (Run.open, Run.exists, Checkpoints, lambda p: Run.prepare(p, Config(), "mine")):
        with pytest.raises(ValueError, match="received the address s3://bucket/x"):
            call(Path("s3://bucket/x"))
    assert list(tmp_path.iterdir()) == []


TREE = {"w": jnp.arange(1000.0), "b": jnp.ones((3, 4))}


def test_checkpoints(address):
    before = []

    def complete():
        return [name for name in files(address) if name.endswith("/commit_success.txt")]

    def note():
        before.append([n for n in complete() if n.count("/") == 1])

    with Checkpoints(address, keep=2, before_complete=note) as checkpoints:
        for step in (1, 2, 3):
            assert checkpoints.save(step, {"model": TREE, "ema": TREE}, {"position": step})
        assert not checkpoints.save(3, {"model": TREE}, {})
    assert [len(markers) for markers in before] == [0, 1, 2]
    reader = Checkpoints(address)
    assert reader.steps() == [2, 3] and reader.latest() == 3
    assert not any(name.startswith("1/") for name in files(address))
    restored = reader.restore({"model": TREE})
    assert restored.step == 3 and restored.meta == {"position": 3}
    np.testing.assert_array_equal(restored.items["model"]["w"], TREE["w"])
    fetched = reader._remote._fetched / "3"
    assert (fetched / "model").is_dir() and not (fetched / "ema").exists(), "only what is asked for"
    np.testing.assert_array_equal(reader.restore({"ema": TREE}, 2).items["ema"]["b"], TREE["b"])


def test_a_copy_that_is_cut_off_is_no_checkpoint(address, monkeypatch):
    """The marker comes last, whatever Orbax left in the folder that is copied."""
    upload = RemoteFolder.upload
    names = []

    def cut(self, file, name):
        names.append(name)
        if len(names) == 8:
            raise ConnectionError(f"{self.address} could not be reached")
        return upload(self, file, name)

    with Checkpoints(address) as checkpoints:
        checkpoints.save(1, {"model": TREE}, {})
        checkpoints.wait()
        names.clear()
        monkeypatch.setattr(RemoteFolder, "upload", cut)
        checkpoints.save(2, {"model": TREE}, {})
        with pytest.raises(ConnectionError):
            checkpoints.wait()
        assert any(name.startswith("2/") for name in files(address))
        assert checkpoints.steps() == [1]
    monkeypatch.undo()
    with Checkpoints(address) as checkpoints:
        checkpoints.save(2, {"model": TREE}, {"again": True})
    assert Checkpoints(address).steps() == [1, 2]
    assert Checkpoints(address).restore({"model": TREE}).meta == {"again": True}


def test_a_step_that_was_saved_again_is_fetched_again(address):
    def save(value):
        with Checkpoints(address) as checkpoints:
            checkpoints.save(1, {"model": {"w": jnp.full(3, value)}}, {})

    def read():
        like = {"model": {"w": jnp.zeros(3)}}
        return float(Checkpoints(address).restore(like).items["model"]["w"][0])

    save(1.0)
    assert read() == 1.0
    remote = RemoteFolder(address)
    remote.remove(remote.files())
    reader = Checkpoints(address)._remote
    kept = reader._fetched.with_name("kept")
    shutil.move(reader._fetched, kept)
    save(2.0)
    shutil.move(kept, reader._fetched)
    assert read() == 2.0


def lock(address, **options):
    return RemoteLock(RemoteFolder(address), **({"beat": 0.2, "stale": 1.0} | options))


def foreign(remote, beats):
    """The lock of a launch on another machine."""
    record = {"owner": "other", "beats": beats, "host": "far", "machine": "far", "pid": 1}
    remote.write(NAME, json.dumps(record | {"start": "1"}).encode())


def test_one_launch_at_a_time(address):
    first, second = lock(address), lock(address)
    assert first.acquire() and first.acquire()
    assert not second.acquire()
    first.release()
    first.release()
    assert files(address) == set() and second.acquire()
    second.release()


def test_a_dead_launch_elsewhere_loses_the_lock(address):
    foreign(RemoteFolder(address), 5)
    own = lock(address)
    assert own.acquire()
    own.release()


def test_a_dead_launch_of_this_machine_loses_it_at_once(address):
    own = lock(address, stale=1000.0, beat=1.0)
    from equildm.runtime.locks import this_process

    record = {"owner": "other", "beats": 1, "host": "here", **this_process(), "start": "long ago"}
    RemoteFolder(address).write(NAME, json.dumps(record).encode())
    assert own.acquire()
    own.release()


def test_a_launch_that_lost_its_lock_pushes_no_more(address, monkeypatch):
    monkeypatch.setattr(
        mirrors, "RemoteLock", lambda folder: RemoteLock(folder, beat=0.1, stale=1.0)
    )
    run = Run.create(address, Config(), "mine")
    run.push()
    foreign(RemoteFolder(address), 1)
    own = run.mirror.lock
    own._heart.join(10)
    (run.path / "late").write_text("1")
    with pytest.raises(ValueError, match="another one went on with memory://"):
        run.push()
    assert "late" not in files(address)
    RemoteFolder(address).remove([NAME])
    again = Run.create(f"{address}/", Config(), "mine", resume=True)
    assert again.mirror is not run.mirror and not (again.path / "late").exists()
    end_launch()
    assert NAME not in files(address)
