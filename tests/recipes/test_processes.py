"""Every recipe with flow matching, EDM and a process of one's own, on each kind of network."""

import json

import pytest
from helpers import page_code, ROOT, run_python

from equildm.pretrained import read_run_model
from equildm.runtime import Run

RECIPES = ROOT / "recipes"
CASES = {
    "flow": ("dit", "rectified-flow", "flow", "uniform", "shifted-logit-normal"),
    "edm": ("mmdit", "edm", "edm", "edm", "log-normal"),
    "own": ("unet", "{file}:Sigmoid", "v", "min-snr", "{file}:LateTimes"),
}
SHORT = (
    *("--batch-size", "4", "--warmup", "1", "--log-every", "1", "--save-every", "100"),
    *("--preview-every", "100"),
)


def recipe(name, *options):
    return run_python(RECIPES / f"{name}.py", *map(str, options), devices=1, timeout=1800)


@pytest.mark.slow  # a dozen processes, most of which compile
@pytest.mark.parametrize("case", CASES)
def test_what_is_trained_is_sampled_scored_tuned_and_distilled(case, options, pictures, tmp_path):
    file = tmp_path / "my_noise.py"
    file.write_text(page_code("docs/noise.md"))
    backbone, schedule, prediction, weight, times = (word.format(file=file) for word in CASES[case])
    loss = ("--weight", weight, "--times", times)
    noise = ("--schedule", schedule, "--prediction", prediction, *loss)
    run = tmp_path / "run"
    recipe("pretrain", *options, "--backbone", backbone, *noise, "--run", run, "--steps", 4)
    recipe("pretrain", "--run", run, "--resume", "--steps", 5)
    teacher = read_run_model(Run.open(run)).model.scheduler

    for solver in ("sde-dpm++2m", "flow-heun", "tcd"):
        sampling = ("--solver", solver, "--grid", "karras", "--sampling-steps", 3)
        out = tmp_path / f"{solver}.png"
        recipe("sample", run, "--prompt", "a red square", *sampling, "--out", out)
    recipe(
        *("compare_samplers", run, "--solvers", "ddim", "unipc2", "ddpm", "shark"),
        *("--evaluations", 2, 4, "--fine-steps", 8, "--count", 1, "--out", tmp_path / "samplers"),
    )
    errors = json.loads((tmp_path / "samplers" / "errors.json").read_text())["errors"]
    assert all(0 < error < 100 for row in errors.values() for error in row.values())
    printed = recipe(
        *("evaluate", run, "--split", "training", "--count", 8, "--batch-size", 8),
        *("--sampling-steps", 2, "--metrics", "fid"),
    )
    assert "FID" in printed

    tuned, upscaler = tmp_path / "tuned", tmp_path / "upscaler"
    recipe(
        *("dreambooth", "--start", run, "--run", tuned, "--data", pictures, "--prompts"),
        *("--class-prompt", "a {} disc", "--prior-count", 4, *SHORT, "--steps", 2, *loss),
    )
    recipe(
        *("super_resolution", "--start", run, "--run", upscaler, "--data", pictures, "--size", 32),
        *("--held-out", 0.2, "--count", 3, "--sampling-steps", 2, *SHORT, "--steps", 2, *loss),
    )
    scores = json.loads((upscaler / "quality.json").read_text())["scores"]
    assert scores["model"]["psnr"] > 0
    for made in (tuned, upscaler):
        assert read_run_model(Run.open(made)).model.scheduler == teacher

    for method in ("codi", "lcm", "progressive"):
        student = tmp_path / method
        recipe(
            *("distill", run, "--run", student, "--method", method, "--prompts"),
            *(*SHORT, "--steps", 6),
        )
        assert read_run_model(Run.open(student)).model.scheduler.schedule == teacher.schedule
        recipe("sample", student, "--prompt", "a red square", "--out", tmp_path / f"{method}.png")
