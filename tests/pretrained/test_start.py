"""Where a fine-tuning starts: runs, folders of diffusers, fresh weights; what is no start."""

import dataclasses
import json

import jax
import pytest
from helpers import trees_equal
from model_folders import untrained_run

from equildm.distill import ConsistencyConfig
from equildm.interop import load_vae, save_vae, Scheduler
from equildm.latents import VAEConfig
from equildm.noise import NoiseConfig
from equildm.pipeline import new_model
from equildm.pretrained import load_pretrained, open_start, RunModelConfig, save_diffusers
from equildm.runtime import make_mesh, Run
from equildm.text import TextConditioned
from equildm.training import FineTuneConfig

MESH = make_mesh()


def start_from(path, run, *, image_size=None, **options):
    config = FineTuneConfig(start=str(path), **options)
    return open_start(config, Run(run, "test"), image_size=image_size, mesh=MESH)


@pytest.fixture(scope="module")
def pretrained(model, tmp_path_factory):
    """An untrained run of text to image."""
    path = tmp_path_factory.mktemp("start") / "run"
    parts = model.config.network, model.vae, model.text_encoder
    model = new_model(*parts, image_size=16, noise=NoiseConfig(), mesh=MESH)
    untrained_run(path, model, model.network, RunModelConfig(model.config, ema="power"))
    return path


def test_a_run_is_a_start(pretrained, tmp_path):
    model = load_pretrained(pretrained)
    start = start_from(pretrained, tmp_path / "new")
    assert trees_equal(start.network, model.network) and trees_equal(start.vae, model.vae)
    assert start.config == model.config
    larger = start_from(pretrained, tmp_path / "new", image_size=32)
    assert (larger.config.image_size, larger.config.latent_shape) == (32, (16, 16, 4))
    trained = start_from(pretrained, tmp_path / "new", start_ema="none")
    assert trees_equal(trained.network, load_pretrained(pretrained, ema="none").network)
    assert not trees_equal(trained.network, start.network)
    assert not (tmp_path / "new").exists()


def test_another_vae_of_the_same_latents(pretrained, tmp_path):
    sizes = load_vae(pretrained / "vae").config
    for seed in (1, 2):
        save_vae(tmp_path / str(seed), sizes.build(key=jax.random.key(seed)))
    other = start_from(pretrained, tmp_path / "new", vae=tmp_path / "1")
    assert trees_equal(other.vae, load_vae(tmp_path / "1"))
    save_vae(tmp_path / "begun" / "vae", load_vae(tmp_path / "2"))
    resumed = start_from(pretrained, tmp_path / "begun", vae=tmp_path / "1")
    assert trees_equal(resumed.vae, load_vae(tmp_path / "2"))  # the run's own
    wrong = VAEConfig(width=4, multipliers=(1, 1, 1), depth=1, groups=2)
    save_vae(tmp_path / "wrong", wrong.build(key=jax.random.key(0)))
    with pytest.raises(ValueError, match="2 pixels a position; the VAE makes 4 and 4"):
        start_from(pretrained, tmp_path / "new", vae=tmp_path / "wrong")


def test_a_folder_of_diffusers_is_sampled_as_other_starts(model, tmp_path):
    model = dataclasses.replace(
        model,
        config=dataclasses.replace(
            model.config,
            scheduler=Scheduler(kind="EulerDiscreteScheduler", spacing="linspace", ends_clean=True),
        ),
    )
    save_diffusers(tmp_path / "start", model)
    start = start_from(tmp_path / "start", tmp_path / "new")
    assert trees_equal(start.network, model.network)
    scheduler = start.config.scheduler
    assert (scheduler.spacing, scheduler.ends_clean) == ("trailing", True)
    assert (start.config.solver, start.config.grid) == ("deis3", "karras")
    assert scheduler.prediction == model.prediction
    with pytest.raises(ValueError, match="neither averages nor checkpoints"):
        start_from(tmp_path / "start", tmp_path / "new", start_ema="none")


def test_fresh_weights(tmp_path):
    start = start_from("none", tmp_path / "new", preset="8")
    assert start.config.network.width == 8 and start.config.image_size == 32
    assert trees_equal(start.vae, load_vae())
    larger = start_from("none", tmp_path / "new", preset="8", image_size=64)
    assert trees_equal(larger.network, start.network) and larger.config.image_size == 64
    seeded = open_start(
        FineTuneConfig(start="none", preset="8"), Run(tmp_path, "test"), seed=1, mesh=MESH
    )
    assert not trees_equal(seeded.network, start.network)
    with pytest.raises(ValueError, match="Fresh weights have no averages, received --start-ema 0"):
        start_from("none", tmp_path / "new", start_ema="0.07")


def test_what_is_no_start_is_refused(model, pretrained, tmp_path):
    with pytest.raises(ValueError, match=r"a folder of diffusers or 'none'; .*nowhere is none"):
        start_from(tmp_path / "nowhere", tmp_path / "new")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match=r"the single file .*: python recipes/convert\.py"):
        start_from(tmp_path / "model.safetensors", tmp_path / "new")
    (tmp_path / "sd3" / "transformer").mkdir(parents=True)
    index = {"_class_name": "StableDiffusion3Pipeline"}
    (tmp_path / "sd3" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"holds one text encoder, received .*sd3 with the three"):
        start_from(tmp_path / "sd3", tmp_path / "new")
    with pytest.raises(ValueError, match=r"multiples of 2, received 17\. Use for instance 16"):
        start_from(pretrained, tmp_path / "new", image_size=17)
    wrap = ConsistencyConfig(model.config.network, "time")
    wrapped = dataclasses.replace(model, config=dataclasses.replace(model.config, network=wrap))
    both = TextConditioned(model.network, model.text_encoder)
    for name, other, network, facts in (
        ("distilled", wrapped, model.network, {}),
        ("staged", model, model.network, {"stages": ((4, 4),)}),
        ("text", model, both, {"trains_text_encoder": True}),
    ):
        untrained_run(tmp_path / name, other, network, RunModelConfig(other.config, **facts))
        with pytest.raises(ValueError, match=f"{name}, which was distilled or fine-tuned itself"):
            start_from(tmp_path / name, tmp_path / "new")
