"""Weights in one file or in several with an index."""

import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from equildm.interop import LazyTensors, open_weights, save_safetensors, save_weights

TENSORS = {f"layer.{i}": np.full((10, 10), i, np.float32) for i in range(5)}


def lazy(tensors=TENSORS):
    specs = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in tensors.items()}
    return LazyTensors(specs, tensors.__getitem__)


@pytest.mark.parametrize(("max_bytes", "files"), [(10**6, 1), (900, 3), (100, 5)])
def test_round_trip_in_one_file_and_in_several(tmp_path, max_bytes, files):
    sizes = []
    save_weights(tmp_path, "model", lazy(), max_bytes=max_bytes, advance=sizes.append)
    written = sorted(tmp_path.glob("*.safetensors"))
    assert len(written) == files and sum(sizes) == 5 * 400
    # The public reader finds the same in the same files.
    assert sum(len(load_file(file)) for file in written) == 5
    read = open_weights(tmp_path, "model")
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read[name], tensor)


def test_writing_again_leaves_no_doubt_which_is_meant(tmp_path):
    save_weights(tmp_path, "model", lazy(), max_bytes=900)
    save_weights(tmp_path, "model", lazy({"layer.0": np.zeros(3, np.float32)}))
    assert set(open_weights(tmp_path, "model")) == {"layer.0"}
    save_weights(tmp_path, "model", lazy(), max_bytes=900)
    assert set(open_weights(tmp_path, "model")) == set(TENSORS)


def test_half_precision_variant(tmp_path):
    save_safetensors(tmp_path / "model.fp16.safetensors", TENSORS)
    assert set(open_weights(tmp_path, "model")) == set(TENSORS)


@pytest.mark.parametrize(
    "index",
    ["", "{}", "[]", '{"weight_map": {}}', '{"weight_map": {"a": "../model.safetensors"}}'],
)
def test_a_broken_index_is_named(tmp_path, index):
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json must map"):
        open_weights(tmp_path, "model")


def test_an_index_that_promises_too_much(tmp_path):
    save_weights(tmp_path, "model", lazy(), max_bytes=900)
    file = tmp_path / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"]["more"] = index["weight_map"]["layer.0"]
    file.write_text(json.dumps(index))
    with pytest.raises(ValueError, match="'more', which it does not"):
        open_weights(tmp_path, "model")
    index["weight_map"]["more"] = "none.safetensors"
    file.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"no safetensors file at .*none\.safetensors"):
        open_weights(tmp_path, "model")


def test_pickles_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no model\.safetensors in .*folder of one model"):
        open_weights(tmp_path, "model")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin, a pickle.*not opened"):
        open_weights(tmp_path, "model")
