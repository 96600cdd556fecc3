"""Saved in every layout and loaded again: the same arrays, the same config, the same images."""

import dataclasses
import json

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import trees_equal
from model_folders import UNET
from text_folders import clip_folder

from equildm.denoise import ConcatConfig, GuidanceEmbeddingConfig
from equildm.distill import ConsistencyConfig
from equildm.interop import SafetensorsFile, save_safetensors, Scheduler
from equildm.noise import ScaledLinear, Velocity, ZeroTerminalSNR
from equildm.pipeline import TextToImage, UpscalerConfig
from equildm.pretrained import (
    default_layout,
    load_pretrained,
    part_tables,
    save_pretrained,
    summarise_parts,
)
from equildm.text import CLIPText, read_tokenizer

OWN_SCHEDULER = Scheduler(
    ZeroTerminalSNR(ScaledLinear()), Velocity(), spacing="trailing", ends_clean=True
)
LAYOUTS = {"diffusers": "model", "single-file": "model.safetensors", "equildm": "model"}


@pytest.fixture(scope="module")
def trained(model):
    """A model as recipes train one: short captions, and its own defaults of sampling."""
    text = CLIPText(model.text_encoder.tower, model.text_encoder.tokenizer, 16)
    config = dataclasses.replace(
        model.config,
        scheduler=OWN_SCHEDULER,
        max_tokens=16,
        solver="dpm++2m",
        sampling_steps=2,
        guidance_scale=1.0,
    )
    return dataclasses.replace(model, text_encoder=text, config=config)


def saved(model, folder, layout):
    """The path, and what loads from there."""
    path = folder / LAYOUTS[layout]
    save_pretrained(path, model, layout=layout)
    options = {"tokenizer": folder / "tokenizer"} if layout == "single-file" else {}
    if options:
        options["tokenizer"].mkdir(exist_ok=True)
        for name, content in model.text_encoder.tokenizer.files.items():
            (options["tokenizer"] / name).write_bytes(content)
    return path, load_pretrained(path, **options)


def same(ours, theirs):
    assert ours.config == theirs.config
    assert trees_equal(ours.network, theirs.network)
    assert trees_equal(ours.vae, theirs.vae)
    texts = ours.text_encoder, theirs.text_encoder
    assert all(map(np.array_equal, *(jax.tree.leaves(text) for text in texts)))
    settings = [(text.max_tokens, text.skip, text.padding) for text in texts]
    assert settings[0] == settings[1]
    np.testing.assert_array_equal(*(text.tokenize(["a cat"]).ids for text in texts))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_everything_comes_back(trained, tmp_path, layout):
    path, loaded = saved(trained, tmp_path, layout)
    same(loaded, trained)
    images = [TextToImage(model)(["a cat"]) for model in (trained, loaded)]
    np.testing.assert_array_equal(*images)
    default = default_layout(path, trained)
    assert default == ("diffusers" if layout == "equildm" else layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_hidden_padding_comes_back(trained, tmp_path, layout):
    text = trained.text_encoder
    hiding = CLIPText(text.tower, text.tokenizer, 16, padding=False)
    model = dataclasses.replace(trained, text_encoder=hiding)
    path, loaded = saved(model, tmp_path, layout)
    same(loaded, model)
    # diffusers' pipeline would show the padding.
    assert not (path / "model_index.json").exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_consistency_function_with_embedded_guidance_comes_back(trained, tmp_path, layout):
    guided = GuidanceEmbeddingConfig(UNET, 16)
    config = dataclasses.replace(
        trained.config, network=ConsistencyConfig(guided, "time"), solver="consistency"
    )
    network = guided.build(key=jax.random.key(0))
    model = dataclasses.replace(trained, network=network, config=config)
    assert default_layout(tmp_path / "model", model) == "diffusers"
    same(saved(model, tmp_path, layout)[1], model)


@pytest.mark.parametrize("layout", ["diffusers", "equildm"])
def test_captions_longer_than_the_tokenizers_limit_come_back(trained, tmp_path, layout):
    """With the rest of the config: public files that disagree with it would win."""
    clip_folder(tmp_path / "short", config={"model_max_length": 9})
    tokenizer = read_tokenizer(tmp_path / "short", "clip")
    longer = CLIPText(trained.text_encoder.tower, tokenizer, 16)
    model = dataclasses.replace(trained, text_encoder=longer)
    same(saved(model, tmp_path, layout)[1], model)


def test_only_our_own_folder_holds_an_upscaler(trained, tmp_path):
    config = UpscalerConfig(ConcatConfig(UNET, 4), scale=2)
    model = dataclasses.replace(
        trained,
        network=config.build(key=jax.random.key(0)),
        config=dataclasses.replace(trained.config, network=config),
    )
    assert default_layout(tmp_path / "model", model) == "equildm"
    for layout, name in LAYOUTS.items():
        if layout != "equildm":
            with pytest.raises(ValueError, match=r"saved in this library's own layout only"):
                save_pretrained(tmp_path / name, model, layout=layout)
            with pytest.raises(ValueError, match=r"saved in this library's own layout only"):
                part_tables(model, layout)
    assert list(tmp_path.iterdir()) == []  # nothing is left of what was refused
    same(saved(model, tmp_path, "equildm")[1], model)
    with pytest.raises(ValueError, match="TextToImage samples models of captions"):
        TextToImage(load_pretrained(tmp_path / "model"))(["a cat"])


def test_a_scheduler_that_diffusers_lacks_needs_our_own_folder(trained, tmp_path):
    scheduler = dataclasses.replace(OWN_SCHEDULER, spacing="lcm")
    config = dataclasses.replace(trained.config, scheduler=scheduler)
    model = dataclasses.replace(trained, config=config)
    assert default_layout(tmp_path / "model", model) == "equildm"


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_of_diffusers_is_saved_again_with_equal_bytes(model, tmp_path):
    first, loaded = saved(model, tmp_path, "diffusers")
    save_pretrained(tmp_path / "second", loaded)
    assert files(first) == files(tmp_path / "second")
    assert json.loads((first / "model_index.json").read_text())["_class_name"] == (
        "StableDiffusionPipeline"
    )


def test_changed_public_files_win_over_our_config(trained, tmp_path):
    path, _ = saved(trained, tmp_path, "diffusers")
    file = path / "scheduler" / "scheduler_config.json"
    fields = json.loads(file.read_text()) | {"_class_name": "EulerDiscreteScheduler"}
    file.write_text(json.dumps(fields))
    if (path / "model_index.json").exists():  # not where the text encoder hides the padding
        index = json.loads((path / "model_index.json").read_text())
        index["scheduler"] = ["diffusers", "EulerDiscreteScheduler"]
        (path / "model_index.json").write_text(json.dumps(index))
    config = load_pretrained(path).config
    assert config.solver == config.scheduler.sampler == "euler"
    assert (config.sampling_steps, config.guidance_scale) == (50, 7.5)
    (path / "model.json").write_text('{"class": "OfAnotherProgram"}')
    assert load_pretrained(path).config == config
    (path / "model.json").write_text('{"class": "ModelConfig"}')
    with pytest.raises(ValueError, match=r"model\.json must describe a model .*missing 'network'"):
        load_pretrained(path)


def test_a_broken_record_in_a_single_file_is_named(trained, tmp_path):
    path, _ = saved(trained, tmp_path, "single-file")
    tensors = dict(SafetensorsFile(path))
    for record in ("{", "[]", '{"class": "SingleFileRecord"}'):
        save_safetensors(path, tensors, metadata={"equildm": record})
        with pytest.raises(ValueError, match=r"model\.safetensors: the configs in its header"):
            load_pretrained(path, tokenizer=tmp_path / "tokenizer")


def test_halves(trained, tmp_path):
    save_pretrained(tmp_path / "half", trained, dtype="float16")
    stored = load_pretrained(tmp_path / "half", dtype="stored")
    leaves = jax.tree.leaves(eqx.filter((stored.network, stored.vae), eqx.is_inexact_array))
    assert {leaf.dtype.name for leaf in leaves} == {"float16"}
    full = load_pretrained(tmp_path / "half")
    for ours, theirs in zip(
        jax.tree.leaves(full.network), jax.tree.leaves(trained.network), strict=True
    ):
        assert ours.dtype.name == "float32"
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mapped_weights_stay_in_the_file(trained, tmp_path, layout):
    """They are the same model; saved again they are the same files, byte for byte."""
    path, _ = saved(trained, tmp_path, layout)
    options = {"tokenizer": tmp_path / "tokenizer"} if layout == "single-file" else {}
    mapped = load_pretrained(path, dtype="mapped", **options)
    arrays = jax.tree.leaves(eqx.filter((mapped.network, mapped.vae), eqx.is_inexact_array))
    assert arrays and all(isinstance(a, np.ndarray) and not a.flags.writeable for a in arrays)
    opened = load_pretrained(path, **options)
    same(jax.device_put(mapped), opened)
    images = [TextToImage(model)(["a cat"], seed=0) for model in (jax.device_put(mapped), opened)]
    np.testing.assert_array_equal(*images)
    again = tmp_path / "again" / path.name
    save_pretrained(again, mapped, layout=layout)
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    for file in files:
        assert (again / file.relative_to(path)).read_bytes() == file.read_bytes(), file


def test_an_interrupted_save_leaves_nothing(trained, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise KeyboardInterrupt

    for layout, name in LAYOUTS.items():
        monkeypatch.setattr("equildm.pretrained.frozen_parts.save_vae", fail)
        monkeypatch.setattr("equildm.pretrained.single_file.save_safetensors", fail)
        with pytest.raises(KeyboardInterrupt):
            save_pretrained(tmp_path / name, trained, layout=layout)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_names_of_all_tensors(trained, tmp_path, layout):
    path, _ = saved(trained, tmp_path, layout)
    weights = [path] if path.is_file() else path.rglob("*.safetensors")
    names = [name for file in weights for name in SafetensorsFile(file)]
    parts = part_tables(trained, layout)
    listed = {
        (part.name if layout == "single-file" else "") + pair.theirs
        for part in parts
        for pair in part.pairs
    }
    assert listed == set(names)
    lines = [line.split() for part in parts for line in part.lines()]
    assert len(lines) == sum(len(part.pairs) for part in parts)
    assert all(len(line) in (3, 4) for line in lines)  # a scalar has no shape
    table = summarise_parts(parts)
    assert table.row_count == 3
    assert list(table.columns[1].cells) == ["WidthScaledUNet", "VAE", "CLIPTextTower"]
