"""From a pretrained model to a ControlNet run: opened, used, saved, resumed; what is refused."""

import equinox as eqx
import jax
import numpy as np
import pytest
from helpers import refusals, ROOT, run_python
from run_folders import forget, losses
from small_models import captioned_folder, random_images, small_model

from equildm.pipeline import ControlToImage
from equildm.pretrained import load_pretrained, save_pretrained

RECIPE = ROOT / "recipes" / "controlnet.py"


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
    assert (run / "controlled.png").is_file() and len(losses(run)) == 4
    model, start = load_pretrained(run), load_pretrained(small[1])
    # The UNet stayed as it was, bit for bit; the branch moved.
    for a, b in zip(arrays(model.network.network), arrays(start.network), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(np.any(conv.weight) for conv in model.network.control.skip_outputs)
    # Checkpoints hold the branch, and base/ the UNet.
    assert (run / "base").is_dir()

    controls = random_images(2, 16, 16, 3)
    options = {"steps": 2, "guidance_scale": 2.0}
    images = ControlToImage(model)(controls, ["a red square", ""], **options)
    assert images.shape == (2, 16, 16, 3) and np.isfinite(images).all()

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


@pytest.mark.slow  # compiles the step once more, for eight devices
def test_eight_devices_train_the_same(run, small, tmp_path):
    eight = tmp_path / "eight"
    options = ["--steps", "4", "--save-every", "2", "--mesh", "data=4,fsdp=2"]
    run_python(RECIPE, "--run", str(eight), *small, *options, devices=8)
    np.testing.assert_allclose(list(losses(eight).values()), list(losses(run).values()), rtol=1e-4)


def test_what_cannot_work_is_refused_and_leaves_no_folder(small, tmp_path):
    path = tmp_path / "run"
    options = [
        ("--held-out", "0"),
        ("--control", "depth"),
        ("--start", str(tmp_path / "nowhere")),
        ("--trainable", "nothing"),
    ]
    messages = refusals(RECIPE, *(["--run", str(path), *small, *option] for option in options))
    expected = ["held-out image", "depth", "is none of these", "nothing"]
    for message, part in zip(messages, expected, strict=True):
        assert part in message
    assert not path.exists()
