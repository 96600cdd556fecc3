"""Images with an embedded colour profile are in sRGB after decoding; others stay as they are."""

import io

import numpy as np
import pytest
from icc_profiles import (
    ADOBE_RGB,
    cmyk_profile,
    DISPLAY_P3,
    expected_srgb,
    grey_profile,
    rgb_profile,
    SRGB,
)
from PIL import Image, ImageCms

from equildm.data import decode_image, FolderSource
from equildm.data.color_profile import UNUSABLE_PROFILE

COLORS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def stored(image, profile, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, icc_profile=profile, **options)
    return data.getvalue()


@pytest.mark.parametrize(
    ("primaries", "gamma"),
    [(DISPLAY_P3, 2.2), (ADOBE_RGB, 2.2), (SRGB, 1.0), (SRGB[1::-1] + SRGB[2:], 2.2)],
    ids=["display p3", "adobe rgb", "linear", "swapped channels"],
)
def test_colors_are_those_of_the_definition(primaries, gamma):
    data = stored(Image.fromarray(COLORS), rgb_profile(primaries, gamma))
    image = decode_image(data, "a")
    expected = expected_srgb(COLORS, primaries, gamma)
    error = np.abs(image - expected)
    # Gamma 1 has few levels in the dark, which the library rounds.
    assert error.max() < (8 if gamma == 1 else 3) and error.mean() < 0.6
    assert np.abs(COLORS - expected).max() > 20


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "PNG"])
def test_every_format(kind):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    pixels = np.full((16, 16, 3), [30, 200, 60], np.uint8)
    data = stored(
        Image.fromarray(pixels), rgb_profile(DISPLAY_P3, 2.2), kind, **options.get(kind, {})
    )
    expected = expected_srgb(pixels, DISPLAY_P3, 2.2)
    np.testing.assert_allclose(decode_image(data, "a"), expected, atol=5)


def test_srgb_and_untagged_images_stay_as_they_are():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for tag in (None, profile):
        image = decode_image(stored(Image.fromarray(COLORS), tag), "a")
        np.testing.assert_array_equal(image, COLORS)


def test_transparency_palettes_and_turned_images():
    profile = rgb_profile(ADOBE_RGB, 2.2)
    expected = expected_srgb(COLORS, ADOBE_RGB, 2.2)
    alpha = np.full((16, 16, 1), 255, np.uint8)
    alpha[:8] = 0
    clear = decode_image(stored(Image.fromarray(np.concatenate([COLORS, alpha], -1)), profile), "a")
    assert (clear[:8] == 255).all()
    np.testing.assert_allclose(clear[8:], expected[8:], atol=3)
    few = Image.fromarray(COLORS).quantize(8)
    np.testing.assert_allclose(
        decode_image(stored(few, profile), "a"),
        expected_srgb(np.asarray(few.convert("RGB")), ADOBE_RGB, 2.2),
        atol=3,
    )
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = decode_image(stored(Image.fromarray(COLORS), profile, exif=exif), "a")
    np.testing.assert_allclose(turned, expected[::-1, ::-1], atol=3)


@pytest.mark.parametrize("alpha", [False, True])
def test_grey(alpha):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(ramp)
    if alpha:
        image.putalpha(255)
    decoded = decode_image(stored(image, grey_profile(1.0)), "a")
    expected = expected_srgb(np.repeat(ramp[..., None], 3, -1), SRGB, 1.0)
    assert np.abs(decoded[1:] - expected[1:]).max() < 3


def test_inks():
    """A profile in which the ink called cyan is magenta."""
    magenta, white, black = (60.0, 94.0, -60.0), (100.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    profile = cmyk_profile(lambda c, m, y, k: black if k else magenta if c else white)
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    image = decode_image(stored(cyan, profile, "TIFF"), "a")[8, 8]
    assert image[0] > 200 and image[1] < 90 and image[2] > 200
    plain = decode_image(stored(cyan, None, "TIFF"), "a")[8, 8]
    assert plain[0] < 60 and plain[1] > 200


@pytest.mark.parametrize(
    "profile",
    [b"no profile", rgb_profile(DISPLAY_P3, 2.2)[:200], grey_profile(2.2), b"\0" * 400],
    ids=["text", "cut off", "of grey", "zeros"],
)
def test_an_unusable_profile_is_ignored_and_counted(profile, tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(stored(Image.fromarray(COLORS), profile))
    source = FolderSource(tmp_path)
    for _ in range(2):
        np.testing.assert_array_equal(source.image(0), COLORS)
    assert source.remarks.counts == {UNUSABLE_PROFILE: 1}
    assert f"{UNUSABLE_PROFILE}, as in a.png" in caplog.text


def test_threads_share_a_conversion():
    from concurrent.futures import ThreadPoolExecutor

    data = stored(Image.fromarray(COLORS), rgb_profile(DISPLAY_P3, 1.9))
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: decode_image(data, "a"), range(200)))
    assert all(np.array_equal(image, images[0]) for image in images)
