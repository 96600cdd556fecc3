"""Random damage with a fixed seed: what is still read is whole, else a `ValueError` names the file.

Bytes are changed, put in and taken out, and JSON values replaced by others of every kind.
"""

import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import pytest
from bad_files import CLIP, PIPELINE, put, TABLE, UNET, weights

from equildm.interop import (
    autoencoder,
    open_weights,
    read_lora,
    read_weights,
    SafetensorsFile,
    scheduler_file,
    text_encoders,
    unet_config,
    unet_table,
)
from equildm.interop.config import read_config
from equildm.pretrained import load_single_file, pipeline_index
from equildm.text import read_tokenizer

PARSERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unet": unet_config.from_diffusers,
    "vae": autoencoder._from_diffusers,
    "text_encoder": text_encoders._config,
    "scheduler": scheduler_file.parse_scheduler,
    ".": pipeline_index.check_unet_index,
}

KINDS = [None, True, False, 0, -1, 1, 2.5, 1e300, float("nan"), float("inf"), 10**12, 10**400]
KINDS += ["", "8", "x" * 99, [], [[]], [1], [0], [-4, 4], ["a"], [None], [10**9] * 4, [1] * 5000]
KINDS += [{}, {"a": 1}]


@pytest.mark.parametrize("part", PIPELINE)
def test_no_value_of_a_field_does_anything_else(copy, part):
    """Each field takes each kind of value: what is not refused describes a model that is refused
    for its tensors, or builds."""
    name, stem, load = PIPELINE[part]
    file = copy / part / name
    fields = json.loads(file.read_text())
    original, counts = parse(part, file), [0, 0]
    for field in fields:
        for value in KINDS:
            put(file, json.dumps(fields | {field: value}).encode())
            config = outcome(lambda: parse(part, file), file)
            counts[config is None] += 1
            if stem and config not in (None, original):
                outcome(lambda: load(copy / part), copy / part)
    assert min(counts) > 0


def parse(part: str, file: Path) -> Any:
    return read_config(file.parent, part, PARSERS[part], file=file.name) or "nothing"


def outcome(load: Callable[[], Any], *named: object) -> Any:
    """What is loaded, or None where a `ValueError` names the file. Others fail the test."""
    try:
        return load()
    except ValueError as error:
        for name in named:
            assert str(name) in str(error)
        return None


def damaged(content: bytes, trials: int, end: int | None = None) -> Iterator[bytes]:
    """The content with some of its first `end` bytes changed, put in or taken out."""
    dice = random.Random(0)
    for _ in range(trials):
        now = bytearray(content)
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            i = dice.randrange(min(end or len(now), len(now)))
            kind = dice.randrange(4)
            if kind == 0:
                now[i] ^= 1 << dice.randrange(8)
            elif kind == 1:
                now[i] = dice.choice(b'0123456789-.eE"[]{},:\\ \x00\xff')
            elif kind == 2:
                now[i:i] = now[dice.randrange(len(now)) :][: dice.randrange(1, 20)]
            else:
                del now[i : i + dice.randrange(1, 9)]
        yield bytes(now)


def header(content: bytes) -> int:
    return 8 + struct.unpack_from("<Q", content)[0]


def test_damaged_tensors(pipeline, tmp_path):
    """A tower is read with the shapes it should have, or its file is named."""
    content = weights(pipeline, "text_encoder").read_bytes()
    file = tmp_path / "model.safetensors"
    template = eqx.filter_eval_shape(CLIP.build, key=jax.random.key(0))
    shapes = [leaf.shape for leaf in jax.tree.leaves(template)]
    counts = [0, 0]
    for bad in damaged(content, 1500, header(content)):
        put(file, bad)
        read = outcome(
            lambda: read_weights(template, TABLE, open_weights(tmp_path, "model"), source=file),
            file,
        )
        counts[read is None] += 1
        if read is not None:
            assert [leaf.shape for leaf in jax.tree.leaves(read)] == shapes
    assert min(counts) > 0, counts


@pytest.mark.parametrize("part", PIPELINE)
def test_damaged_configurations(pipeline, tmp_path, part):
    file = tmp_path / PIPELINE[part][0]
    counts = [0, 0]
    for bad in damaged((pipeline / part / file.name).read_bytes(), 600):
        put(file, bad)
        counts[outcome(lambda: parse(part, file), file) is None] += 1
    assert min(counts) > 0, counts


def test_damaged_indices(pipeline, tmp_path):
    shutil.copy(weights(pipeline, "vae"), tmp_path / "one.safetensors")
    names = list(SafetensorsFile(tmp_path / "one.safetensors"))[:3]
    index = tmp_path / "model.safetensors.index.json"
    text = json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, "one.safetensors")})
    for bad in [*damaged(text.encode(), 600), b"[" * 10**5]:
        put(index, bad)
        outcome(lambda: open_weights(tmp_path, "model"), tmp_path)


def test_damaged_tokenizers(copy):
    folder = copy / "tokenizer"
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for bad in [*damaged(content, 30), b"[" * 10**5, b"", b"{}"]:
            put(file, bad)
            tokenizer = outcome(lambda: read_tokenizer(folder, "clip"), folder)
            assert tokenizer is None or tokenizer.longest is None or tokenizer.longest > 0
        put(file, content)
    read_tokenizer(folder, "clip")


def test_damaged_single_files(copy):
    file = copy / "model.safetensors"
    content = file.read_bytes()
    for bad in damaged(content, 300, header(content)):
        put(file, bad)
        outcome(lambda: load_single_file(file, copy / "tokenizer"), file)
    put(file, content)
    assert load_single_file(file, copy / "tokenizer").config.network == UNET


def test_damaged_adapters(pipeline, tmp_path):
    file = tmp_path / "lora.safetensors"
    content = (pipeline / "lora.safetensors").read_bytes()
    tables = {"unet": unet_table(UNET), "text_encoder": TABLE}
    counts = [0, 0]
    for bad in damaged(content, 600, header(content)):
        put(file, bad)
        counts[outcome(lambda: read_lora(file, tables), file) is None] += 1
    assert min(counts) > 0, counts
