"""From a pretrained model to a ControlNet run: opened, used, saved, resumed; what is refused."""

import numpy as np
import pytest
from helpers import assert_refused, ROOT, run_python
from model_folders import assert_same_arrays, assert_saved_as_it_is
from run_folders import go_on, losses
from small_models import random_images

from equildm.pipeline import ControlToImage
from equildm.pretrained import load_pretrained

RECIPE = ROOT / "recipes" / "controlnet.py"


def test_a_run_is_opened_used_and_saved(run, small_start, tmp_path):
    assert (run / "controlled.png").is_file() and len(losses(run)) == 4
    model, start = load_pretrained(run), load_pretrained(small_start[1])
    # The UNet stayed as it was, bit for bit; the branch moved.
    assert_same_arrays(model.network.network, start.network)
    assert all(np.any(conv.weight) for conv in model.network.control.skip_outputs)
    # Checkpoints hold the branch, and base/ the UNet.
    assert (run / "base").is_dir()

    controls = random_images(2, 16, 16, 3)
    options = {"steps": 2, "guidance_scale": 2.0}
    images = ControlToImage(model)(controls, ["a red square", ""], **options)
    assert images.shape == (2, 16, 16, 3) and np.isfinite(images).all()

    assert_saved_as_it_is(model, tmp_path / "saved")


@pytest.mark.slow  # trains again
def test_it_goes_on_exactly(run, small_start, tmp_path):
    broken = tmp_path / "broken"
    go_on(RECIPE, run, broken, 2, *small_start)
    assert losses(broken) == losses(run)


@pytest.mark.slow  # compiles the step once more, for eight devices
def test_eight_devices_train_the_same(run, small_start, tmp_path):
    eight = tmp_path / "eight"
    options = [*small_start, "--mesh", "data=2,fsdp=2,tensor=2"]
    run_python(RECIPE, "--run", str(eight), *options, devices=8)
    np.testing.assert_allclose(list(losses(eight).values()), list(losses(run).values()), rtol=1e-4)


def test_what_cannot_work_is_refused_and_leaves_no_folder(small_start, tmp_path):
    path = tmp_path / "run"
    cases = [
        (("--held-out", "0"), "held-out image"),
        (("--control", "depth"), "depth"),
        (("--start", str(tmp_path / "nowhere")), "is none of these"),
        (("--trainable", "nothing"), "nothing"),
    ]
    assert_refused(RECIPE, cases, "--run", str(path), *small_start)
    assert not path.exists()
