"""Run folders of every kind: plain, adapters, a part, with the text encoder, in stages."""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run_python, trees_equal
from model_folders import clip_model, untrained_run

from equildm.denoise import UNetConfig
from equildm.interop import load_minilm
from equildm.nn import merge_lora
from equildm.pipeline import TextToImage
from equildm.pretrained import load_pretrained, run_step, RunModelConfig
from equildm.text import TextConditioned
from equildm.training import EMAS, LoRAConfig, MatchingWeights, posthoc_average, Snapshot


@pytest.fixture(scope="module")
def plain(model, tmp_path_factory):
    """A run with two checkpoints and two snapshots, and its states."""
    path = tmp_path_factory.mktemp("runs") / "plain"
    config = RunModelConfig(dataclasses.replace(model.config, sampling_steps=7, solver="heun"))
    steps = {"steps": (4, 8), "snapshots": (2, 8)}
    return path, untrained_run(path, model, model.network, config, **steps)


def test_every_part_comes_back(plain, model):
    path, states = plain
    loaded = load_pretrained(path)
    assert trees_equal(loaded.network, states[8].average())
    assert trees_equal(loaded.vae, model.vae)
    assert loaded.text_encoder.fingerprint == model.text_encoder.fingerprint
    assert loaded.config == dataclasses.replace(model.config, sampling_steps=7, solver="heun")
    # By the program of pipeline/test_text_to_image.py.
    images = TextToImage(loaded)(["a cat"] * 3, steps=1, guidance_scale=3, solver="ddim")
    assert images.shape == (3, 16, 16, 3) and np.isfinite(images).all()


def test_weights_of_every_average_and_step(plain):
    path, states = plain
    assert trees_equal(load_pretrained(path, ema="none").network, states[8].model)
    assert trees_equal(load_pretrained(path, ema="none", step=4).network, states[4].model)
    names = EMAS["power"].names()
    for index, name in enumerate(names):
        assert trees_equal(load_pretrained(path, ema=name).network, states[8].average(index))
    # Step 2 has no checkpoint: it is a snapshot, which holds the averages.
    assert trees_equal(load_pretrained(path, step=2, ema=names[1]).network, states[2].average(1))


def test_an_average_of_another_width(plain):
    path, states = plain
    loaded = load_pretrained(path, ema="0.07")

    def average(step, index):
        return eqx.filter(states[step].average(index), eqx.is_array)

    snapshots = [
        Snapshot(step, width, partial(average, step, index))
        for step in (2, 8)
        for index, width in enumerate(EMAS["power"].sigma_rels)
    ]
    expected = posthoc_average(snapshots, 8, 0.07)
    leaves = jax.tree.leaves(eqx.filter(loaded.network, eqx.is_array)), jax.tree.leaves(expected)
    for ours, theirs in zip(*leaves, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert run_step(path, ema="0.07") == 8


def test_checkpoints_of_earlier_versions_name_no_averages(model, tmp_path):
    config = RunModelConfig(model.config, ema="decay-0.995")
    states = untrained_run(tmp_path, model, model.network, config, named=False)
    assert trees_equal(load_pretrained(tmp_path, ema="decay_0.995").network, states[4].average())
    assert "keeps the averages decay_0.995; received" in load_error(tmp_path, ema="power_0.05")


def test_the_step_is_known(plain, tmp_path):
    path, _ = plain
    assert run_step(path) == 8 and run_step(path, step=4) == 4 and run_step(tmp_path) is None


def load_error(path, **options):
    with pytest.raises(ValueError) as error:
        load_pretrained(path, **options)
    return str(error.value)


def test_what_a_run_lacks_is_named(plain):
    path, _ = plain
    assert "Use one of these, or 'none'" in load_error(path, ema="longer")
    with pytest.raises(ValueError, match="Use one of these, or 'none'"):
        run_step(path, ema="longer")
    assert "received step=0" in load_error(path, ema="0.07", step=0)
    assert "Step 5 has no complete checkpoint" in load_error(path, step=5)
    assert "leave them out" in load_error(path, tokenizer=path)


def test_adapters(model, tmp_path):
    config = RunModelConfig(model.config, ema="decay", trained=LoRAConfig(2))
    adapters, frozen = config.trained.split(model.network, key=jax.random.key(5))
    state = untrained_run(tmp_path / "run", model, adapters, config, frozen=frozen)[4]
    loaded = load_pretrained(tmp_path / "run")
    assert trees_equal(loaded.network, merge_lora(model.network, state.average()))
    assert not trees_equal(loaded.network, model.network)


def test_a_part_of_the_weights(model, tmp_path):
    config = RunModelConfig(
        model.config, ema="decay", trained=MatchingWeights(("*cross_attention*",))
    )
    trained, frozen = config.trained.split(model.network, key=jax.random.key(5))
    state = untrained_run(tmp_path / "run", model, trained, config, frozen=frozen)[4]
    loaded = load_pretrained(tmp_path / "run")
    assert trees_equal(loaded.network, eqx.combine(state.average(), frozen))
    assert trees_equal(loaded.network.conv_in, model.network.conv_in)
    assert not trees_equal(loaded.network, model.network)


def test_with_its_text_encoder(model, tmp_path):
    both = TextConditioned(model.network, model.text_encoder)
    config = RunModelConfig(model.config, ema="decay", trains_text_encoder=True)
    average = untrained_run(tmp_path / "run", model, both, config)[4].average()
    loaded = load_pretrained(tmp_path / "run")
    assert trees_equal(loaded.network, average.network)
    assert loaded.text_encoder.fingerprint == average.text.fingerprint
    assert loaded.text_encoder.fingerprint != model.text_encoder.fingerprint


def test_students_of_several_stages(model, tmp_path):
    config = RunModelConfig(
        dataclasses.replace(model.config, sampling_steps=2), ema="decay", stages=((4, 3), (2, 6))
    )
    states = untrained_run(tmp_path / "run", model, model.network, config, steps=(3, 6))
    for sampling_steps, step in ((None, 6), (1, 6), (2, 6), (4, 3), (9, 3)):
        loaded = load_pretrained(tmp_path / "run", sampling_steps=sampling_steps)
        assert trees_equal(loaded.network, states[step].average())
        assert run_step(tmp_path / "run", sampling_steps=sampling_steps) == step


def test_the_packaged_text_encoder_is_not_copied(model, tmp_path):
    small = dataclasses.replace(model, text_encoder=load_minilm())
    config = RunModelConfig(dataclasses.replace(model.config, max_tokens=16), ema="decay")
    untrained_run(tmp_path / "run", small, model.network, config)
    assert not (tmp_path / "run" / "text_encoder").exists()
    loaded = load_pretrained(tmp_path / "run")
    assert loaded.text_encoder.fingerprint == small.text_encoder.fingerprint


@pytest.mark.slow
def test_half_precision(plain):
    path, _ = plain
    half, stored = load_pretrained(path, dtype="bfloat16"), load_pretrained(path, dtype="stored")
    parts = half.network, half.vae, half.text_encoder
    leaves = jax.tree.leaves(eqx.filter(parts, eqx.is_inexact_array))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("bfloat16")}
    images, rough = (
        TextToImage(model)(["a cat"], steps=2, guidance_scale=1) for model in (stored, half)
    )
    assert 0 < np.abs(images - rough).max() < 0.2 and np.std(images) > 0.05


ON_A_MESH = """
import sys
import equinox as eqx
import jax
from jax.sharding import PartitionSpec
from equildm.pipeline import TextToImage
from equildm.pretrained import load_pretrained
from equildm.runtime import gather, make_mesh, partition

mesh = make_mesh("fsdp=4,tensor=2")
for path in sys.argv[1:]:
    plain, model = load_pretrained(path), load_pretrained(path, mesh=mesh)
    split = 0
    for name, leaf in jax.tree_util.tree_leaves_with_path(model.network):
        assert leaf.sharding.spec == partition(jax.tree_util.keystr(name), leaf.shape, mesh.shape)
        split += leaf.sharding.spec != PartitionSpec()
    print(split, "of", len(jax.tree.leaves(model.network)))
    assert eqx.tree_equal(gather(model.network), jax.device_get(plain.network))
images = [TextToImage(m)(["a cat"], steps=2, guidance_scale=1) for m in (plain, model)]
assert abs(images[0] - images[1]).max() < 1e-4
print("equal")
"""


@pytest.mark.slow
def test_on_a_mesh(tmp_path):
    """Every kind of run goes to the same shards, and samples there."""
    wide = UNetConfig(
        64, context_width=64, multipliers=(1, 2), depths=(1, 1), transformer_depths=(1, 1)
    )
    model = clip_model(tmp_path / "tokenizer", wide)
    paths = []
    for name, part in (
        ("all", RunModelConfig(model.config, ema="decay").trained),
        ("lora", LoRAConfig(2)),
        ("part", MatchingWeights(("*attention*",))),
    ):
        trained, frozen = part.split(model.network, key=jax.random.key(5))
        config = RunModelConfig(model.config, ema="decay", trained=part)
        untrained_run(tmp_path / name, model, trained, config, frozen=frozen)
        paths.append(str(tmp_path / name))
    printed = run_python(ON_A_MESH, *paths).splitlines()
    assert printed[-1] == "equal" and all(int(line.split()[0]) > 10 for line in printed[:-1])
