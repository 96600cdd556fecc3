import os
import signal
import subprocess
import sys
import time

import equinox as eqx
import helpers
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import trees_equal

from equildm.nn import Linear
from equildm.runtime import Checkpoints


def state(scale=1.0, width=4):
    model = Linear(3, width, key=jax.random.key(0))
    model = jax.tree.map(lambda x: x * scale, eqx.filter(model, eqx.is_array))
    optimizer = optax.chain(optax.clip(1.0), optax.adam(1e-3)).init(model)
    return {"model": model, "ema": jax.tree.map(jnp.zeros_like, model), "optimizer": optimizer}


def test_everything_comes_back(tmp_path):
    items = state() | {
        "odd": {
            "half": jnp.arange(3, dtype=jnp.bfloat16) / 3,
            "flags": jnp.array([True, False]),
            "host": np.arange(4, dtype=np.int64),
            "deep": [(jnp.uint8(7),), None],
        },
        "bare": jnp.float32(2.5),
        "large": {"w": jnp.arange(300.0 * 300).reshape(300, 300), "host": np.ones((300, 300))},
        "empty": optax.sgd(1.0).init(jnp.ones(2)),
    }
    meta = {"data": {"next": 123, "epoch": 0.1 + 0.2}, "name": "é"}
    with Checkpoints(tmp_path / "new" / "checkpoints") as checkpoints:
        assert checkpoints.latest() is None and checkpoints.steps() == []
        assert checkpoints.save(10, items, meta)
        assert not checkpoints.save(10, items, meta)  # is there already
        restored = checkpoints.restore(items)
    assert restored.step == 10 and restored.meta == meta
    assert trees_equal(restored.items, items)
    assert type(restored.items["odd"]["host"]) is np.ndarray
    # Another process, knowing shapes only, wants a part.
    like = jax.eval_shape(lambda: items["ema"])
    with Checkpoints(tmp_path / "new" / "checkpoints") as checkpoints:
        part = checkpoints.restore({"ema": like})
        assert list(part.items) == ["ema"] and trees_equal(part.items["ema"], items["ema"])
        assert checkpoints.restore({}).meta == meta


def test_donated_buffers_are_saved_as_they_were(tmp_path):
    overwrite = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    with Checkpoints(tmp_path, keep=None) as checkpoints:
        for step in (1, 2, 3):
            x = jax.block_until_ready(jnp.full((1024, 1024), float(step)))
            checkpoints.save(step, {"x": x}, {})
            overwrite(x).block_until_ready()
        for step in (1, 2, 3):
            like = {"x": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}
            assert (checkpoints.restore(like, step).items["x"] == step).all()


def test_the_newest_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2, every=5) as checkpoints:
        assert [s for s in range(11) if checkpoints.due(s)] == [5, 10]
        for step in (5, 10, 15, 20):
            checkpoints.save(step, {"x": jnp.float32(step)}, {})
        checkpoints.wait()
        assert checkpoints.steps() == [15, 20] and checkpoints.latest() == 20
        assert checkpoints.restore({"x": jnp.float32(0)}, 15).items["x"] == 15
        with pytest.raises(ValueError, match=r"Step 5 has no complete .* \[15, 20\]"):
            checkpoints.restore({}, 5)
        # Killed while an old one was being removed: what is left of it does not count.
        (tmp_path / "15" / "_CHECKPOINT_METADATA").unlink()
        assert checkpoints.steps() == [20]
        with pytest.raises(ValueError, match="step 17 while step 20"):
            checkpoints.save(17, {"x": jnp.float32(0)}, {})


@pytest.mark.parametrize("part", ["a/d", "a/manifest.ocdbt", "a", "meta/metadata"])
def test_a_damaged_checkpoint_is_named(tmp_path, part):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, {"a": {"x": jnp.arange(4.0)}}, {})
        checkpoints.wait()
        damaged = tmp_path / "2" / part
        for file in [damaged] if damaged.is_file() else damaged.rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:9])
        like = {"a": {"x": jnp.zeros(4)}}
        with pytest.raises(ValueError, match=rf"{tmp_path}/2, which cannot be read: .*one b"):
            checkpoints.restore(like)
        assert checkpoints.restore(like, 1).items["a"]["x"][3] == 3


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (3.0, "float"),
        ("text", "str"),
        (jnp.sin, r"x'\]"),
        (jax.random.key(0), "derive keys"),
        (jnp.zeros((0, 3)), r"shape \(0, 3\)"),
        (np.array([object()]), "object"),
        (jax.ShapeDtypeStruct((2,), jnp.float32), "ShapeDtypeStruct"),
    ],
)
def test_leaves_that_are_no_arrays_are_refused_first(tmp_path, leaf, message):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(ValueError, match=message) as error:
            checkpoints.save(1, {"model": {"fine": jnp.ones(2), "x": leaf}}, {})
        assert "['x']" in str(error.value) and "'model'" in str(error.value)
        # and the step can still be saved
        assert checkpoints.save(1, {"model": {"fine": jnp.ones(2)}}, {})


def test_meta_is_json_and_its_name_taken(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(ValueError, match="plain JSON"):
        checkpoints.save(1, {"x": jnp.ones(2)}, {"step": np.int64(3)})
    with pytest.raises(ValueError, match="'meta'"):
        checkpoints.save(1, {"meta": jnp.ones(2)}, {})
    with pytest.raises(ValueError, match="every=0"):
        Checkpoints(tmp_path, every=0)
    assert checkpoints.steps() == []


def test_what_does_not_fit_is_named(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, state(), {})
        with pytest.raises(
            ValueError,
            match=r"'\.weight' is float32\[3, 4\] on disk and float32\[3, 5\] .*\(2 leaves differ",
        ):
            checkpoints.restore({"model": state(width=5)["model"]})
        half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), state()["model"])
        with pytest.raises(ValueError, match=r"float32\[3, 4\] on disk and bfloat16\[3, 4\]"):
            checkpoints.restore({"model": half})
        more = {"model": {"extra": jnp.ones(3)}}
        with pytest.raises(ValueError, match=r"\['extra'\].* is absent on disk and float32\[3\]"):
            checkpoints.restore(more)
        less = eqx.tree_at(lambda m: m.bias, state()["model"], None)
        with pytest.raises(ValueError, match=r"'\.bias' is float32\[4\] on disk and absent"):
            checkpoints.restore({"model": less})
        with pytest.raises(ValueError, match=r"\['ema', 'model', 'optimizer'\].*'teacher'"):
            checkpoints.restore({"teacher": jnp.ones(3)})


def test_no_checkpoint_and_another_format(tmp_path, monkeypatch):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match="has none"):
            Checkpoints(folder).restore({})
    with monkeypatch.context() as patch, Checkpoints(tmp_path) as checkpoints:
        patch.setattr("equildm.runtime._record.FORMAT", 99)
        checkpoints.save(1, {"x": jnp.ones(2)}, {})
    with pytest.raises(ValueError, match=r"format 1, received .* of format 99"):
        Checkpoints(tmp_path).restore({"x": jnp.ones(2)})


SAVE_FOR_EVER = """
import sys, jax.numpy as jnp
from equildm.runtime import Checkpoints
with Checkpoints(sys.argv[1], keep=None) as checkpoints:
    checkpoints.save(1, {"x": jnp.ones(3)}, {"next": 1})
    checkpoints.wait()
    print("saved", flush=True)
    big = {f"x{i}": jnp.full((512, 1024), float(i)) + jnp.arange(1024) for i in range(200)}
    checkpoints.save(2, big, {"next": 2})
"""


@pytest.mark.parametrize("moment", helpers.others_slow(["early", "late"], "early"))
def test_kill_in_the_middle_of_a_save(tmp_path, moment):
    process = subprocess.Popen(
        [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path)],
        cwd=helpers.ROOT,
        stdout=subprocess.PIPE,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(helpers.ROOT)},
    )
    assert process.stdout is not None and process.stdout.readline() == b"saved\n"

    def started() -> bool:
        pattern = "2.*" if moment == "early" else "2.*/x/ocdbt*/d/*"
        pattern = pattern.replace("/x/", "/*/")
        return any(tmp_path.glob(pattern)) and not (tmp_path / "2").exists()

    deadline = time.monotonic() + 60
    while not started():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    left = {path.name for path in tmp_path.iterdir()}
    assert left > {"1"} and "2" not in left, left  # it was in the middle
    with Checkpoints(tmp_path) as reader:
        restored = reader.restore({"x": jnp.zeros(3)})
        assert (
            restored.step == 1 and restored.meta == {"next": 1} and (restored.items["x"] == 1).all()
        )
    assert {path.name for path in tmp_path.iterdir()} == left  # a reader touches nothing
    with Checkpoints(tmp_path) as writer:
        assert writer.save(2, {"x": jnp.full(3, 2.0)}, {"next": 2})
    with Checkpoints(tmp_path) as reader:
        assert (reader.restore({"x": jnp.zeros(3)}).items["x"] == 2).all()
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


ELASTIC = """
import sys, jax, jax.numpy as jnp, numpy as np
from equildm.runtime import abstract, Checkpoints, make_mesh, partition, shardings
from functools import partial
rule = partial(partition, small=0)
def count(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

x = {"big": count(512, 512), "small": count(8, 8), "vector": count(3)}
full = make_mesh("fsdp=8")
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(1, {"x": jax.device_put(x, shardings(x, full, rule))}, {})
    for devices in (8, 4, 1):
        mesh = make_mesh({"fsdp": devices}, devices=jax.devices()[:devices])
        like = abstract(x, mesh, rule)
        restored = checkpoints.restore({"x": like}).items["x"]
        for name in x:
            assert restored[name].sharding == like[name].sharding, (devices, name)
            np.testing.assert_array_equal(restored[name], x[name])
        for name, rows in (("big", 512), ("small", 8)):
            assert len(restored[name].addressable_shards) == devices
            assert restored[name].addressable_shards[0].data.shape == (rows, rows // devices)
print("restored")
"""


def test_restores_onto_other_meshes(tmp_path):
    assert helpers.run_python(ELASTIC, str(tmp_path)) == "restored\n"


def test_a_relative_folder_is_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpoints("run/checkpoints") as checkpoints:
        checkpoints.save(1, {"model": {"w": jnp.arange(3.0)}}, {})
        checkpoints.wait()
        restored = checkpoints.restore({"model": {"w": jnp.zeros(3)}})
    assert restored.step == 1
    assert (restored.items["model"]["w"] == jnp.arange(3.0)).all()
