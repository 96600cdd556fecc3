import equinox as eqx
import jax
import numpy as np

from equildm.latents import DiagonalGaussian


def _gaussian():
    draw = np.random.default_rng(0)
    mean, log_variance = (draw.normal(size=(2, 3, 4)).astype(np.float32) for _ in range(2))
    return DiagonalGaussian(*jax.device_put((mean, log_variance)))


def test_samples_have_the_mean_and_the_variance():
    gaussian = _gaussian()
    keys = jax.random.split(jax.random.key(0), 20_000)
    samples = np.asarray(jax.jit(jax.vmap(gaussian.sample))(keys))
    mean, deviation = np.asarray(gaussian.mean), np.exp(np.asarray(gaussian.log_variance) / 2)
    np.testing.assert_allclose((samples.mean(0) - mean) / deviation, 0, atol=0.03)
    np.testing.assert_allclose(samples.std(0) / deviation, 1, atol=0.03)
    np.testing.assert_array_equal(gaussian.mode(), mean)


def test_kl_is_the_mean_log_ratio_of_densities():
    gaussian = _gaussian()
    mean, deviation = np.float64(gaussian.mean), np.exp(np.float64(gaussian.log_variance) / 2)
    x = np.linspace(-60, 60, 60_001)[:, None, None, None]
    density = np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    log_normal = -0.5 * x**2 - 0.5 * np.log(2 * np.pi)
    integrand = density * (np.log(np.maximum(density, 1e-300)) - log_normal)
    kl = np.trapezoid(integrand, x[:, 0, 0, 0], axis=0).mean()
    np.testing.assert_allclose(eqx.filter_jit(gaussian.kl)(), kl, rtol=1e-5)


def test_kl_of_the_standard_normal_is_zero():
    zeros = np.zeros((2, 2, 1), np.float32)
    assert jax.jit(lambda zeros: DiagonalGaussian(zeros, zeros).kl())(zeros) == 0.0
