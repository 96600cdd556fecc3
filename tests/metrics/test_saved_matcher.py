"""The caption matcher of the same images and captions is fitted once, and read afterwards."""

from importlib import import_module
from pathlib import Path

import jax
import numpy as np
import pytest

from equildm.features import AlexNet
from equildm.metrics import caption_match, saved_matcher
from equildm.metrics.saved_matcher import fit_once
from equildm.text import embed, SmallTextEncoder

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
CAPTIONS = [f"image {i % 3}" for i in range(6)]


@pytest.fixture(scope="module")
def networks() -> tuple[AlexNet, SmallTextEncoder]:
    text = SmallTextEncoder(width=16, depth=1, max_tokens=8, key=jax.random.key(1))
    return AlexNet(key=jax.random.key(0)), text


@pytest.fixture
def fits(tmp_path, monkeypatch) -> list[int]:
    """The number of images of each fit; the cache folder is empty."""
    counts: list[int] = []
    fit = saved_matcher.fit_caption_matcher

    def counted(images, *others):
        counts.append(len(images))
        return fit(images, *others)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(saved_matcher, "fit_caption_matcher", counted)
    return counts


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npz"))


def test_the_same_is_fitted_once(networks, fits, tmp_path):
    fitted = fit_once(IMAGES, CAPTIONS, *networks)
    read = fit_once(IMAGES, CAPTIONS, *networks)
    assert fits == [6] and len(files(tmp_path)) == 1
    for name in ("mean", "deviation", "weight", "caption_mean"):
        np.testing.assert_array_equal(getattr(read, name), getattr(fitted, name), strict=True)
    assert read.sentences.keys() == fitted.sentences.keys() == set(CAPTIONS)
    scores = [
        caption_match(matcher, IMAGES, CAPTIONS, ["another"], jax.random.key(0))
        for matcher in (fitted, read)
    ]
    assert scores[0] == scores[1]


def test_whatever_differs_is_fitted_by_itself(networks, fits, tmp_path):
    vgg, text = networks
    fit_once(IMAGES, CAPTIONS, vgg, text)
    pixel = IMAGES.copy()
    pixel[5, 31, 31, 2] ^= 1
    fit_once(pixel, CAPTIONS, vgg, text)
    fit_once(IMAGES, CAPTIONS[:5] + ["other"], vgg, text)
    fit_once(IMAGES, CAPTIONS, AlexNet(key=jax.random.key(2)), text)
    assert fits == [6] * 4 and len(files(tmp_path)) == 4


def test_a_damaged_file_is_written_again(networks, fits, tmp_path):
    fit_once(IMAGES, CAPTIONS, *networks)
    (file,) = files(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    fit_once(IMAGES, CAPTIONS, *networks)
    assert fits == [6, 6] and file.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_said(networks, fits, tmp_path, capfd):
    (tmp_path / "equildm").write_text("a file where the folder should be")
    matcher = fit_once(IMAGES, CAPTIONS, *networks)
    assert np.isfinite(matcher.weight).all() and fits == [6]
    assert "The fit of the caption matcher is not kept" in "".join(capfd.readouterr())


def test_a_caption_is_embedded_once(networks, fits, monkeypatch):
    """Those of the fit never again, others when they are first seen."""
    embedded: list[str] = []

    def counted(text, captions):
        embedded.extend(captions)
        return embed(text, captions)

    # The package has the function of this name where the module would be.
    monkeypatch.setattr(import_module("equildm.metrics.caption_match"), "embed", counted)
    matcher = fit_once(IMAGES, CAPTIONS, *networks)
    for _ in range(2):
        caption_match(matcher, IMAGES, CAPTIONS, ["another"], jax.random.key(0))
    assert embedded == ["image 0", "image 1", "image 2", "another"]
