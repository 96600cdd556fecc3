"""A run begins with all that opens it, or not at all."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import trees_equal
from small_models import small_model

from equildm.interop import load_vae, save_vae
from equildm.pretrained import begin_run, open_parts
from equildm.runtime import Run
from equildm.text import SmallTextEncoder
from equildm.training import TrainConfig


def test_an_encoder_that_no_folder_holds_is_refused_before_there_is_one(tmp_path):
    encoder = SmallTextEncoder(width=16, depth=1, heads=2, max_tokens=8, key=jax.random.key(0))
    model = dataclasses.replace(small_model(), text_encoder=encoder)
    run = Run.prepare(tmp_path / "run", TrainConfig(), "test")
    with pytest.raises(ValueError, match="received a SmallTextEncoder"):
        begin_run(run, model)
    assert not (tmp_path / "run").exists()


def test_the_parts_of_a_dead_launch_are_not_those_of_the_next(tmp_path):
    """Where the first ended before a checkpoint, `make` clears the folder for the second."""
    first = Run.create(tmp_path / "run", TrainConfig(), "test")
    halved = lambda x: jax.device_put(np.asarray(x) / 2) if eqx.is_inexact_array(x) else x
    half = jax.tree.map(halved, load_vae())
    save_vae(first.path / "vae", half)
    for resume, expected in ((False, load_vae()), (True, half)):
        run = Run.prepare(tmp_path / "run", TrainConfig(), "test", resume=resume)
        vae, _ = open_parts(run)
        assert trees_equal(vae, expected)
