"""Options and models of format 1 that lay flat: super-resolution and the VAE."""

import json

import pytest

from equildm.data import DegradedDataConfig, ImageDataConfig
from equildm.denoise import ConcatConfig, UNetConfig
from equildm.latents import VAEConfig
from equildm.pipeline import UpscalerConfig
from equildm.pretrained import RunModelConfig
from equildm.runtime import from_json, Run
from equildm.runtime.format_1 import upgrade_model
from equildm.training import FineTuneConfig, TrainConfig, VAELossConfig

TRAINING = {
    "run": "runs/old",
    "resume": False,
    "steps": 7,
    "batch_size": 16,
    "accumulate": 1,
    "rate": 1e-3,
    "warmup": 0,
    "decay": "cosine",
    "optimizer": None,
    "weight_decay": None,
    "clip": 1.0,
    "mesh": "",
    "cluster": {
        "class": "Cluster",
        "coordinator": None,
        "processes": None,
        "process_id": None,
        "heartbeat": 30,
    },
    "seed": 3,
    "every": {"class": "Intervals", "log": 1, "save": 500, "sample": 400},
    "keep": 3,
    "snapshots": 0,
}
UPSCALER = {
    "start": "runs/emoji",
    "average": None,
    "preset": "tiny",
    "vae": None,
    "lora": None,
    "train": ["conv_in*"],
    "groups": [],
    "ema": "decay-0.999",
    "weight": "min-snr",
    "times": "uniform",
    "compute": "auto",
    "remat": "none",
    "data": "shapes",
    "shrink": 2,
    "size": 64,
    "scale": 4,
    "degradation": "bicubic",
    "augmentation": 0.1,
    "crops": 16,
    "captions": "none",
    "dropout": 0.1,
    "held_out": 0.1,
    "count": 8,
    "sampling_steps": 16,
}
VAE = {
    "data": "shapes",
    "size": 32,
    "cut": None,
    "flip": False,
    "held_out": 0.1,
    "width": 16,
    "multipliers": [1, 2],
    "depth": 1,
    "latent_channels": 8,
    "groups": 8,
    "init": None,
    "train": ["decoder*"],
    "lpips": 0.1,
    "lpips_share": 0.0625,
    "kl": 1e-4,
    "ema": 0.995,
    "adversarial": 0.0,
    "dtype": "float32",
}


def read(tmp_path, recipe, options):
    config = {"class": "Config", **TRAINING, **options}
    document = {"format": 1, "recipe": recipe, "config": config}
    (tmp_path / "config.json").write_text(json.dumps(document))
    return Run.open(tmp_path).read_config()


def test_a_run_of_super_resolution(tmp_path):
    config = read(tmp_path, "super_resolution", UPSCALER)
    data = DegradedDataConfig.of_run(Run.open(tmp_path))
    assert data == DegradedDataConfig(
        "shapes", 2, 64, 4, "bicubic", 16, 0.1, "caption", max_skipped=1.0
    )
    fine_tune = from_json(FineTuneConfig, config["fine_tune"])
    assert fine_tune == FineTuneConfig("runs/emoji", trainable=("conv_in*",))
    train = from_json(TrainConfig, config["train"])
    assert (train.ema, train.steps, train.seed, train.preview_every) == ("decay-0.999", 7, 3, 400)
    assert train.optimizer.learning_rate == 1e-3 and config["caption_dropout"] == 0.1


def test_a_run_of_a_vae(tmp_path):
    config = read(tmp_path, "train_vae", VAE)
    assert from_json(VAEConfig, config["vae"]) == VAEConfig(
        16, (1, 2), depth=1, latent_channels=8, groups=8, scale=1.0
    )
    data = from_json(ImageDataConfig, config["data"])
    before = {"hold_out": "caption", "max_skipped": 1.0}
    assert data == ImageDataConfig("shapes", 32, flip=False, held_out=0.1, **before)
    assert from_json(VAELossConfig, config["loss"]) == VAELossConfig()
    assert from_json(TrainConfig, config["train"]).ema == "decay-0.995"
    assert config["trainable"] == ["decoder*"]


def test_an_average_that_is_no_more_is_an_error(tmp_path):
    config = read(tmp_path, "train_vae", VAE | {"ema": 0.5})
    with pytest.raises(ValueError, match=r"decay-0\.5"):
        from_json(TrainConfig, config["train"])


def test_a_model_of_super_resolution():
    unet = {"class": "UNetConfig", "width": 16, "in_channels": 8, "guidance_width": None}
    document = {
        "class": "Model",
        "unet": unet,
        "size": 32,
        "factor": 4,
        "prediction": "v",
        "schedule": "scaled-linear",
        "caption_length": 16,
        "ema": "decay-0.999",
        "upscaling": {"class": "Upscaling", "scale": 2, "augmentation": 0.2},
    }
    model = from_json(RunModelConfig, upgrade_model(document)).model
    network = UpscalerConfig(ConcatConfig(UNetConfig(16, in_channels=8), 8), 2, 0.2)
    assert model.network == network
    assert (model.sampling_steps, model.guidance_scale, model.solver) == (20, 1.0, "ddim")
