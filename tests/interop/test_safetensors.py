"""Safetensors files, complete and broken."""

import json
import os
import struct
from collections import ChainMap

import ml_dtypes
import numpy as np
import pytest

from equildm.interop import SafetensorsFile, save_safetensors

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.ones(4, ml_dtypes.bfloat16),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_safetensors(path, TENSORS)
    return path


def test_round_trip(file):
    read = SafetensorsFile(file)
    assert set(read) == set(TENSORS) and len(read) == 3
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)
    with pytest.raises(KeyError):
        read["c"]
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_several_files_are_one_mapping(file, tmp_path):
    save_safetensors(tmp_path / "second.safetensors", {"c": np.zeros(2, np.float32)})
    both = ChainMap(SafetensorsFile(file), SafetensorsFile(tmp_path / "second.safetensors"))
    assert set(both) == {"a", "b", "turned", "c"} and both["c"].shape == (2,)


def test_a_failed_save_leaves_the_old_file(file):
    before = file.read_bytes()
    with pytest.raises(Exception):  # noqa: B017  (the library's, whatever it is)
        save_safetensors(file, {"a": np.array(["no", "tensor"], dtype=object)})
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def _header(length, text=b""):
    return struct.pack("<Q", length) + text


def _pointing_outside():
    entry = {"a": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}
    text = json.dumps(entry).encode()
    return _header(len(text), text) + b"\0" * 16


BROKEN = {
    "empty": b"",
    "three bytes": b"abc",
    "header of 2^63 bytes": _header(2**63),
    "header of 10^12 bytes": _header(10**12) + b"{}",
    "header longer than the file": _header(500) + b"{}",
    "header is not JSON": _header(4, b"abcd"),
    "header is a list": _header(2, b"[]"),
    "tensor outside the file": _pointing_outside(),
    "a pickle": b"\x80\x02}q\x00.",
    "a git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.safetensors is not a complete"):
        SafetensorsFile(path)


def test_every_truncation_is_noticed(file, tmp_path):
    content = file.read_bytes()
    for size in range(0, len(content), 7):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut\.safetensors"):
            SafetensorsFile(cut)


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ValueError, match="no safetensors file at") as error:
            SafetensorsFile(path)
        assert os.fspath(path) in str(error.value)


def test_a_dtype_that_numpy_lacks_is_named(tmp_path):
    text = json.dumps({"a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(_header(len(text), text) + b"\0" * 4)
    file = SafetensorsFile(path)
    with pytest.raises(ValueError, match=r"odd\.safetensors: tensor 'a' is stored as F8_E8M0"):
        file["a"]
