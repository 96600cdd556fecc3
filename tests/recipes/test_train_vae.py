"""A VAE: trained, in part, with a discriminator, resumed; what is refused."""

import json

import jax
import numpy as np
import pytest
from helpers import assert_refused, ROOT, run_python
from PIL import Image
from run_folders import forget, losses

from equildm.interop import load_vae

RECIPE = ROOT / "recipes" / "train_vae.py"


@pytest.fixture
def small(pictures):
    """The least that train_vae.py needs."""
    return [
        *("--data", str(pictures), "--size", "32", "--held-out", "0.3", "--warmup", "1"),
        *("--batch-size", "4", "--lpips", "0", "--log-every", "1"),
        *("--width", "8", "--groups", "4", "--multipliers", "1", "1"),
    ]


def train(run, *options):
    return run_python(RECIPE, "--run", str(run), *options, devices=1, timeout=1500)


@pytest.mark.slow
def test_it_leaves_a_vae(small, tmp_path):
    run = tmp_path / "vae"
    printed = train(run, *small, "--steps", "3")
    assert "Held-out images" in printed
    written = json.loads((run / "vae" / "config.json").read_text())
    assert written["_class_name"] == "AutoencoderKL" and written["scaling_factor"] > 0
    assert (run / "samples" / "step_00000003.png").exists()
    assert json.loads((run / "quality.json").read_text())["images"] > 0


@pytest.mark.slow  # four processes that compile a step
def test_resumed_with_a_discriminator_then_a_decoder_alone(small, tmp_path):
    one, broken, part = (tmp_path / name for name in ("one", "broken", "part"))
    short = [*small, "--steps", "4", "--save-every", "2", "--adversarial", "0.1"]
    train(one, *short)
    forget(one, broken, 2)
    train(broken, *short, "--resume")
    assert losses(broken) == losses(one)
    vae = load_vae(one / "vae")

    patterns = ("--trainable", "decoder*", "post_quant_conv*")
    train(part, *small, "--steps", "2", "--init", str(one / "vae"), *patterns, "--dtype", "float16")
    decoder = load_vae(part / "vae")
    assert decoder.config == vae.config  # the latents are the same, and so is their scale
    for name in ("encoder", "quant_conv"):
        arrays = [jax.tree.leaves(getattr(x, name)) for x in (decoder, vae)]
        for ours, theirs in zip(*arrays, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    weights = (vae.decoder.conv_out.weight, decoder.decoder.conv_out.weight)
    assert np.abs(weights[0] - weights[1]).max() > 1e-3


def test_what_cannot_work_is_refused_and_leaves_no_folder(small, tmp_path):
    vae = ROOT / "equildm" / "latents" / "emoji_vae"
    cases = [
        (("--adversarial", "0.1", "--trainable", "decoder*"), "needs the whole VAE to be trained"),
        (("--trainable", "nothing*"), "received 'nothing*'"),
        (("--init", str(vae)), "--init takes a VAE of the sizes"),
        (("--size", "31"), "which must divide height and width; received 31x31"),
        (("--size", "8", "--adversarial", "0.1"), "at least 16 pixels a side"),
        (("--groups", "3"), "must divide by the norm's groups"),
        (("--kl", "-1"), "--kl is a weight of at least 0"),
        (("--held-out", "0"), "received --held-out 0"),
        (("--remat", "blocks"), "takes no --remat"),
        (("--scale", "2"), "Unrecognized options"),
    ]
    run = ("--run", str(tmp_path / "run"))
    assert_refused(RECIPE, cases, *small, *run)
    assert not (tmp_path / "run").exists()


def images(folder, sides, broken=()):
    """A folder of images without captions, some of which are no images."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, side in enumerate(sides):
        path = folder / f"{number:03d}.png"
        if number in broken:
            path.write_bytes(b"broken")
        else:
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(path)
    return str(folder)


@pytest.mark.slow  # two processes that compile a step
def test_images_that_cannot_be_used_end_no_training(small, tmp_path):
    """Broken ones among those held out, ones smaller than a cut; images too small for LPIPS."""
    data = images(tmp_path / "mixed", [40] * 36 + [16] * 4, broken=(2, 9, 17))
    options = ("--data", data, "--cut", "1", "--max-skipped", "0.25", "--steps", "24")
    assert "Held-out images" in train(tmp_path / "cut", *small, *options)
    train(tmp_path / "tiny", *small, "--size", "8", "--steps", "2")
    assert set(json.loads((tmp_path / "tiny" / "quality.json").read_text())) == {
        *("images", "psnr_db")
    }


def test_data_of_the_wrong_kind_are_refused_before_training(small, tmp_path):
    few = images(tmp_path / "few", [40] * 4)
    wrong = images(tmp_path / "small", [40] * 20 + [16] * 20)
    run = tmp_path / "run"
    cases = [
        (("--data", few, "--held-out", "0.01"), "received 0 images of which none is"),
        (("--data", wrong, "--cut", "1"), "x image too small"),
    ]
    assert_refused(RECIPE, cases, *small, "--run", str(run))
    assert not run.exists()
