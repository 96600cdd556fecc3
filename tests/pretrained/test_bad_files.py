"""Files that are not what they should be: each a `ValueError` that names the file, nothing else.

First what may go wrong by name, then random damage with a fixed seed: bytes changed, put in and
taken out, and JSON values replaced by others of every kind.
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
import jax.numpy as jnp
import numpy as np
import pytest
from text_folders import clip_folder

from equildm.denoise import UNetConfig
from equildm.interop import (
    autoencoder,
    clip_table,
    load_scheduler,
    load_text_encoder,
    load_unet,
    load_vae,
    open_weights,
    read_lora,
    read_weights,
    SafetensorsFile,
    save_lora,
    save_safetensors,
    Scheduler,
    scheduler,
    text_encoders,
    unet_config,
    unet_table,
)
from equildm.interop.config import read_config
from equildm.latents import VAEConfig
from equildm.nn import LoRAWeights
from equildm.pretrained import (
    diffusers_folder,
    load_diffusers,
    load_single_file,
    save_diffusers,
    save_single_file,
    stable_diffusion,
)
from equildm.text import CLIPConfig, CLIPText, read_tokenizer

UNET = UNetConfig(32, context_width=64, multipliers=(1,), depths=(1,), transformer_depths=(1,))
VAE = VAEConfig(32, multipliers=(1, 1), depth=1)
CLIP = CLIPConfig(vocabulary=900, width=64, depth=1, heads=1, hidden=8, longest=9)
PIPELINE = {
    "unet": ("config.json", "diffusion_pytorch_model", load_unet),
    "vae": ("config.json", "diffusion_pytorch_model", load_vae),
    "text_encoder": (
        "config.json",
        "model",
        lambda f: load_text_encoder(f, f.parent / "tokenizer"),
    ),
    "scheduler": ("scheduler_config.json", None, load_scheduler),
    ".": ("model_index.json", None, load_diffusers),
}
MODELS = [part for part, (_, stem, _) in PIPELINE.items() if stem]
PARSERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unet": unet_config.from_diffusers,
    "vae": autoencoder._from_diffusers,
    "text_encoder": text_encoders._config,
    "scheduler": scheduler.parse_scheduler,
    ".": diffusers_folder._check_index,
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline's folder, its single file `model.safetensors` and a LoRA `lora.safetensors`."""
    folder = tmp_path_factory.mktemp("pipeline")
    clip_folder(folder / "vocabulary")
    tokenizer = read_tokenizer(folder / "vocabulary", "clip")
    key = jax.random.key(0)
    text = CLIPText(CLIP.build(key=key), tokenizer, CLIP.longest)
    unet, vae = UNET.build(key=key), VAE.build(key=key)
    model = stable_diffusion(unet, UNET, vae, text, Scheduler())
    save_diffusers(folder, model)
    save_single_file(folder / "model.safetensors", model)
    factors = LoRAWeights(jnp.ones((64, 2)), jnp.ones((2, 64)), 2.0)
    adapters = {"layers.0.attention.to_query": factors}
    save_lora(folder / "lora.safetensors", {"text_encoder": adapters}, {"text_encoder": TABLE})
    return folder


TABLE = clip_table(CLIP.depth)


@pytest.fixture
def copy(pipeline, tmp_path):
    return shutil.copytree(pipeline, tmp_path / "copy")


def refused(load: Callable[[], object], *named: object) -> str:
    with pytest.raises(ValueError) as error:
        load()
    for name in named:
        assert str(name) in str(error.value)
    return str(error.value)


def put(file: Path, content: bytes) -> None:
    """A new file: to write over the old one waits for the disk, and would change what is mapped."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def weights(folder: Path, part: str) -> Path:
    return folder / part / f"{PIPELINE[part][1]}.safetensors"


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
