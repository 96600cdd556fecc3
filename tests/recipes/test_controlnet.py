"""From a pretrained model to a ControlNet run: opened, used, saved, resumed; what is refused."""

import numpy as np
import pytest
from helpers import assert_refused, ROOT, run_python
from model_folders import assert_same_arrays, assert_saved_as_it_is
from run_folders import go_on, losses
from small_models import moved_weights, random_images, small_model

from equildm.denoise import BACKBONES
from equildm.noise import NoiseConfig
from equildm.pipeline import ControlToImage, new_model
from equildm.pretrained import load_pretrained, save_pretrained
from equildm.runtime import make_mesh

RECIPE = ROOT / "recipes" / "controlnet.py"


@pytest.mark.slow
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


@pytest.mark.slow  # trains twice more
@pytest.mark.parametrize("backbone", ["dit", "mmdit"])
def test_a_transformer_is_controlled(backbone, small_start, tmp_path):
    config = BACKBONES[backbone](
        "tiny", width=16, depth=4, heads=2, in_channels=2, out_channels=2, context_width=384
    )
    plain = small_model()
    start = new_model(
        config,
        plain.vae,
        plain.text_encoder,
        image_size=16,
        noise=NoiseConfig(),
        mesh=make_mesh(""),
    )
    start = start.with_network(moved_weights(start.network, 0.05, np.random.default_rng(0)))
    save_pretrained(tmp_path / "start", start)
    options = ["--start", str(tmp_path / "start"), *small_start[2:], "--blocks", "1"]
    run = tmp_path / "run"
    run_python(RECIPE, "--run", str(run), *options, devices=1)
    model = load_pretrained(run)
    assert_same_arrays(model.network.network, start.network)
    assert all(np.any(output.weight) for output in model.network.control.outputs)
    images = ControlToImage(model)(random_images(1, 16, 16, 3), [""], steps=2)
    assert images.shape == (1, 16, 16, 3) and np.isfinite(images).all()
    eight = tmp_path / "eight"
    mesh = ("--mesh", "data=2,fsdp=2,tensor=2", "--remat", "blocks")
    run_python(RECIPE, "--run", str(eight), *options, *mesh, devices=8)
    np.testing.assert_allclose(list(losses(eight).values()), list(losses(run).values()), rtol=1e-4)


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
        (("--trainable", "network.*"), "New weights are zero until they are trained"),
        (("--blocks", "2"), "blocks are of transformers alone"),
        (("--start", "none", "--backbone", "dit"), "Fresh weights are all trained"),
    ]
    assert_refused(RECIPE, cases, "--run", str(path), *small_start)
    assert not path.exists()
