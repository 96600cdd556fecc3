"""Run folders of version 0.1: opened, sampled to the images of that version, their data read."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equildm.data import DataConfig
from equildm.denoise import GuidanceEmbeddingConfig, UNetConfig
from equildm.distill import ConsistencyConfig
from equildm.images import image_grid, to_uint8
from equildm.pipeline import TextToImage
from equildm.pretrained import load_pretrained, run_step, save_pretrained
from equildm.runtime import Run

RUNS = Path(__file__).parent / "format_1"
SIZES = {"in_channels": 2, "out_channels": 2, "context_width": 384, "heads": 2, "groups": 4}
UNET = UNetConfig(8, multipliers=(1,), depths=(1,), transformer_depths=(1,), **SIZES)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("pretrained", 4), ("distilled", None)])
def test_they_sample_the_same_images(name, steps):
    model = load_pretrained(RUNS / name)
    images = to_uint8(TextToImage(model)(["red circle"], steps=steps, seeds=[0]))
    with Image.open(RUNS / name / "sampled.png") as file:
        grid = np.asarray(file)
    cell = slice(6, 6 + 128)  # without the caption, whose font is the installation's
    ours = image_grid(images, ["red circle"], columns=1)
    assert ours.shape == grid.shape
    assert np.abs(ours[cell, cell].astype(int) - grid[cell, cell]).max() <= 1
    assert np.std(grid[cell, cell]) > 5


def test_their_models():
    pretrained = load_pretrained(RUNS / "pretrained", ema="decay_0.9999").config
    assert pretrained.network == UNET and pretrained.max_tokens == 12
    assert (pretrained.image_size, pretrained.latent_shape) == (16, (8, 8, 2))
    assert (pretrained.solver, pretrained.sampling_steps) == ("ddim", 50)
    distilled = load_pretrained(RUNS / "distilled").config
    assert distilled.network == ConsistencyConfig(GuidanceEmbeddingConfig(UNET, 256), "time")
    assert (distilled.solver, distilled.sampling_steps) == ("consistency", 4)
    assert distilled.guidance_scale == 6.0 and run_step(RUNS / "distilled") == 2


@pytest.mark.parametrize("name", ["pretrained", "distilled"])
def test_their_data(name):
    """A distilled run has its teacher's."""
    config = DataConfig.of_run(Run.open(RUNS / name))
    before = {"hold_out": "caption", "max_skipped": 1.0, "captions": "first"}
    options = {"held_out": 0.1, "cache": "runs/cache"}
    assert config == DataConfig("shapes", 16, flip=True, **options, **before)
    training, held_out = config.splits()
    assert len(training) > 8 * len(held_out) > 0


def test_they_can_be_exported(tmp_path):
    model = load_pretrained(RUNS / "distilled")
    save_pretrained(tmp_path / "model", model)
    assert load_pretrained(tmp_path / "model").config == model.config


def test_nothing_is_written_to_them(tmp_path):
    copy = shutil.copytree(RUNS / "pretrained", tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    load_pretrained(copy)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
