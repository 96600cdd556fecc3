"""Scores of restored images: each by itself, the baselines, and the table."""

import equinox as eqx
import jax
import numpy as np
import pytest

from equildm.images import to_uint8, to_unit
from equildm.interop import load_lpips, load_vae
from equildm.latents import VAEConfig
from equildm.metrics import (
    bicubic_baseline,
    interval,
    psnr,
    reconstruction_baseline,
    reconstruction_quality,
    restoration_table,
    RestorationScorer,
    RestorationScores,
    ssim,
)


def smooth(count, side, seed=0):
    """Images that differ from each other, and that a resize leaves recognisable."""
    y, x = np.mgrid[:side, :side] / side
    phases = np.random.default_rng(seed).uniform(0, 6, (count, 1, 1, 3))
    return to_uint8(0.9 * np.sin(4 * x[None, ..., None] + 3 * y[None, ..., None] + phases))


@pytest.fixture(scope="module")
def scorer():
    return RestorationScorer()


def test_scores_are_those_of_each_pair(scorer):
    images, references = smooth(3, 32), smooth(3, 32, seed=1)
    scores = scorer(images, references)
    lpips = load_lpips("alex")

    @eqx.filter_jit
    def each(lpips, *pair):
        return psnr(*pair), ssim(*pair), lpips(*pair)

    for i in range(3):
        of_pair = each(lpips, *(to_unit(x[i]) for x in (images, references)))
        np.testing.assert_allclose(scores.psnr[i], of_pair[0], rtol=1e-5)
        np.testing.assert_allclose(scores.ssim[i], of_pair[1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scores.lpips[i], of_pair[2], rtol=1e-3, atol=1e-5)
    assert scores.means() == {
        name: round(float(values.mean()), 4) for name, values in scores._asdict().items()
    }
    assert scorer(images, images).psnr.min() == np.inf


def test_bicubic_brings_a_smooth_image_back(scorer):
    images = smooth(2, 32)
    low = images.reshape(2, 16, 2, 16, 2, 3).mean((2, 4)).round().astype(np.uint8)
    large = bicubic_baseline(low, 32)
    assert large.shape == images.shape and large.dtype == np.uint8
    assert scorer(large, images).psnr.min() > 30
    np.testing.assert_array_equal(bicubic_baseline(images, 32), images)


@pytest.fixture(scope="module")
def small_vae():
    return VAEConfig(width=4, multipliers=(1, 1), depth=1, groups=2).build(key=jax.random.key(0))


def test_the_vae_is_a_baseline(small_vae):
    images = smooth(2, 16)
    ours = reconstruction_baseline(small_vae, images)
    one = jax.jit(lambda image: small_vae.reconstruct(image))(to_unit(images[1]))
    assert np.abs(ours[1].astype(int) - to_uint8(np.asarray(one))).max() <= 1


def test_the_quality_of_the_packaged_vae(small_vae):
    """It reconstructs what it was trained for, and noise badly."""
    vae = load_vae()
    good = reconstruction_quality(vae, to_unit(smooth(4, 32)))
    noise = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    bad = reconstruction_quality(vae, noise)
    assert set(good) == {"images", "psnr_db", "lpips_alex"} and good["images"] == 4
    tiny = noise[:, :16, :16]  # smaller than LPIPS takes
    assert set(reconstruction_quality(small_vae, tiny)) == {"images", "psnr_db"}
    assert good["psnr_db"] > 12 > bad["psnr_db"] and good["lpips_alex"] < bad["lpips_alex"]


def drawn(seed):
    rng = np.random.default_rng(seed)
    return RestorationScores(*rng.normal(size=(3, 12)))


def test_a_table_has_means_differences_and_intervals():
    scores, groups = {"one": drawn(0), "two": drawn(1)}, np.repeat(np.arange(4), 3)
    table = restoration_table(scores, groups)
    assert list(table) == ["one", "two"]
    for kind in RestorationScores._fields:
        values, others = (getattr(scores[name], kind) for name in ("one", "two"))
        assert table["one"][kind] == round(float(values.mean()), 4)
        assert table["one"][f"{kind} interval"] == interval(values, groups)
        assert table["one"][f"{kind} over two"] == round(float((values - others).mean()), 4)
        assert table["one"][f"{kind} over two interval"] == interval(values - others, groups)
        assert table["two"][f"{kind} over one"] == -table["one"][f"{kind} over two"]
        assert f"{kind} over one" not in table["one"]
    low, high = interval(scores["one"].ssim, groups)
    assert f"ssim {scores['one'].ssim.mean():.4f} [{low:.4f}, {high:.4f}]" in scores["one"].summary(
        groups
    )
