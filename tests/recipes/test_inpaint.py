"""From a pretrained model to an inpainting run: opened, used, saved, resumed; what is refused."""

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import refusals, ROOT, run_python
from run_folders import forget, losses
from small_models import captioned_folder, random_images, small_model

from equildm.images import to_unit
from equildm.pipeline import Inpainter
from equildm.pretrained import load_pretrained, save_pretrained

RECIPE = ROOT / "recipes" / "inpaint.py"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The least options that the recipe needs."""
    folder = tmp_path_factory.mktemp("start")
    save_pretrained(folder / "model", small_model(), layout="equildm")
    data = captioned_folder(folder / "data")
    return [
        *("--start", str(folder / "model"), "--data", str(data), "--size", "16"),
        *("--held-out", "0.3", "--batch-size", "4", "--warmup", "1", "--preview-count", "2"),
        *("--log-every", "1", "--preview-every", "100", "--ema", "decay-0.95"),
    ]


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    options = ["--steps", "4", "--save-every", "2"]
    run_python(RECIPE, "--run", str(path), *small, *options, devices=1)
    return path


def arrays(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_array))


def test_a_run_is_opened_used_and_saved(run, small, tmp_path):
    assert (run / "inpainted.png").is_file() and len(losses(run)) == 4
    model = load_pretrained(run)
    start = load_pretrained(small[1]).network
    assert model.network.network.conv_in.weight.shape[2] == 2 + 1 + 2
    assert not np.array_equal(model.network.network.conv_out.weight, start.conv_out.weight)

    images, masks = random_images(2, 16, 16, 3), np.zeros((2, 16, 16), bool)
    masks[:, 4:12] = True
    options = {"steps": 2, "guidance_scale": 2.0}
    painted = Inpainter(model)(images, masks, ["a red square", ""], **options)
    np.testing.assert_array_equal(painted[~masks], to_unit(images)[~masks])

    save_pretrained(tmp_path / "saved", model)
    saved = load_pretrained(tmp_path / "saved")
    assert saved.config == model.config
    for a, b in zip(arrays(saved), arrays(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_goes_on_exactly(run, small, tmp_path):
    broken = tmp_path / "broken"
    forget(run, broken, 2)
    options = ["--steps", "4", "--save-every", "2", "--resume"]
    run_python(RECIPE, "--run", str(broken), *small, *options, devices=1)
    assert losses(broken) == losses(run)


def test_what_cannot_work_is_refused_and_leaves_no_folder(small, tmp_path):
    path = tmp_path / "run"
    options = [
        ("--held-out", "0"),
        ("--preview-count", "0"),
        ("--start", str(tmp_path / "nowhere")),
        ("--size", "15"),
        ("--trainable", "nothing"),
    ]
    messages = refusals(RECIPE, *(["--run", str(path), *small, *option] for option in options))
    expected = ["held-out image", "held-out image", "is none of these", "multiples of", "nothing"]
    for message, part in zip(messages, expected, strict=True):
        assert part in message
    assert not path.exists()
