"""A run begins with all that opens it, or not at all."""

import dataclasses

import jax
import pytest
from small_models import small_model

from equildm.pretrained import begin_run
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
