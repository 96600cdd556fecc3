"""Reading pickled arrays must not run the pickle."""

import contextlib
import os
import pickle

import numpy as np
import pytest

from equildm.interop import read_pickled_arrays

ARRAYS = {
    "net": {
        "kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "half": np.ones(3, np.float16),
        "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.array(2.5),
        "pair": [np.zeros((2, 1)), np.ones(1, np.float32)],
    },
    "bias": np.zeros(0, np.float32),
}


def _write(tmp_path, value, protocol=4):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_back(tmp_path, protocol):
    out = read_pickled_arrays(_write(tmp_path, ARRAYS, protocol))
    net = {k: v for k, v in ARRAYS["net"].items() if k != "pair"}
    net |= {f"pair/{i}": v for i, v in enumerate(ARRAYS["net"]["pair"])}
    expected = {f"net/{k}": v for k, v in net.items()} | {"bias": ARRAYS["bias"]}
    assert out.keys() == expected.keys()
    for name, array in expected.items():
        assert out[name].dtype == array.dtype
        np.testing.assert_array_equal(out[name], array)


class Evil:
    def __reduce__(self):
        return os.mkdir, (self.where,)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_is_run(tmp_path, protocol):
    evil = Evil()
    evil.where = str(tmp_path / "folder")
    with pytest.raises(ValueError, match=r"weights\.ckpt is not .* which no array needs"):
        read_pickled_arrays(_write(tmp_path, {"a": evil}, protocol))
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    "value",
    [
        {"a": np.array([object()])},
        {"a": np.arange(3)},
        {"a": np.arange(3.0).astype(">f4")},
        {"a": "text"},
        {"a": (np.zeros(3),)},
        np.dtype("f4"),
        {"a": np.zeros(2, [("x", "f4")])},
    ],
    ids=["objects", "integers", "big-endian", "text", "tuple", "dtype", "record"],
)
def test_only_float_arrays(tmp_path, value):
    with pytest.raises(ValueError, match=r"weights\.ckpt is not a plain pickle of float arrays"):
        read_pickled_arrays(_write(tmp_path, value))


def test_a_memo_as_large_as_the_memory_is_refused(tmp_path):
    bomb = b"\x80\x04}r\xff\xff\xff\xff."
    with pytest.raises(ValueError, match="uses LONG_BINPUT"):
        read_pickled_arrays(_write(tmp_path, bomb))


def test_a_few_bytes_that_stand_for_a_great_many_arrays_are_refused(tmp_path):
    many = [np.zeros(1)]
    for _ in range(60):
        many = [many, many]
    with pytest.raises(ValueError, match="is in it twice"):
        read_pickled_arrays(_write(tmp_path, many))


def test_every_truncation_is_an_error(tmp_path):
    content = pickle.dumps(ARRAYS, 3)
    for size in range(len(content)):
        with pytest.raises(ValueError, match=r"weights\.ckpt"):
            read_pickled_arrays(_write(tmp_path, content[:size]))


def test_noise_never_escapes_as_another_error(tmp_path):
    content = pickle.dumps(ARRAYS, 3)
    random = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(content)
        for place in random.integers(0, len(content), 4):
            broken[place] = random.integers(256)
        with contextlib.suppress(ValueError):
            read_pickled_arrays(_write(tmp_path, bytes(broken)))
