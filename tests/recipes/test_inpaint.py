"""From a pretrained model to an inpainting run: opened, used, saved, resumed; what is refused."""

import numpy as np
import pytest
from helpers import assert_refused, ROOT
from model_folders import assert_saved_as_it_is
from run_folders import go_on, losses
from small_models import random_images

from equildm.images import to_unit
from equildm.pipeline import Inpainter
from equildm.pretrained import load_pretrained

RECIPE = ROOT / "recipes" / "inpaint.py"


@pytest.mark.slow  # test_controlnet.py does the same with a run of its own
def test_a_run_is_opened_used_and_saved(run, small_start, tmp_path):
    assert (run / "inpainted.png").is_file() and len(losses(run)) == 4
    model = load_pretrained(run)
    start = load_pretrained(small_start[1]).network
    assert model.network.network.conv_in.weight.shape[2] == 2 + 1 + 2
    assert not np.array_equal(model.network.network.conv_out.weight, start.conv_out.weight)

    images, masks = random_images(2, 16, 16, 3), np.zeros((2, 16, 16), bool)
    masks[:, 4:12] = True
    options = {"steps": 2, "guidance_scale": 2.0}
    painted = Inpainter(model)(images, masks, ["a red square", ""], **options)
    np.testing.assert_array_equal(painted[~masks], to_unit(images)[~masks])

    assert_saved_as_it_is(model, tmp_path / "saved")


@pytest.mark.slow  # trains again
def test_it_goes_on_exactly(run, small_start, tmp_path):
    broken = tmp_path / "broken"
    go_on(RECIPE, run, broken, 2, *small_start)
    assert losses(broken) == losses(run)


def test_what_cannot_work_is_refused_and_leaves_no_folder(small_start, tmp_path):
    path = tmp_path / "run"
    cases = [
        (("--held-out", "0"), "held-out image"),
        (("--preview-count", "0"), "held-out image"),
        (("--start", str(tmp_path / "nowhere")), "is none of these"),
        (("--size", "15"), "multiples of"),
        (("--trainable", "nothing"), "nothing"),
    ]
    assert_refused(RECIPE, cases, "--run", str(path), *small_start)
    assert not path.exists()
