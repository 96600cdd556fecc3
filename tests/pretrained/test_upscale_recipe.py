"""`recipes/upscale.py` says which weights of a run it used."""

import dataclasses
import runpy

import jax
import numpy as np
import pytest
from helpers import ROOT
from model_folders import UNET, untrained_run
from PIL import Image

from equildm.denoise import ConcatConfig
from equildm.pipeline import UpscalerConfig
from equildm.pretrained import RunModelConfig


@pytest.mark.slow
def test_the_step_is_that_of_the_chosen_average(model, tmp_path, capsys, monkeypatch):
    """An average of another width is made of snapshots, which end before the checkpoints."""
    network = UpscalerConfig(ConcatConfig(UNET, 4), scale=2)
    config = RunModelConfig(dataclasses.replace(model.config, network=network))
    trained = network.build(key=jax.random.key(0))
    untrained_run(tmp_path / "run", model, trained, config, steps=(4,), snapshots=(2,))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "image.png")
    recipe = runpy.run_path(str(ROOT / "recipes" / "upscale.py"))
    monkeypatch.setattr("equildm.enable_compile_cache", lambda: None)  # the tests have their own
    config = recipe["Config"](
        model=tmp_path / "run",
        images=(tmp_path / "image.png",),
        out=tmp_path / "large",
        sampling_steps=1,
        ema="0.07",
    )
    recipe["main"](config)
    assert "by step 2 of" in capsys.readouterr().out
    assert (tmp_path / "large" / "image_x2.png").is_file()
