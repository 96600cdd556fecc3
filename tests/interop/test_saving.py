"""Tensors are written in chunks, by threads. The file is the old one or the complete new one."""

import itertools

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from equildm.interop import LazyTensors, save_safetensors

SHAPES = [(), (7,), (0, 5), (1, 300), (300, 1), (13, 40), (5, 7, 3, 3)]
DTYPES = [np.float32, np.float16, ml_dtypes.bfloat16]


def drawn(shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture(params=[1, 100, 2**22], autouse=True)
def chunk(request, monkeypatch):
    monkeypatch.setattr("equildm.interop.saving.CHUNK", request.param)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_public_library_reads_every_layout(tmp_path, dtype):
    views = {
        f"{len(shape)}.{shape}.{axes}": drawn(shape).transpose(axes)
        for shape in SHAPES
        for axes in itertools.permutations(range(len(shape)))
    }
    specs = {name: jax.ShapeDtypeStruct(view.shape, dtype) for name, view in views.items()}
    told = []
    path = tmp_path / "weights.safetensors"
    save_safetensors(path, LazyTensors(specs, views.__getitem__), advance=told.append)
    read = load_file(path)
    assert read.keys() == views.keys()
    for name, view in views.items():
        assert read[name].dtype == dtype
        np.testing.assert_array_equal(read[name], view.astype(dtype))
    assert sorted(told) == sorted(tensor.nbytes for tensor in read.values())


def test_a_tensor_that_cannot_be_made_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_safetensors(path, {"a": drawn((3, 4))})
    before = path.read_bytes()

    def make(name):
        if name == "003":
            raise MemoryError("no room")
        return drawn((3, 4))

    names = [f"{i:03}" for i in range(500)]
    specs = dict.fromkeys(names, jax.ShapeDtypeStruct((3, 4), np.float32))
    with pytest.raises(MemoryError, match="no room"):
        save_safetensors(path, LazyTensors(specs, make))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """Files of this process may have 20,000 bytes: the system refuses the rest, as a full disk."""
    resource = pytest.importorskip("resource")
    import signal

    path = tmp_path / "weights.safetensors"
    save_safetensors(path, {"a": drawn((3, 4))})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            save_safetensors(path, {str(i): drawn((40, 30)).T for i in range(20)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_float16_cannot_hold_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    large = np.full((3, 4), 7e4, np.float32)
    specs = {"large": jax.ShapeDtypeStruct(large.shape, np.float16)}
    with pytest.raises(ValueError, match="up to 65504, and 'large' has larger ones"):
        save_safetensors(path, LazyTensors(specs, {"large": large}.__getitem__))
    assert not list(tmp_path.iterdir())
    specs = {"large": jax.ShapeDtypeStruct(large.shape, ml_dtypes.bfloat16)}
    save_safetensors(path, LazyTensors(specs, {"large": large}.__getitem__))
