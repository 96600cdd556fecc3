"""The folder of a study: its options, images and table."""

import numpy as np
import pytest

from equildm.metrics import ExtractorConfig
from equildm.study import SampleSetConfig, StudyConfig, StudyFolder


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path / "study")


def test_options_come_back(folder):
    assert folder.read_options(StudyConfig) is None
    options = StudyConfig(stale=60.0, samples=SampleSetConfig(count=48))
    folder.write_options(options)
    assert folder.read_options(StudyConfig) == options


def test_options_of_another_version_are_named(folder):
    folder.write_options(StudyConfig())
    folder.options.write_text('{"class": "Config", "widths": [16]}')
    with pytest.raises(ValueError, match=r"'widths' .*remove .*study.json, and pass the options"):
        folder.read_options(StudyConfig)


def test_images_come_back(folder, make_row):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    row = make_row()
    assert folder.images(row) is None
    folder.save_images(row.point, images)
    np.testing.assert_array_equal(folder.images(row), images)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("split", "training"), ("count", 48), ("real", 9), ("groups", 3)],
        *[("resize", "antialiased"), ("features", "alexnet")],
    ],
)
def test_rows_keep_the_options_that_scores_depend_on(folder, tmp_path, option, value):
    inception = tmp_path / "inception.safetensors"
    earlier = SampleSetConfig(extractor=ExtractorConfig(inception=inception))
    if option == "features":
        earlier = SampleSetConfig()
        now = SampleSetConfig(extractor=ExtractorConfig(features=value))
    elif option == "resize":
        now = SampleSetConfig(extractor=ExtractorConfig(inception=inception, resize=value))
    else:
        now = SampleSetConfig(**{option: value}, extractor=earlier.extractor)
    folder.check_unchanged(earlier, now)  # there are no rows yet
    folder.rows()
    folder.check_unchanged(earlier, SampleSetConfig(images=1, extractor=earlier.extractor))
    with pytest.raises(ValueError, match=rf"{option}=.*received {value}.*use another folder"):
        folder.check_unchanged(earlier, now)


def test_the_table_is_put_together_of_all_rows(folder, make_row):
    with pytest.raises(ValueError, match="holds no row yet"):
        folder.write_table()
    rows = [make_row(steps=steps) for steps in (4, 2)]
    for row in rows:
        folder.rows().write(row)
    assert folder.write_table() == rows[::-1] and folder.table.is_file()
