"""The recipe on eight devices, in every way to split it, learns what it learns on one.

With `mini`: the sharding rule splits most of what it weighs (tests/training/test_sharded_state.py).
"""

import numpy as np
import pytest
from helpers import free_port, ROOT, run_python, run_together
from PIL import Image
from run_folders import losses

RECIPE = ROOT / "recipes" / "pretrain.py"


def curve(run):
    return list(losses(run).values())


@pytest.mark.slow  # compiles the step for eight devices, four times
@pytest.mark.parametrize("mesh", ["data=8", "fsdp=8", "data=2,fsdp=4", "fsdp=4,tensor=2"])
def test_twenty_steps_agree_with_one_device(options, mesh, one_device, tmp_path):
    run = tmp_path / "run"
    run_python(
        RECIPE,
        *(*options, "--run", str(run), "--steps", "20", "--batch-size", "8"),
        *("--preset", "mini", "--mesh", mesh),
        timeout=3000,
    )
    np.testing.assert_allclose(curve(run), one_device, rtol=1e-5)


@pytest.fixture(scope="module")
def one_device(pictures, vae, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_device")
    run_python(
        RECIPE,
        *("--data", str(pictures), "--vae", str(vae), "--cache", str(folder / "cache")),
        *("--size", "32", "--batch-size", "8", "--warmup", "4", "--held-out", "0"),
        *("--log-every", "1", "--prompts", "--run", str(folder / "run")),
        *("--steps", "20", "--preset", "mini"),
        devices=1,
        timeout=3000,
    )
    return curve(folder / "run")


@pytest.mark.slow
def test_two_processes_build_the_cache_and_make_the_previews_of_one(options, tmp_path):
    """The recipe, unchanged; both begin with no cache and no run folder."""
    options = [*options, "a red square", "--steps", "3", "--warmup", "1", "--preset", "16"]
    alone, both = tmp_path / "alone", tmp_path / "both"
    cache = ("--cache", str(tmp_path / "cache of one"))
    run_python(RECIPE, *options, *cache, "--run", str(alone), devices=1, timeout=3000)
    command = [str(RECIPE), *options, "--run", str(both), "--mesh", "fsdp=2"]
    command += ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process-id"]
    outputs = run_together([[*command, str(number)] for number in range(2)], timeout=3000)
    printed = [out + err for out, err in outputs]
    np.testing.assert_allclose(curve(both), curve(alone), rtol=1e-5)
    assert "To sample:" in printed[0] and "To sample:" not in printed[1]
    made, expected = ({p.name for p in (tmp_path / n).iterdir()} for n in ("cache", "cache of one"))
    assert made == expected
    previews = []
    for run in (alone, both):
        with Image.open(run / "samples" / "step_00000003.png") as image:
            previews.append(np.asarray(image, np.int16))
    assert np.abs(previews[0] - previews[1]).max() <= 2
