"""Encoded images of every kind, complete and broken."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from equildm.data import Crop, decode_image, read_image, UnusableSample
from equildm.data.decode import image_shape


def _bytes(image, kind="PNG", **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _png_claiming(width, height):
    """A PNG of a few bytes whose header claims any size."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1000)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_transparency_becomes_white():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = [200, 100, 0, 128]
    image = decode_image(_bytes(Image.fromarray(pixels)), "a")
    assert (image[4:] == 255).all()
    expected = np.array([200, 100, 0]) * 128 / 255 + 255 * 127 / 255
    np.testing.assert_allclose(image[0, 0], expected, atol=1)
    keyed = _bytes(Image.fromarray(pixels[..., :3]), transparency=(0, 0, 0))
    np.testing.assert_array_equal(decode_image(keyed, "c")[[0, 4], 0], [[200, 100, 0], [255] * 3])
    palette = Image.fromarray(pixels).quantize(16)
    np.testing.assert_allclose(decode_image(_bytes(palette), "b"), image, atol=3)


def test_grey_deep_and_cmyk():
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    np.testing.assert_array_equal(
        decode_image(_bytes(Image.fromarray(ramp)), "grey"), np.repeat(ramp[..., None], 3, -1)
    )
    deep = Image.fromarray(ramp.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode_image(_bytes(deep), "deep")[..., 1], ramp)
    print_ready = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = decode_image(_bytes(print_ready, "JPEG"), "cmyk")
    assert red.shape == (8, 8, 3) and red[4, 4, 0] > 200 and red[4, 4, 1] < 60


def test_turned_upright():
    image = Image.fromarray(np.zeros((8, 16, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # taken on its side
    for kind in ("JPEG", "PNG", "TIFF"):
        data = _bytes(image, kind, exif=exif)
        assert decode_image(data, "a").shape == (16, 8, 3) and image_shape(data, "a") == (16, 8)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "broken image"),
        (b"GIF89a", "broken image"),
        (b"no image at all", "broken image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "broken image"),
        (_png_claiming(40000, 40000), "image too large"),
        (_png_claiming(9000, 9000), "image too large"),
        (_png_claiming(100, 100), "broken image"),
        (_png_claiming(3, 100), "image too small"),
    ],
)
def test_unusable(data, reason):
    with pytest.raises(UnusableSample) as caught:
        decode_image(data, "this one")
    assert caught.value.reason == reason
    assert caught.value.name == "this one"
    assert "this one" in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_cut_off(kind):
    rng = np.random.default_rng(0)
    complete = _bytes(Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)), kind)
    assert decode_image(complete, "complete").shape == (64, 64, 3)
    with pytest.raises(UnusableSample, match="broken image"):
        decode_image(complete[: len(complete) // 2], "half")


def test_unknown_range_is_refused():
    with pytest.raises(UnusableSample, match="mode F"):
        decode_image(_bytes(Image.new("F", (8, 8)), "TIFF"), "a")


def test_a_file_is_read_or_refused_by_name(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    with pytest.raises(ValueError, match=r"b\.png cannot be read"):
        read_image(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"c\.png: broken image"):
        read_image(tmp_path / "c.png")


def _photograph(height=600, width=900):
    """Noise of the spectrum of photographs, which has detail at every scale."""
    rows, columns = np.fft.fftfreq(height)[:, None, None], np.fft.rfftfreq(width)[:, None]
    noise = np.fft.rfft2(np.random.default_rng(0).standard_normal((height, width, 3)), axes=(0, 1))
    pixels = np.fft.irfft2(noise / np.maximum(np.hypot(rows, columns), 1 / width), axes=(0, 1))
    return Image.fromarray((128 + 45 * pixels / pixels.std()).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("side", "decoded"),
    [(64, 150), (75, 150), (76, 300), (150, 300), (151, 600), (600, 600), (None, 600)],
)
def test_a_large_jpeg_is_decoded_at_twice_the_size_that_is_needed(side, decoded):
    """What is made of it differs by less than 1.5 levels of 255, on average."""
    data = _bytes(_photograph(), "JPEG", quality=90)
    image = decode_image(data, "a", side=side)
    assert image.shape == (decoded, decoded * 3 // 2, 3)
    size = side or 600
    expected, actual = (Crop(size)(x).astype(float) for x in (decode_image(data, "a"), image))
    difference = np.abs(actual - expected)
    assert difference.mean() < 1.5 and difference.max() < 20
    if decoded == 600:
        assert difference.max() == 0


def test_reduced_jpegs_are_turned_and_converted_too():
    image = _photograph()
    exif = image.getexif()
    exif[0x0112] = 6  # taken on its side
    data = _bytes(image, "JPEG", quality=90, exif=exif)
    assert decode_image(data, "a", side=64).shape == (225, 150, 3)
    for mode in ("L", "CMYK"):
        data = _bytes(image.convert(mode), "JPEG", quality=90)
        expected, actual = (Crop(64)(decode_image(data, "a", side=side)) for side in (None, 64))
        assert np.abs(actual.astype(int) - expected).mean() < 1


def test_other_files_and_broken_ones_are_as_before():
    image = _photograph(200, 200)
    assert decode_image(_bytes(image), "a", side=8).shape == (200, 200, 3)
    data = _bytes(image, "JPEG")
    with pytest.raises(UnusableSample, match="broken image"):
        decode_image(data[: len(data) // 2], "a", side=8)
