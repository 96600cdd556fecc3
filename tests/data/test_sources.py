"""Every kind of source returns the images and captions that were put in it."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import (
    FolderSource,
    open_source,
    ParquetSource,
    Skips,
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
    captions = {sample.image.tobytes(): sample.caption for sample in source}
    assert captions == {sample.image.tobytes(): sample.caption for sample in original}
    assert len({sample.name for sample in source}) == 10
    # The same data read again has the same fingerprint; other captions another.
    assert open_source(str(spec)).fingerprint == source.fingerprint
    changed = [sample._replace(caption=sample.caption + "!") for sample in original]
    other = _write(kind, tmp_path / "other", changed, encode)
    assert open_source(str(other)).fingerprint != source.fingerprint


def test_folder_captions(tmp_path, make_source, encode, caplog):
    image = encode(make_source(1)[0].image)
    for name in ("listed.png", "beside.png", "mute.png", "null.png", "both.png"):
        (tmp_path / name).write_bytes(image)
    (tmp_path / "beside.txt").write_text("  from \n beside ")
    (tmp_path / "both.txt").write_text("beside")
    (tmp_path / ".hidden.png").write_bytes(image)
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
    captions = {}
    for index in range(len(source)):
        sample = skips.attempt(index, source.__getitem__)
        if sample is not None:
            captions[sample.name] = sample.caption
    assert captions == {
        "listed.png": "from metadata",
        "beside.png": "from beside",
        "both.png": "listed",
    }
    assert skips.names == {
        "missing caption": ["mute.png", "null.png"],
        "unreadable record": ["metadata.jsonl:5", "gone.png"],
    }
    assert "mute.png" in caplog.text and "metadata.jsonl:5" in caplog.text


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

    monkeypatch.setattr(parquet, "_MEMORY", 1)
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
    assert len(source._columns) == 2
