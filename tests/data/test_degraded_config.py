"""The options of degraded data: what they build, what they refuse, and their way into a run."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from equildm.data import batches, DegradedDataConfig, ShapesSource
from equildm.data.batch import host_text
from equildm.data.degrade import Always, Chain
from equildm.runtime import Run


@dataclasses.dataclass(frozen=True)
class Config:
    data: DegradedDataConfig = DegradedDataConfig()


@pytest.fixture
def images(tmp_path):
    """Forty images without captions."""
    folder = tmp_path / "images"
    folder.mkdir()
    source = ShapesSource(side=64, count=40)
    for i in range(len(source)):
        Image.fromarray(source.image(i)).save(folder / f"{i}.png")
    return folder


def test_files_are_held_out_where_there_are_no_captions(images):
    config = DegradedDataConfig(str(images), shrink=2, size=16, scale=2, held_out=0.3, crops=2)
    training, held_out = config.splits()
    assert len(training) + len(held_out) == 40 and 4 < len(held_out) < 22
    assert held_out.image(0).shape == (32, 32, 3)
    squares = config.held_squares(held_out, 5)
    assert squares.images.shape == (5, 16, 16, 3) and squares.low.shape == (5, 8, 8, 3)
    text = host_text(np.zeros((1, 2, 3), np.float32), np.ones((1, 2), bool))
    pairs = config.pairs(training, text)
    assert len(pairs) == 2 * len(training)
    assert next(batches(pairs, batch_size=4, seed=0)).low.shape == (4, 8, 8, 3)


def test_captions_are_held_out_where_there_are_some():
    training, held_out = DegradedDataConfig("shapes", held_out=0.3).splits()
    captions = [{part.caption(i) for i in range(len(part))} for part in (training, held_out)]
    assert captions[0] and captions[1] and not captions[0] & captions[1]


def test_degradations_have_names():
    assert isinstance(DegradedDataConfig().build_degradation(), Chain)
    assert isinstance(DegradedDataConfig(degradation="bicubic").build_degradation(), Always)


def test_a_run_keeps_its_data(tmp_path):
    data = DegradedDataConfig("shapes", size=64, crops=3)
    for name, config in (("one", data), ("two", dataclasses.replace(data, crops=5))):
        Run.create(tmp_path / name, Config(config), "super_resolution")
    assert DegradedDataConfig.of_run(Run.open(tmp_path / "one")) == data
    assert DegradedDataConfig.of_runs([tmp_path / "one", tmp_path / "two"]) == data
    other = dataclasses.replace(data, held_out=0.2, shrink=2)
    Run.create(tmp_path / "other", Config(other), "super_resolution")
    with pytest.raises(ValueError, match="differ in shrink, held_out"):
        DegradedDataConfig.of_runs([tmp_path / "one", tmp_path / "other"])


def test_a_run_of_another_kind_is_refused(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Other:
        data: str = "emoji"

    Run.create(tmp_path, Other(), "pretrain")
    with pytest.raises(ValueError, match=r"received .* of pretrain"):
        DegradedDataConfig.of_run(Run.open(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 3}, "divides 32; got 3"),
        ({"shrink": 0}, "--shrink is at least 1, received 0"),
        ({"crops": 0}, "--crops is at least 1, received 0"),
        ({"held_out": 1.0}, r"\[0, 1\), received --held-out 1"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DegradedDataConfig(**options)
