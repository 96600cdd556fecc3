"""From a pretrained run to larger pictures: resumed, on eight devices, in part; what is refused."""

import json

import numpy as np
import pytest
from helpers import ROOT, run_python
from PIL import Image
from run_folders import forget, losses

RECIPES = ROOT / "recipes"


@pytest.fixture
def small(pictures):
    """Of super_resolution.py: the least that it needs."""
    return [
        *("--data", str(pictures), "--size", "32", "--batch-size", "8", "--warmup", "1"),
        *("--held-out", "0.2", "--count", "3", "--sampling-steps", "2", "--every.log", "1"),
    ]


def train(run, *options, devices=1):
    recipe = RECIPES / "super_resolution.py"
    return run_python(recipe, "--run", str(run), *options, devices=devices, timeout=1500)


@pytest.mark.slow  # five processes that compile a step
def test_from_a_run_resumed_on_eight_devices_and_used(options, small, tmp_path):
    start = tmp_path / "start"
    run_python(
        RECIPES / "pretrain.py",
        *options,
        "--run",
        str(start),
        *("--steps", "3", "--decay", "constant"),
        devices=1,
        timeout=1500,
    )
    one, eight, broken = (tmp_path / name for name in ("one", "eight", "broken"))
    short = [*small, "--start", str(start), "--steps", "4", "--every.save", "2"]
    printed = train(one, *short)
    assert "of step 3 of" in printed and "bicubic" in printed
    scores = json.loads((one / "quality.json").read_text())["scores"]
    assert set(scores) == {"bicubic", "model", "vae"} and scores["vae"]["psnr"] > 0
    train(eight, *short, "--mesh", "fsdp=8", devices=8)
    np.testing.assert_allclose(list(losses(eight).values()), list(losses(one).values()), rtol=1e-4)
    forget(one, broken, 2)
    train(broken, *short, "--resume")
    assert losses(broken) == losses(one)

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 11, 3), np.uint8)).save(
        tmp_path / "picture.png"
    )
    upscale = [RECIPES / "upscale.py", str(one), str(tmp_path / "picture.png")]
    printed = run_python(
        *upscale, "--steps", "2", "--out", str(tmp_path / "large"), devices=1, timeout=900
    )
    assert "11x5 to" in printed
    with Image.open(tmp_path / "large" / "picture_x4.png") as large:
        assert large.size == (44, 20)
    with pytest.raises(AssertionError, match="larger and none of captions"):
        run_python(RECIPES / "sample.py", str(one), "--prompt", "x", devices=1, timeout=900)


@pytest.mark.slow  # compiles two steps
def test_a_part_is_trained_from_nothing_and_runs_are_compared(small, tmp_path):
    part, whole = tmp_path / "part", tmp_path / "whole"
    short = [*small, "--steps", "2", "--augmentation", "0"]
    train(part, *short, "--train", "network.conv_in*", "projection*", "--groups", "projection*=10")
    train(whole, *short)
    sizes = [
        sum(file.stat().st_size for file in (run / "checkpoints").rglob("*") if file.is_file())
        for run in (part, whole)
    ]
    assert sizes[0] < sizes[1] / 10 and (part / "base").is_dir()
    run_python(
        RECIPES / "compare_upscalers.py",
        *(str(whole), str(part), "--count", "4", "--steps", "2", "--sets", "fid"),
        *("--out", str(tmp_path / "compared")),
        devices=1,
        timeout=900,
    )
    table = json.loads((tmp_path / "compared" / "scores.json").read_text())["scores"]
    assert set(table) == {"bicubic", str(whole), str(part), "vae"}
    low, high = table["vae"]["lpips over bicubic interval"]
    assert low <= table["vae"]["lpips over bicubic"] <= high
    assert table[str(part)]["VGG16-FID"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scale", "3"), "divides 32; got 3"),
        (("--start", "nowhere"), "a folder of diffusers or 'none'"),
        (("--lora", "2", "--train", "conv_in*"), "adapters or a part"),
        (("--groups", "conv_in"), "PATTERN=FACTOR"),
    ],
)
def test_what_cannot_work_is_refused(small, options, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        train(tmp_path / "run", *small, *options)


def test_an_empty_folder_is_refused(small, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssertionError, match="must hold pictures"):
        train(tmp_path / "run", *small, "--data", str(tmp_path / "empty"))
