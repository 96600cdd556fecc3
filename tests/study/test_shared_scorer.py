"""The scorer of a study's captions: its reference is computed once, of what can be used."""

import numpy as np
import pytest
from image_folders import BROKEN, flawed_folder, UNNAMED

from equildm.data import DataConfig, open_source
from equildm.study import SampleSetConfig, StudyFolder, StudyRun
from equildm.study.shared_scorer import shared_scorer


@pytest.fixture
def images(tmp_path):
    """A folder of 14 captioned images, of which one is cut off and one has no caption."""
    return flawed_folder(tmp_path / "images")


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
