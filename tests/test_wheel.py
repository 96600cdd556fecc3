"""The installed wheel, far from the source: it opens, samples and trains without a recipe."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import page_code, ROOT
from model_folders import clip_model

from equildm.pretrained import save_pretrained

PREAMBLE = """
import sys
from pathlib import Path
import equildm
assert Path(equildm.__file__).is_relative_to(sys.prefix), equildm.__file__
assert not any(Path(p).joinpath("recipes").exists() for p in sys.path), sys.path
"""
SAMPLE = """
import numpy as np
import equildm as eqd
options = {"steps": 2, "guidance_scale": 3}
models = {
    "runs/emoji": eqd.load_pretrained("runs/emoji"),
    "diffusers": eqd.load_pretrained("diffusers"),
    "model.safetensors": eqd.load_pretrained("model.safetensors", tokenizer="diffusers/tokenizer"),
}
images = {name: eqd.TextToImage(model)(["a cat"], **options) for name, model in models.items()}
np.testing.assert_array_equal(images["diffusers"], images["model.safetensors"])
print({name: image.shape for name, image in images.items()})
"""


def run(command, folder, **environment):
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    # Without hatchling, pip fetches it into an environment of its own.
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    run([*pip, "wheel", "--no-deps", *isolation, "-w", str(folder), str(ROOT)], folder)
    run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (wheel,) = folder.glob("equildm-*.whl")
    run([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], folder)
    # A plain path: the .pth files in there, such as that of an editable install, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin" / "python"


@pytest.fixture
def folder(tmp_path):
    """An empty folder but for a run, a folder of diffusers and a single file."""
    shutil.copytree(
        ROOT / "tests" / "pretrained" / "format_1" / "pretrained", tmp_path / "runs/emoji"
    )
    model = clip_model(tmp_path / "vocabulary")
    save_pretrained(tmp_path / "diffusers", model)
    save_pretrained(tmp_path / "model.safetensors", model)
    return tmp_path


@pytest.mark.slow  # builds, and compiles in a process of its own
def test_it_opens_samples_and_trains(python, folder):
    printed = run([python, "-c", PREAMBLE + SAMPLE], folder)
    assert printed.count("(1, 16, 16, 3)") == 3
    run([python, "-c", PREAMBLE + page_code("docs/python.md")], folder)
    assert (folder / "hearts.png").is_file()
    lines = (folder / "runs" / "continued" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 11))
    assert {p.name for p in (folder / "runs/continued/checkpoints").iterdir()} == {"5", "10"}
    assert Path(folder / "exported" / "unet").is_dir()


@pytest.mark.slow  # builds
def test_the_console_command_runs_the_recipes_that_the_wheel_holds(python, tmp_path):
    (tmp_path / "launch.py").write_text("from equildm.commands import main\nmain()\n")
    equildm = [python, tmp_path / "launch.py"]  # what the script that pip makes does
    assert run([*equildm, "--version"], tmp_path).startswith("equildm ")
    listed = run(equildm, tmp_path).splitlines()
    names = {line.split()[0] for line in listed if line.startswith("  ")}
    assert names == {recipe.stem for recipe in (ROOT / "recipes").glob("*.py")}
    shown = run([*equildm, "pretrain", "--help"], tmp_path)
    assert shown.startswith("usage: equildm pretrain [options]") and "equildm pretrain\n" in shown
    assert "train.steps" in run([*equildm, "scaling-study", "--help"], tmp_path)
    assert "39M" in run([*equildm, "table1", "--sizes", "39M"], tmp_path)
    assert run([*equildm, "--version"], tmp_path, PYTHONSAFEPATH="1").startswith("equildm ")


@pytest.mark.slow  # compiles in a process of its own
def test_the_model_that_ships_samples(python, tmp_path):
    (tmp_path / "launch.py").write_text("from equildm.commands import main\nmain()\n")
    options = ["--prompt", "red heart", "--count", "1", "--sampling-steps", "2"]
    run([python, tmp_path / "launch.py", "sample", *options], tmp_path)
    assert list((tmp_path / "samples").glob("*.png"))


@pytest.mark.slow  # asks the package index
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv resolves without downloading wheels")
@pytest.mark.parametrize("extra", ["gpu", "tpu", "remote", "docs", "test"])
def test_the_extras_have_versions_that_go_together(extra, tmp_path):
    platform = ["--python-platform", "x86_64-manylinux_2_31", "--python-version", "3.12"]
    command = ["uv", "pip", "compile", "-q", "--extra", extra, *platform]
    found = run([*command, str(ROOT / "pyproject.toml")], tmp_path)
    assert "\njax==" in found
