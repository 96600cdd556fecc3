"""The scorer of a study's captions: its reference is computed once, of what can be used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from image_folders import BROKEN, flawed_folder, UNNAMED

from equildm.data import DataConfig, open_source
from equildm.features import Classifier
from equildm.interop import save_classifier
from equildm.metrics import ExtractorConfig
from equildm.study import SampleSetConfig, StudyFolder, StudyRun
from equildm.study.shared_scorer import shared_scorer


@pytest.fixture
def images(tmp_path):
    """A folder of 14 captioned images, of which one is cut off and one has no caption."""
    return flawed_folder(tmp_path / "images")


@pytest.mark.slow
def test_captions_are_repeated_and_unusable_samples_are_left_out(make_run, images, tmp_path):
    run = StudyRun.open(make_run("run", data=DataConfig(source=str(images), held_out=0.0)))
    folder = StudyFolder(tmp_path / "study")
    samples = SampleSetConfig(split="training", count=16, real=20)
    source = open_source(str(images))
    order = [i for i in np.random.default_rng(0).permutation(14) if i not in (BROKEN, UNNAMED)]
    captions = [source.caption(int(i)) for i in order]
    times = set()
    for _ in range(2):  # computed, then read
        with folder.locks(120.0) as locks:
            scorer = shared_scorer(folder, run, samples, locks)
        assert scorer.captions == tuple((captions * 2)[:16])
        assert scorer.reference.about.startswith("12 real images of "), scorer.reference.about
        assert scorer.reference.statistics.count == 12
        (file,) = folder.path.glob("reference-*.npz")
        times.add(file.stat().st_mtime_ns)
    assert len(times) == 1

    with folder.locks(120.0) as locks, pytest.raises(ValueError, match="no held-out captions"):
        shared_scorer(folder, run, SampleSetConfig(count=16), locks)


def test_another_network_takes_the_place_of_vgg(make_run, images, tmp_path, monkeypatch):
    def load_nothing():
        raise AssertionError("VGG16 is not needed")

    monkeypatch.setattr("equildm.study.shared_scorer.load_vgg16", load_nothing)
    path = tmp_path / "classifier.safetensors"
    run = StudyRun.open(make_run("run", data=DataConfig(source=str(images), held_out=0.0)))
    folder = StudyFolder(tmp_path / "study")
    extractor = ExtractorConfig(classifier=path)
    samples = SampleSetConfig(split="training", count=16, real=20, groups=12, extractor=extractor)
    for seed in range(2):  # a second training has a reference of its own
        classifier = Classifier("shapes", ("a", "b"), key=jax.random.key(seed))
        save_classifier(path, classifier)
        with folder.locks(120.0) as locks:
            scorer = shared_scorer(folder, run, samples, locks)
        assert scorer.reference.statistics.extractor == f"{classifier.description}, 32 pixels"
        assert classifier.fingerprint in scorer.reference.about
        assert len(list(folder.path.glob("reference-*.npz"))) == seed + 1
    other = SampleSetConfig(split="training", extractor=ExtractorConfig(features="alexnet"))
    with folder.locks(120.0) as locks:
        described = shared_scorer(folder, run, other, locks).reference.statistics.extractor
    assert described == "AlexNet, 32 pixels"
    _, match, fid = scorer.on_device(jnp.zeros((16, 32, 32, 3)))
    assert match.shape == (16, 64 + 128 + 128) and fid.shape == (16, 128)
    scores = scorer.scores(np.asarray(match), np.asarray(fid))
    assert scores.score == "shapes-FID" and np.isfinite(scores.fid)
