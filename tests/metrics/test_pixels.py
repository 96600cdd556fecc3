"""PSNR and SSIM against scikit-image."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from equildm.metrics import psnr, ssim

Y, X = np.mgrid[0:40, 0:36]
A = np.stack([np.sin(X / 3) * np.cos(Y / 5), np.sin((X + Y) / 7), np.cos(X * Y / 90)], -1)
B = np.clip(0.8 * A + 0.1 * np.cos(X + 2 * Y)[..., None], -1, 1)
A, B = jnp.asarray(A, jnp.float32), jnp.asarray(B, jnp.float32)


def test_equal_scikit_image():
    """The numbers are scikit-image 0.26's on these images in float64:
    `structural_similarity(a, b, data_range=2, channel_axis=-1, gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False)` and `peak_signal_noise_ratio(a, b, data_range=2)`."""
    assert float(ssim(A, B)) == pytest.approx(0.8876035328, abs=1e-5)
    assert float(psnr(A, B)) == pytest.approx(22.5315821, abs=1e-4)


def test_limits():
    assert float(ssim(A, A)) == pytest.approx(1.0, abs=1e-6)
    assert float(psnr(A, A)) == np.inf
    assert float(psnr(A, A + 0.2)) == pytest.approx(20.0, abs=1e-4)


def test_bfloat16_is_scored_in_float32():
    assert psnr(A.astype(jnp.bfloat16), B).dtype == jnp.float32
    assert ssim(A.astype(jnp.bfloat16), B).dtype == jnp.float32


def test_refuse(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"received \(40, 36, 3\) and \(40, 30, 3\)"):
        psnr(A, A[:, :30])
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(A[:10], B[:10])


@pytest.mark.parametrize("score", [psnr, ssim])
def test_only_images_in_the_range_have_a_score(score, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for wrong in (jnp.stack([A, B]), A[..., 0]):
        with pytest.raises(ValueError, match=r"\(height, width, channels\).* received \("):
            score(wrong, wrong)
    shown = np.asarray((A + 1) * 127.5)
    for wrong, received in ((shown.astype(np.uint8), "uint8"), (shown, "values up to 25")):
        with pytest.raises(ValueError, match=rf"in \[-1, 1\], received {received}.*127\.5"):
            score(A, wrong)
    constant = jax.device_put(shown)  # inside a `jit`, too
    with pytest.raises(ValueError, match="values up to 25"):
        jax.jit(lambda image: score(image, constant))(A)


@pytest.mark.parametrize("score", [psnr, ssim])
def test_batches_are_mapped(score):
    values = jax.jit(jax.vmap(score))(jnp.stack([A, B]), jnp.stack([B, B * 0.9]))
    np.testing.assert_allclose(values, [score(A, B), score(B, B * 0.9)], rtol=1e-5)
