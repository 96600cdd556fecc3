"""A Stable Diffusion so small that a test is quick, and run folders without a training."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax
from helpers import trees_equal
from jaxtyping import Array, PyTree
from text_folders import clip_folder

from equildm.denoise import UNetConfig
from equildm.interop import Scheduler
from equildm.interop.config import write_config
from equildm.latents import VAEConfig
from equildm.pipeline import LatentDiffusion
from equildm.pretrained import (
    begin_run,
    load_pretrained,
    ModelLayout,
    RunModelConfig,
    save_pretrained,
    stable_diffusion,
)
from equildm.runtime import Checkpoints, Run, to_json
from equildm.text import CLIPConfig, CLIPText, read_tokenizer
from equildm.training import EMAS, TrainState

UNET = UNetConfig(
    32, context_width=64, multipliers=(1, 1), depths=(1, 1), transformer_depths=(1, 0)
)
ONE_LEVEL = dataclasses.replace(UNET, multipliers=(1,), depths=(1,), transformer_depths=(1,))
"""Compiles in half the time."""
VAE = VAEConfig(width=32, multipliers=(1, 1), depth=1)


def clip_model(folder: Path, unet: UNetConfig = UNET, side: int = 8) -> LatentDiffusion:
    """A Stable Diffusion with fresh weights for images of `2 * side` pixels.

    The tokenizer's files are written to `folder`.
    """
    vocabulary = clip_folder(folder)
    keys = [jax.random.key(i) for i in range(3)]
    sizes = CLIPConfig(vocabulary=vocabulary, width=64, depth=2, heads=1, hidden=256)
    text_encoder = CLIPText(sizes.build(key=keys[2]), read_tokenizer(folder, "clip"))
    vae, network = VAE.build(key=keys[1]), unet.build(key=keys[0])
    return stable_diffusion(network, unet, vae, text_encoder, Scheduler(), side)


def moved(tree: PyTree, factor: float) -> PyTree:
    """The tree with other weights."""

    def move(leaf: Array) -> Array:
        if not eqx.is_inexact_array(leaf):
            return leaf
        # numpy compiles nothing
        return jax.device_put((np.asarray(leaf) * factor + 0.01).astype(leaf.dtype))

    return jax.tree.map(move, tree)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a recipe that trains nothing."""

    seed: int = 0


def untrained_run(
    path: Path,
    model: LatentDiffusion,
    trained: PyTree,
    config: RunModelConfig,
    *,
    frozen: PyTree | None = None,
    steps: tuple[int, ...] = (4,),
    snapshots: tuple[int, ...] = (),
    named: bool = True,
) -> dict[int, TrainState]:
    """A run folder whose checkpoints hold `trained`, changed for each step and average.

    Without `named` they do not name their averages, as in earlier versions: `model.json` does.
    Returns the states by step.
    """
    run = Run.create(path, Options(), "untrained")
    facts = ("trained", "trains_text_encoder", "stages")
    described = dataclasses.replace(model, config=config.model)
    begin_run(run, described, frozen=frozen, **{name: getattr(config, name) for name in facts})
    profile, optimizer, states = EMAS[config.ema or "power"], optax.sgd(0.1), {}
    names = {"averages": list(profile.names())} if named else {}
    if not named:
        write_config(path, to_json(config), file="model.json")
    with (
        Checkpoints(run.checkpoints, keep=None) as checkpoints,
        Checkpoints(run.averages, keep=None) as averages,
    ):
        for step in sorted({*steps, *snapshots}):
            state = TrainState.create(moved(trained, 1 + step / 64), optimizer, profile, step)
            packed = tuple(moved(each, 1 + i / 8) for i, each in enumerate(state.ema, start=1))
            states[step] = dataclasses.replace(state, ema=packed)
            if step in steps:
                checkpoints.save(step, states[step].pieces(), names)
            if step in snapshots:
                averages.save(step, {"ema": states[step].pieces()["ema"]}, names)
    return states


def assert_same_arrays(ours: PyTree, theirs: PyTree) -> None:
    """The arrays of both trees are equal, bit for bit."""
    arrays = [jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (ours, theirs)]
    for a, b in zip(*arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_saved_as_it_is(
    model: LatentDiffusion, folder: Path, layout: ModelLayout | None = None
) -> None:
    """Saved to a folder and loaded from there, the model is the same."""
    save_pretrained(folder, model, layout=layout)
    saved = load_pretrained(folder)
    assert saved.config == model.config, f"saved {model.config}, loaded {saved.config}"
    assert_same_arrays(saved, model)
    assert trees_equal(saved.network, model.network)
    assert trees_equal(saved.text_encoder, model.text_encoder)
    assert saved.text_encoder.fingerprint == model.text_encoder.fingerprint
