"""A run trained from Python opens with the averages that it has, whichever they are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from fixed_examples import Examples
from helpers import trees_equal
from small_models import small_model

from equildm.data import LatentBatch
from equildm.noise import LossConfig
from equildm.pretrained import begin_run, load_pretrained
from equildm.runtime import copied, make_mesh, Run
from equildm.training import DecayEMA, PowerEMA, train, TrainConfig

CONFIG = TrainConfig(steps=2, batch_size=2, save_every=2, snapshots=1)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "ema", "name", "other"),
    [
        (dataclasses.replace(CONFIG, ema="decay-0.95"), None, "decay_0.95", "power_0.05"),
        (CONFIG, DecayEMA(0.5), "decay_0.5", "0.1"),
        (CONFIG, PowerEMA((0.2, 0.01)), "power_0.2", "power_0.05"),
        (CONFIG, PowerEMA((0.2, 0.01)), "0.1", "decay_0.9999"),
    ],
)
def test_averages_are_those_of_the_training(config, ema, name, other, model, tmp_path):
    run = Run.create(tmp_path / "run", config, "test")
    begin_run(run, model)
    null = model.null_text()
    text = jax.tree.map(lambda x: jnp.stack([x, x]), null)
    latents = np.random.default_rng(0).normal(size=(2, *model.config.latent_shape))
    batch = LatentBatch(latents.astype(np.float32), text)
    state = train(
        copied(model.network),
        config.denoising(LossConfig(), model.schedule, model.prediction, null, dropout=0.0),
        Examples(jax.tree.map(np.asarray, batch)),
        optax.sgd(0.1),
        config,
        run=run,
        mesh=make_mesh(),
        ema=ema,
    )
    loaded = load_pretrained(run.path, ema=name)
    assert trees_equal(load_pretrained(run.path).network, state.average())
    if not name[0].isdigit():
        assert trees_equal(loaded.network, state.average())
    with pytest.raises(ValueError, match="This run keeps the averages"):
        load_pretrained(run.path, ema=other)
