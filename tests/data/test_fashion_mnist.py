"""Fashion-MNIST from its files: what is in them, and what is refused by name."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from equildm.data import Crop, FashionMNISTSource, open_source
from equildm.data.builtin.idx import read_idx

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def write_idx(path: Path, array: np.ndarray, lengths=None, kind: int = 8) -> None:
    """An IDX file of bytes; `lengths` are those of the header, if they are to be wrong."""
    header = bytes((0, 0, kind, array.ndim))
    header += np.array(array.shape if lengths is None else lengths, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 28, 28))


@pytest.fixture
def folder(tmp_path, pixels) -> Path:
    """Twelve training images of labels 0 to 9, 0, 1, and two test images of labels 9 and 8."""
    write_idx(tmp_path / IMAGES, pixels)
    write_idx(tmp_path / LABELS, np.arange(12) % 10)
    write_idx(tmp_path / IMAGES.replace("train", "t10k"), pixels[:2])
    write_idx(tmp_path / LABELS.replace("train", "t10k"), np.array([9, 8]))
    return tmp_path


def test_images_and_captions(folder, pixels):
    source = open_source(f"fashion-mnist:{folder}")
    assert len(source) == 12
    assert [source.caption(i) for i in range(12)] == [
        *("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag"),
        *("ankle boot", "t-shirt", "trouser"),
    ]
    for i in range(12):
        image = source[i].image
        assert image.shape == (28, 28, 3) and image.dtype == np.uint8
        np.testing.assert_array_equal(image, np.stack([pixels[i]] * 3, -1))
    assert Crop(32)(source.image(0)).shape == (32, 32, 3)
    assert len({source.name(i) for i in range(12)}) == 12


def test_the_test_images(folder):
    source = open_source(f"fashion-mnist-test:{folder}")
    assert [source.caption(i) for i in range(len(source))] == ["ankle boot", "bag"]
    assert source.name(1) == "fashion-mnist t10k 1"


def test_the_same_files_have_the_same_fingerprint(folder, tmp_path_factory, pixels):
    source, copy = FashionMNISTSource(folder), tmp_path_factory.mktemp("copy")
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert FashionMNISTSource(copy).fingerprint == source.fingerprint
    assert FashionMNISTSource(copy, "t10k").fingerprint != source.fingerprint
    write_idx(copy / LABELS, np.arange(12) // 2)
    assert FashionMNISTSource(copy).fingerprint != source.fingerprint


def test_missing_files_are_named(tmp_path, folder, monkeypatch):
    with pytest.raises(ValueError, match=r"elsewhere/train-images.* is missing.*apt install data"):
        open_source(f"fashion-mnist:{tmp_path / 'elsewhere'}")
    (folder / LABELS).unlink()
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte.gz is missing.*fashion-mnist:/"):
        open_source(f"fashion-mnist:{folder}")
    monkeypatch.setattr("equildm.data.open.FASHION_MNIST_FOLDER", tmp_path / "none")
    for spec in ("fashion-mnist", "fashion-mnist-test"):
        with pytest.raises(ValueError, match=r"none/t.* is missing"):
            open_source(spec)
    monkeypatch.setenv("HOME", str(folder))
    assert len(open_source("fashion-mnist-test:~")) == 2


def test_files_that_do_not_fit_together_are_refused(folder, pixels):
    write_idx(folder / LABELS, np.arange(11) % 10)
    with pytest.raises(ValueError, match=r"train-images.* has 12 images, .*labels.* 11 labels"):
        FashionMNISTSource(folder)
    write_idx(folder / LABELS, np.arange(12))
    with pytest.raises(ValueError, match=r"Labels .* are 0 to 9; .*train-labels.* has 11"):
        FashionMNISTSource(folder)
    write_idx(folder / IMAGES, pixels[:, :, :27])
    with pytest.raises(ValueError, match=r"28 x 28 pixels; those of .*train-images.* 28 x 27"):
        FashionMNISTSource(folder)
    write_idx(folder / IMAGES, pixels[:0])
    write_idx(folder / LABELS, np.arange(0))
    with pytest.raises(ValueError, match="has 0 images"):
        FashionMNISTSource(folder)


def test_damaged_files_are_refused_by_name(folder, pixels):
    path = folder / IMAGES
    intact = path.read_bytes()  # what gzip holds is not compressible: cut anywhere
    cases = {
        intact[: len(intact) // 2]: r"readable under gzip; .*train-images.*Get the file again",
        intact[:5]: "readable under gzip",
        intact[:300] + bytes(50) + intact[350:]: "readable under gzip|holds",
        b"no gzip": "readable under gzip.*Not a gzipped file",
        gzip.compress(b""): "begins with",
        gzip.compress(b"\0\0\x08\x03\0"): r"lengths; .*train-im.* begins with 00 00 08 03 00\.",
        gzip.compress(b"<html>not found</html>"): "begins with 3c 68 74 6d",
        (folder / LABELS).read_bytes(): r"with 3 axes begins with .*; .* begins with 00 00 08 01",
    }
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            FashionMNISTSource(folder)
    for lengths, message in (
        ((13, 28, 28), "13 x 28 x 28 bytes; .*train-images.* holds 9408 bytes"),
        ((11, 28, 28), "11 x 28 x 28 bytes; .* holds more"),
        ((2**32 - 1,) * 3, "4294967295 x .* holds 9408 bytes"),
    ):
        write_idx(path, pixels, lengths)
        with pytest.raises(ValueError, match=message):
            FashionMNISTSource(folder)
    write_idx(path, pixels, kind=9)
    with pytest.raises(ValueError, match="begins with 00 00 09 03"):
        read_idx(path, 3)
