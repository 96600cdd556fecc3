"""Files that are not what they should be: each a `ValueError` that names the file, nothing else.

What may go wrong by name; `test_damaged_files.py` has random damage.
"""

import json
import struct
from collections.abc import Callable

import numpy as np
import pytest
from bad_files import MODELS, PIPELINE, put, weights

from equildm.interop import SafetensorsFile, save_safetensors


def refused(load: Callable[[], object], *named: object) -> str:
    with pytest.raises(ValueError) as error:
        load()
    for name in named:
        assert str(name) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("part", MODELS)
def test_tensors_that_do_not_fit_are_named(copy, part):
    file, load = weights(copy, part), PIPELINE[part][2]
    tensors = {name: np.array(tensor) for name, tensor in SafetensorsFile(file).items()}
    name = sorted(tensors)[len(tensors) // 2]
    for wrong in (
        {k: v for k, v in tensors.items() if k != name},
        tensors | {f"{name}.more": tensors[name]},
        tensors | {name: tensors[name][..., :-1]},
        tensors | {name: tensors[name][None]},
        tensors | {name: tensors[name].astype(np.int32)},
        tensors | {name: tensors[name].astype(bool)},
    ):
        save_safetensors(file, wrong)
        refused(lambda: load(copy / part), copy / part, name)
    save_safetensors(file, tensors)
    load(copy / part)


@pytest.mark.parametrize("part", MODELS)
def test_weights_that_are_no_safetensors_are_named(copy, part):
    file, load = weights(copy, part), PIPELINE[part][2]
    content = file.read_bytes()
    length = 8 + struct.unpack_from("<Q", content)[0]
    pickled = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01u."
    bad = [pickled, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"]
    bad += [
        struct.pack("<Q", size) + content[8:] for size in (0, 1, 10**9, 2**40, 2**63, 2**64 - 1)
    ]
    bad += [content[:size] for size in (*range(0, length, length // 40), len(content) - 1)]
    for damaged in bad:
        put(file, damaged)
        refused(lambda: load(copy / part), file, "is not a complete safetensors file")
    file.rename(file.with_suffix(".bin"))
    assert "a pickle" in refused(lambda: load(copy / part), copy / part, f"{file.stem}.bin")


@pytest.mark.parametrize("part", PIPELINE)
def test_configurations_that_are_none_are_named(copy, part):
    name, _, load = PIPELINE[part]
    file = copy / part / name
    text = file.read_text()
    bad = [text[:size] for size in range(0, len(text.rstrip()), len(text) // 40)]
    bad += ["[]", "[1]", "null", "3", '"x"', "{}", "[" * 10**5, '{"a":' * 10**5]
    bad += [json.dumps(json.loads(text) | {"_class_name": "Other", "model_type": "other"})]
    for damaged in [*(b.encode() for b in bad), b"\xff\xfe{", bytes(range(256))]:
        put(file, damaged)
        refused(lambda: load(copy / part), file)
    file.unlink()
    if part != ".":  # A pipeline whose index is missing is still the folders of one.
        refused(lambda: load(copy / part), file)
