"""Encoded images of every kind, complete and broken."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from equildm.data import decode_image, read_image, UnusableSample


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
    assert decode_image(_bytes(image, "JPEG", exif=exif), "a").shape == (16, 8, 3)


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
