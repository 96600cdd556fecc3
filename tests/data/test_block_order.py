"""Files one after the other, samples mixed within a window of files."""

import io
import itertools
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import (
    batches,
    CaptionedDataConfig,
    Crop,
    ImageDataConfig,
    ImageDataset,
    InMemory,
    open_source,
    split,
    Subset,
    write_arrayrecord,
)
from equildm.data.block_order import BlockOrder

STARTS, COUNT = np.array([0, 5, 6, 20, 31]), 40


@pytest.mark.parametrize("window", [1, 2, 3, 5, 9])
def test_each_sample_once_an_epoch(window):
    order = BlockOrder(STARTS, COUNT, window, seed=3)
    drawn = [order(position) for position in range(3 * COUNT)]
    for epoch in range(3):
        assert sorted(drawn[epoch * COUNT : (epoch + 1) * COUNT]) == list(range(COUNT))
    assert drawn[:COUNT] != drawn[COUNT : 2 * COUNT]
    # A function of the position: the same in any order, and for another object.
    again = BlockOrder(STARTS, COUNT, window, seed=3)
    assert [again(position) for position in reversed(range(3 * COUNT))] == drawn[::-1]
    assert [BlockOrder(STARTS, COUNT, window, seed=4)(p) for p in range(COUNT)] != drawn[:COUNT]


@pytest.mark.parametrize("window", [1, 2])
def test_few_files_are_read_at_a_time(window):
    order = BlockOrder(STARTS, COUNT, window, seed=0)
    files = np.searchsorted(STARTS, [order(p) for p in range(COUNT)], side="right") - 1
    # A file that was left does not come again.
    last = {file: position for position, file in enumerate(files)}
    first = {file: position for position, file in reversed(list(enumerate(files)))}
    for position in range(COUNT):
        opened = [f for f in first if first[f] <= position <= last[f]]
        assert len(opened) <= window


def test_samples_are_mixed():
    order = BlockOrder(np.array([0, 500, 1000]), 1500, 2, seed=0)
    drawn = np.array([order(position) for position in range(1500)])
    assert np.abs(np.diff(drawn)).mean() > 100


def test_a_window_has_a_file():
    with pytest.raises(ValueError, match=r"At least 1 file .* window of 0"):
        BlockOrder(STARTS, COUNT, 0, seed=0)


@pytest.fixture(params=["tar", "parquet", "arrayrecord"])
def files(request, tmp_path, make_source, encode):
    """Three files of 7, 5 and 8 images, as a source."""
    samples, first = list(make_source(20, side=8)), 0
    for number, size in enumerate((7, 5, 8)):
        part, path = samples[first : first + size], tmp_path / f"{number}.{request.param}"
        first += size
        if request.param == "tar":
            with tarfile.open(path, "w") as archive:
                for sample in part:
                    for suffix, data in ((".png", encode(sample.image)), (".txt", b"a caption")):
                        info = tarfile.TarInfo(f"{sample.name}{suffix}")
                        info.size = len(data)
                        archive.addfile(info, io.BytesIO(data))
        elif request.param == "parquet":
            images = [encode(sample.image) for sample in part]
            pq.write_table(pa.table({"image": images, "text": ["a caption"] * size}), path)
        else:
            write_arrayrecord(Subset(make_source(20, side=8), range(first - size, first)), path)
    return open_source(str(tmp_path / f"*.{request.param}"))


def test_sources_tell_where_files_begin(files):
    np.testing.assert_array_equal(files.file_starts, [0, 7, 12])
    np.testing.assert_array_equal(InMemory(files).file_starts, [0, 7, 12])
    subset = Subset(files, [1, 3, 12, 13, 19])
    np.testing.assert_array_equal(subset.file_starts, [0, 2])
    training, _ = split(files, 0.2, by="image")
    assert training.file_starts[0] == 0 and len(training.file_starts) <= 3


def test_images_of_a_file_come_together(files):
    """Resumed, and for two processes, the batches are the same."""
    dataset = ImageDataset(files, Crop(8), shuffle_files=1)
    taken = list(itertools.islice(batches(dataset, batch_size=4, seed=1), 10))
    by_bytes = {files.image(index).tobytes(): index for index in range(20)}
    order = [by_bytes[image.tobytes()] for batch in taken for image in batch.images]
    assert sorted(order[:20]) == sorted(order[20:]) == list(range(20))
    number = np.searchsorted(files.file_starts, order[:20], side="right")
    assert np.count_nonzero(np.diff(number)) == 2
    resumed = itertools.islice(batches(dataset, batch_size=4, seed=1, start=6), 4)
    for batch, expected in zip(resumed, taken[6:], strict=True):
        np.testing.assert_array_equal(batch.images, expected.images)
    parts = [batches(dataset, batch_size=4, seed=1, parts=(part,), of=2) for part in (0, 1)]
    for first, second, expected in zip(*parts, taken, strict=False):
        np.testing.assert_array_equal(
            np.concatenate([first.images, second.images]), expected.images
        )


@pytest.mark.parametrize("config", [ImageDataConfig, CaptionedDataConfig])
def test_option(config):
    assert config().shuffle_files is None and config(shuffle_files=2).shuffle_files == 2
    with pytest.raises(ValueError, match="received --shuffle-files 0"):
        config(shuffle_files=0)
