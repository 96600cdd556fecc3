"""Our record layout: written, read, and met by what is no such thing."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from equildm.data import (
    ArrayRecordSource,
    open_source,
    UnusableSample,
    write_arrayrecord,
)


@pytest.mark.parametrize("quality", [None, 95])
def test_arrayrecord_round_trip(quality, tmp_path, make_source):
    original = make_source(7, broken={2}, mute={5})
    path = tmp_path / "some.arrayrecord"
    assert write_arrayrecord(original, path, jpeg_quality=quality, max_skipped=0.3) == 5
    assert os.listdir(tmp_path) == [path.name]
    source = open_source(str(path))
    assert isinstance(source, ArrayRecordSource)
    usable = [original[index] for index in (0, 1, 3, 4, 6)]
    assert [s.name for s in source] == [s.name for s in usable]
    assert [s.caption for s in source] == [s.caption for s in usable]
    if quality is None:
        for ours, theirs in zip(source, usable, strict=True):
            np.testing.assert_array_equal(ours.image, theirs.image)


def test_arrayrecord_with_nothing_usable_leaves_no_file(tmp_path, make_source):
    with pytest.raises(ValueError, match=r"of 2 none is \(2 x broken image\)"):
        write_arrayrecord(
            make_source(2, broken={0, 1}), tmp_path / "none.arrayrecord", max_skipped=1.0
        )
    assert os.listdir(tmp_path) == []


def test_arrayrecord_layout_is_as_documented(tmp_path, make_source):
    from array_record.python import array_record_module

    original = make_source(1)
    write_arrayrecord(original, tmp_path / "one.arrayrecord")
    reader = array_record_module.ArrayRecordReader(str(tmp_path / "one.arrayrecord"))
    record = reader.read()
    size = int.from_bytes(record[:4], "little")
    header = json.loads(record[4 : 4 + size])
    assert header == {"name": "image 0", "caption": "thing number 0"}
    image = np.asarray(Image.open(io.BytesIO(record[4 + size :])))
    np.testing.assert_array_equal(image, original[0].image)


def test_arrayrecord_of_other_content_is_unusable(tmp_path):
    from array_record.python import array_record_module

    path = tmp_path / "alien.arrayrecord"
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    writer.write(b"\x02\x00\x00\x00{}not an image")
    writer.write(b"\xff\xff\xff\xffxx")
    writer.close()
    source = ArrayRecordSource([path])
    with pytest.raises(UnusableSample, match="missing caption"):
        source[0]
    with pytest.raises(UnusableSample, match="broken image"):
        source.image(0)
    with pytest.raises(UnusableSample, match="unreadable record"):
        source[1]
    assert source.name(1) == "record 1"
