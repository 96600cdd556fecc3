"""What is known of an image before it is decoded."""

import io

import numpy as np
import pytest
from PIL import Image

from equildm.data import Crop, FolderSource, InMemory, UnusableSample
from equildm.data.decode import stored_image


def _jpeg(height, width, orientation=1):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95, exif=exif)
    return data.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_shape_is_that_of_the_upright_image(orientation):
    image = stored_image(_jpeg(320, 640, orientation), "a.jpg")
    assert image.shape() == image.decode().shape[:2]
    assert image.shape() == ((320, 640) if orientation < 5 else (640, 320))


def test_shape_refuses_what_decoding_refuses():
    for data in (b"", b"no image", _jpeg(320, 640)[:20]):
        image = stored_image(data, "a.jpg")
        for read in (image.shape, image.decode):
            with pytest.raises(UnusableSample, match=r"a\.jpg"):
                read()


def test_the_cache_decodes_a_large_jpeg_at_a_part_of_its_size(tmp_path, build, monkeypatch):
    """The latents are those of the entire image, but for what the eye cannot see."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(_jpeg(960, 1280))
    (tmp_path / "images" / "a.txt").write_text("a")
    source = FolderSource(tmp_path / "images")
    image = source.stored(0)
    assert image.decode(side=Crop(16).side(*image.shape())).shape == (120, 160, 3)
    small = build(source).gather([0]).latents
    monkeypatch.setattr(Crop, "side", lambda self, height, width: None)
    exact = build(source, folder=tmp_path / "exact").gather([0]).latents
    assert 0 < np.abs(small - exact).max() < 0.03
    assert InMemory(source).stored(0).shape() == (960, 1280)
