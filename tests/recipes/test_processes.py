"""The recipes with flow matching, EDM and a process of one's own: trained, sampled, distilled."""

import json

import pytest
from helpers import page_code, ROOT, run_python

from equildm.pretrained import read_run_model
from equildm.runtime import Run

RECIPES = ROOT / "recipes"
PROCESSES = {
    "flow": ("--schedule rectified-flow --prediction flow", "uniform", "shifted-logit-normal"),
    "edm": ("--schedule edm --prediction edm", "edm", "log-normal"),
    "own": ("--schedule {file}:Sigmoid --prediction v", "min-snr", "{file}:LateTimes"),
}
SHORT = ("--warmup", "1", "--log-every", "1", "--preview-every", "100", "--prompts")


@pytest.mark.slow  # nine processes that compile a step
@pytest.mark.parametrize("process", PROCESSES)
def test_what_is_trained_is_sampled_compared_and_distilled(process, options, tmp_path):
    noise, weight, times = PROCESSES[process]
    (tmp_path / "my_noise.py").write_text(page_code("docs/noise.md"))
    chosen = f"{noise} --weight {weight} --times {times}".format(file=tmp_path / "my_noise.py")
    run = tmp_path / "run"
    begin = (*options, *chosen.split(), "--run", str(run))
    run_python(RECIPES / "pretrain.py", *begin, "--steps", "4", devices=1)
    run_python(RECIPES / "pretrain.py", "--run", str(run), "--resume", "--steps", "5", devices=1)
    for solver in ("deis3", "sde-dpm++2m", "flow-heun", "tcd"):
        run_python(
            RECIPES / "sample.py",
            *(str(run), "--prompt", "a red square", "--solver", solver, "--grid", "karras"),
            *("--sampling-steps", "3", "--out", str(tmp_path / f"{solver}.png")),
            devices=1,
        )
    run_python(
        RECIPES / "compare_samplers.py",
        *(str(run), "--solvers", "ddim", "unipc2", "ddpm", "shark", "--evaluations", "2", "4"),
        *("--fine-steps", "8", "--count", "1", "--out", str(tmp_path / "samplers")),
        devices=1,
    )
    errors = json.loads((tmp_path / "samplers" / "errors.json").read_text())["errors"]
    assert all(0 < error < 100 for row in errors.values() for error in row.values())
    for method in ("codi", "lcm", "progressive"):
        student = tmp_path / method
        run_python(
            RECIPES / "distill.py",
            *(str(run), "--run", str(student), "--method", method, *SHORT),
            *("--batch-size", "4", "--steps", "6"),
            devices=1,
        )
        teacher, config = (read_run_model(Run.open(folder)).model for folder in (run, student))
        assert config.scheduler.schedule == teacher.scheduler.schedule
