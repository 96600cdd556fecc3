"""A model that enlarges images: resumed, on eight devices, in part, compared; what is refused."""

import json

import numpy as np
import pytest
from helpers import assert_refused, refusals, ROOT, run_python
from PIL import Image
from run_folders import forget, losses

from equildm.data import DegradedDataConfig
from equildm.pipeline import UpscalerConfig
from equildm.pretrained import load_pretrained, read_run_model
from equildm.runtime import Run
from equildm.training import MatchingWeights

RECIPES = ROOT / "recipes"


@pytest.fixture
def small(pictures, start):
    """The least that super_resolution.py needs."""
    return [
        *("--start", str(start), "--data", str(pictures), "--size", "32", "--batch-size", "8"),
        *("--warmup", "1", "--held-out", "0.2", "--count", "3", "--sampling-steps", "2"),
        *("--log-every", "1"),
    ]


def train(run, *options, devices=1):
    recipe = RECIPES / "super_resolution.py"
    return run_python(recipe, "--run", str(run), *options, devices=devices, timeout=1500)


@pytest.mark.slow  # four processes that compile a step
def test_trained_resumed_on_eight_devices_and_used(small, start, tmp_path):
    one, eight, broken = (tmp_path / name for name in ("one", "eight", "broken"))
    short = [*small, "--steps", "4", "--save-every", "2"]
    printed = train(one, *short)
    assert f"from {start}" in printed and "bicubic" in printed
    scores = json.loads((one / "quality.json").read_text())["scores"]
    assert set(scores) == {"bicubic", "model", "vae"} and scores["vae"]["psnr"] > 0
    train(eight, *short, "--mesh", "fsdp=8", devices=8)
    np.testing.assert_allclose(list(losses(eight).values()), list(losses(one).values()), rtol=1e-4)
    forget(one, broken, 2)
    train(broken, *short, "--resume")
    assert losses(broken) == losses(one)

    assert DegradedDataConfig.of_run(Run.open(one)).held_out == 0.2
    network = load_pretrained(one).config.network
    assert isinstance(network, UpscalerConfig) and (network.scale, network.augmentation) == (4, 0.1)
    image = np.random.default_rng(0).integers(0, 256, (5, 11, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    printed = run_python(
        RECIPES / "upscale.py",
        *(str(one), str(tmp_path / "image.png"), "--sampling-steps", "2", "--noise-level", "20"),
        *("--color-fix", "1", "--out", str(tmp_path / "large")),
        devices=1,
        timeout=900,
    )
    assert "11x5 to" in printed and "by step 4 of" in printed
    with Image.open(tmp_path / "large" / "image_x4.png") as large:
        assert large.size == (44, 20)
    for recipe, options in (("sample", ("--prompt", "x")), ("upscale", ("x.png",))):
        command = (str(one if recipe == "sample" else start), *options)
        (message,) = refusals(RECIPES / f"{recipe}.py", command)
        assert "Upscaler" in message


@pytest.mark.slow  # compiles two steps
def test_a_part_is_trained_and_runs_are_compared(small, tmp_path):
    part, full = tmp_path / "part", tmp_path / "full"
    short = [*small, "--steps", "2", "--augmentation", "0"]
    patterns = ("network.conv_in*", "projection*")
    train(part, *short, "--trainable", *patterns, "--groups", "projection*=10")
    train(full, *short, "--captions", "own")
    sizes = [
        sum(file.stat().st_size for file in (run / "checkpoints").rglob("*") if file.is_file())
        for run in (part, full)
    ]
    assert sizes[0] < sizes[1] / 2 and (part / "base").is_dir()
    assert read_run_model(Run.open(part)).trained == MatchingWeights(patterns)
    run_python(
        RECIPES / "evaluate_upscaler.py",
        *(str(full), str(part), "--count", "4", "--sampling-steps", "2", "--sets", "fid"),
        *("--color-fix", "1", "--out", str(tmp_path / "compared")),
        devices=1,
        timeout=900,
    )
    table = json.loads((tmp_path / "compared" / "scores.json").read_text())["scores"]
    assert set(table) == {"bicubic", str(full), str(part), "colours alone", "vae"}
    low, high = table["vae"]["lpips over bicubic interval"]
    assert low <= table["vae"]["lpips over bicubic"] <= high
    assert table[str(part)]["VGG16-FID"] > 0
    with Image.open(tmp_path / "compared" / "images.png") as image:
        assert image.size[0] > 7 * 32


def test_what_cannot_work_is_refused_and_leaves_no_folder(small, tmp_path):
    (tmp_path / "empty").mkdir()
    cases = [
        (("--scale", "3"), "divides 32; got 3"),
        (("--start", "nowhere"), "a folder of diffusers or 'none'"),
        (("--lora", "2", "--trainable", "conv_in*"), "adapters or a part"),
        (("--trainable", "nothing*"), "received 'nothing*'"),
        (("--lora", "2"), "leave network.conv_in.weight, projection.weight as zero"),
        (("--lora", "2", "--augmentation", "0"), "leave network.conv_in.weight as zero"),
        (("--groups", "conv_in"), "PATTERN=FACTOR"),
        (("--augmentation", "1"), "[0, 1), received 1"),
        (("--data", str(tmp_path / "empty")), "must hold images"),
        (("--size", "31", "--scale", "31"), "multiples of 2, received 31"),
        (("--size", "64"), "at least 64x64 pixels"),
    ]
    run = ("--run", str(tmp_path / "run"))
    assert_refused(RECIPES / "super_resolution.py", cases, *small, *run)
    assert not (tmp_path / "run").exists()


def test_upscale_needs_an_image_and_evaluate_a_model():
    for recipe in ("upscale", "evaluate_upscaler"):
        command = ("runs/none",) if recipe == "upscale" else ()
        (message,) = refusals(RECIPES / f"{recipe}.py", command)
        assert "at least one" in message or "required" in message.lower()
