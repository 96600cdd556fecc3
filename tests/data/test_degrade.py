"""Degradations: their pieces against closed forms and public code, and what chains draw."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from equildm.data.degrade import (
    AbstractDegradation,
    AbstractOperation,
    Always,
    AnyOrder,
    bicubic,
    Blur,
    Canvas,
    Chain,
    DEGRADATIONS,
    degraded,
    Gaussian,
    GaussianNoise,
    JPEG,
    Maybe,
    Nothing,
    OneOf,
    Plateau,
    PoissonNoise,
    RandomJPEG,
    RandomNoise,
    RandomResize,
    real_esrgan,
    Resize,
    resized,
    Sequence,
    Sinc,
)
from equildm.data.degrade.blur import filtered
from equildm.data.degrade.kernels import bessel_j1


def random_image(height=24, width=31, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def unit(image):
    return image.astype(np.float32) / np.float32(255)


def applied(operation, image, seed=0):
    canvas = Canvas(unit(image), image.shape[:2])
    return operation(canvas, np.random.default_rng(seed)).pixels


# Kernels.


def test_kernels_are_their_formulas_in_scipy():
    scipy = pytest.importorskip("scipy.special")
    stats = pytest.importorskip("scipy.stats")
    y, x = np.mgrid[-7:8, -7:8].astype(float)
    angle, sigmas = 0.7, (2.5, 1.2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    covariance = turn @ np.diag(np.square(sigmas)) @ turn.T
    places = np.stack([x, y], -1)

    density = stats.multivariate_normal([0, 0], covariance).pdf(places)
    ours = Gaussian(15, sigmas, angle).weights()
    np.testing.assert_allclose(ours, density / density.sum(), atol=1e-7)

    q = np.einsum("hwi,ij,hwj->hw", places, np.linalg.inv(covariance), places)
    for power in (0.5, 2.0, 4.0):
        general, plateau = np.exp(-0.5 * q**power), 1 / (1 + q**power)
        np.testing.assert_allclose(
            Gaussian(15, sigmas, angle, power).weights(), general / general.sum(), atol=1e-7
        )
        np.testing.assert_allclose(
            Plateau(15, sigmas, angle, power).weights(), plateau / plateau.sum(), atol=1e-7
        )

    radius = np.hypot(x, y)
    for cutoff in (math.pi / 5, math.pi):
        with np.errstate(invalid="ignore"):
            sinc = cutoff * scipy.j1(cutoff * radius) / (2 * math.pi * radius)
        sinc[7, 7] = cutoff**2 / (4 * math.pi)
        np.testing.assert_allclose(Sinc(15, cutoff).weights(), sinc / sinc.sum(), atol=1e-7)
    far = np.linspace(0, 60, 301)
    np.testing.assert_allclose(bessel_j1(far), scipy.j1(far), atol=1e-13)


def test_a_sinc_filter_passes_what_lies_below_its_cutoff():
    weights = Sinc(21, math.pi / 3).weights()
    response = np.abs(np.fft.fft2(weights, (64, 64)))[0]
    frequency = 2 * math.pi * np.fft.fftfreq(64)
    assert response[np.abs(frequency) < math.pi / 6].min() > 0.8
    assert response[np.abs(frequency) > math.pi / 2].max() < 0.1


@pytest.mark.parametrize("size", [7, 21])
def test_a_filter_is_scipys_correlation_mirrored(size):
    ndimage = pytest.importorskip("scipy.ndimage")
    image = unit(random_image(20, 33))
    weights = np.random.default_rng(1).random((size, size), np.float32)
    ours = filtered(image, weights)
    truth = ndimage.correlate(image.astype(float), weights[:, :, None].astype(float), mode="mirror")
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, truth, rtol=1e-5, atol=1e-4)
    small = unit(random_image(3, 5))  # smaller than the kernel: mirrored again and again
    truth = ndimage.correlate(small.astype(float), weights[:, :, None].astype(float), mode="mirror")
    np.testing.assert_allclose(filtered(small, weights), truth, rtol=1e-5, atol=1e-4)


# Resizes.


@pytest.mark.parametrize("mode", ["area", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(10, 13), (24, 31), (40, 70), (5, 47)])
def test_resizes_are_those_of_pytorch(mode, size, peer):
    image = unit(random_image())
    truth = peer("interpolate", config={"mode": mode, "size": size}, x=image)["y"]
    np.testing.assert_allclose(resized(image, size, mode), truth, atol=1e-5)


@pytest.mark.parametrize("size", [(6, 8), (13, 40)])
def test_the_antialiased_resize_is_pillows(size):
    image = unit(random_image())
    truth = np.stack(
        [
            Image.fromarray(image[..., c]).resize(size[::-1], Image.Resampling.BICUBIC)
            for c in range(3)
        ],
        -1,
    )
    np.testing.assert_allclose(resized(image, size, "antialiased"), truth, atol=2e-6)


def test_sizes_are_fractions_of_the_original():
    shrunk = applied(
        Sequence((Resize(0.5, "area"), Resize(1 / 3, "bicubic"))), random_image(96, 48)
    )
    assert shrunk.shape == (32, 16, 3)
    assert applied(Resize(0.001, "bilinear"), random_image()).shape == (1, 1, 3)


# Noise and JPEG.


@pytest.mark.parametrize("grey", [False, True])
def test_gaussian_noise_has_its_deviation(grey):
    image = np.full((200, 200, 3), 128, np.uint8)
    noise = applied(GaussianNoise(12.0, grey), image) - unit(image)
    assert abs(noise.mean()) < 1e-3
    np.testing.assert_allclose(noise.std(), 12 / 255, rtol=0.01)
    correlation = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
    assert correlation > 0.999999 if grey else abs(correlation) < 0.02


@pytest.mark.parametrize("grey", [False, True])
def test_poisson_noise_counts(grey):
    """On an image of v = 2^k distinct values the variance at x is scale^2 x / v."""
    values = np.linspace(64, 160, 32).astype(np.uint8)  # 32 values, far from where noise is clipped
    image = np.broadcast_to(values[:, None, None], (32, 4000, 3))
    noise = applied(PoissonNoise(0.2, grey), image) - unit(image)
    assert abs(noise.mean()) < 1e-4
    expected = 0.2**2 * unit(values) / 32
    np.testing.assert_allclose(noise.var((1, 2)), expected, rtol=0.15)
    np.testing.assert_allclose(noise.var((1, 2)).mean(), expected.mean(), rtol=0.02)
    assert (np.ptp(noise, axis=-1).max() < 1e-6) == grey


def test_jpeg_is_a_file_of_that_quality():
    image = random_image(32, 40)
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=40, subsampling=2)
    with Image.open(data) as decoded:
        truth = np.asarray(decoded)
    np.testing.assert_array_equal(np.rint(applied(JPEG(40), image) * 255), truth)


# Published chains.


@pytest.mark.parametrize("name", list(DEGRADATIONS))
@pytest.mark.parametrize("scale", [2, 4])
def test_a_chain_makes_its_size_and_the_same_again(name, scale):
    image, degradation = random_image(32, 48), DEGRADATIONS[name](scale)
    low = degraded(image, degradation, np.random.default_rng(3))
    assert low.dtype == np.uint8 and low.shape == (32 // scale, 48 // scale, 3)
    np.testing.assert_array_equal(low, degraded(image, degradation, np.random.default_rng(3)))
    other = degraded(image, degradation, np.random.default_rng(4))
    assert np.array_equal(low, other) == (name == "bicubic")


def test_parts_compose_and_others_plug_in():
    class Negative(AbstractOperation, AbstractDegradation):
        def draw(self, generator):
            return self

        def __call__(self, canvas, generator):
            return canvas._replace(pixels=1 - canvas.pixels)

    image, generator = random_image(8, 8), np.random.default_rng(0)
    twice = Chain((Negative(), Maybe(1.0, Negative()), Maybe(0.0, Negative())))
    np.testing.assert_array_equal(degraded(image, twice, generator), image)
    either = OneOf(((0.25, Negative()), (0.75, Nothing())))
    share = np.mean(
        [not np.array_equal(degraded(image, either, generator), image) for _ in range(400)]
    )
    assert 0.15 < share < 0.35
    small, large = Always(Resize(0.5, "area")), Always(Resize(1.0, "bilinear"))
    sizes = {degraded(image, AnyOrder((small, large)), generator).shape for _ in range(40)}
    assert sizes == {(4, 4, 3), (8, 8, 3)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(4, (1.0, 1.0)), "odd number"),
        (lambda: Gaussian(5, (1.0, 0.0)).weights(), "above 0"),
        (lambda: Blur(sigma=(2.0, 1.0)), "range"),
        (lambda: Blur(shapes=(("gaussian", True, 0.5),)), "sum to 1"),
        (lambda: OneOf(((0.5, Nothing()),)), "sum to 1"),
        (lambda: Maybe(1.5, Nothing()), "probability"),
        (lambda: RandomResize(up=0.8, down=0.8), "at most 1"),
        (lambda: RandomResize(factors=(1.1, 2.0)), "around 1"),
        (lambda: RandomNoise(grey=2.0), "probability"),
        (lambda: RandomJPEG((90, 30)), "1 to 100"),
        (lambda: real_esrgan(1), "at least 2"),
        (lambda: bicubic(0), "at least 2"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
