"""Captions as files hold them: marks, encodings, lone surrogates, lists."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import (
    ArrayRecordSource,
    ArrowSource,
    FolderSource,
    ParquetSource,
    Skips,
    split,
    UnusableSample,
    WebDatasetSource,
    write_arrayrecord,
)
from equildm.data.caption_text import clean_captions, UNREADABLE, UNUSED


@pytest.fixture
def image(make_source, encode):
    return encode(make_source(1).image(0))


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]
"""Python writes all but the first with a mark."""


@pytest.mark.parametrize("big_end", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "txt", "tar txt", "tar json"])
def test_every_encoding_with_a_mark(kind, encoding, big_end, tmp_path, image):
    def encoded(text):
        if big_end and encoding in ("utf-16", "utf-32"):
            return ("\ufeff" + text).encode(f"{encoding}-be")
        return text.encode(encoding)

    texts = ["ein Kätzchen \u2028 sitzt", "ein Hund"]
    if kind.startswith("tar"):
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            for number, text in enumerate(texts):
                caption = text if kind == "tar txt" else json.dumps({"text": text})
                for suffix, data in ((".png", image), ("." + kind[4:], encoded(caption))):
                    entry = tarfile.TarInfo(f"{number}{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
        source = WebDatasetSource([tmp_path / "a.tar"])
    else:
        names = ["0.png", "1.png"]
        for name in names:
            (tmp_path / name).write_bytes(image)
        if kind == "txt":
            for number, text in enumerate(texts):
                (tmp_path / f"{number}.txt").write_bytes(encoded(text))
        else:
            rows = [
                json.dumps({"file_name": name, "text": text}, ensure_ascii=False)
                for name, text in zip(names, texts, strict=True)
            ]
            if kind == "csv":
                rows = ["file_name,text", *map(",".join, zip(names, texts, strict=True))]
            (tmp_path / f"metadata.{kind}").write_bytes(encoded("\n".join(rows) + "\n"))
        source = FolderSource(tmp_path)
    assert [source.caption(index) for index in range(len(source))] == [
        "ein Kätzchen sitzt",
        "ein Hund",
    ]
    assert source.remarks.counts == {}


def test_utf_16_without_a_mark_is_refused_by_name(tmp_path, image):
    (tmp_path / "a.png").write_bytes(image)
    (tmp_path / "a.txt").write_bytes("a cat".encode("utf-16-le"))
    with pytest.raises(UnusableSample, match=r"a\.png: unreadable caption \(NUL .* UTF-8\)"):
        FolderSource(tmp_path).caption(0)


def test_lone_surrogates_are_replaced_and_counted(tmp_path, image, make_source, caplog, build):
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(image)
    rows = [
        f'{{"file_name": "{number}.png", "text": "broken \\ud83d {number}"}}' for number in range(8)
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    source = FolderSource(tmp_path)
    training, _ = split(source, 0.05, by="caption")
    assert source.caption(2) == "broken \ufffd 2"
    assert source.remarks.counts == {UNREADABLE: 8}
    assert f"{UNREADABLE}, as in 0.png" in caplog.text
    assert f"8 x {UNREADABLE} (0.png, 1.png, 2.png, 3.png, 4.png, ...)" in caplog.text
    assert len(build(training)) == len(training)


def test_surrogates_in_names(tmp_path, image):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for suffix, data in ((".png", image), (".txt", b"a caption")):
            entry = tarfile.TarInfo("caf\udce9" + suffix)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    source = WebDatasetSource([tmp_path / "a.tar"])
    assert source.name(0) == "a.tar:caf\\udce9" and source.caption(0) == "a caption"
    training, held_out = split(source, 0.05, by="image")
    assert len(training) + len(held_out) == 1
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "caf\udce9.png").write_bytes(image)
    folder = FolderSource(tmp_path / "folder")
    assert folder.name(0) == "caf\\udce9.png" and folder.fingerprint
    split(folder, 0.05, by="image")


def test_text_that_is_not_utf_8_is_replaced_and_counted(tmp_path, image):
    (tmp_path / "a.png").write_bytes(image)
    (tmp_path / "a.txt").write_bytes("a café".encode("latin-1"))
    column = pa.array([b"a caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"image": [image], "text": column}), tmp_path / "a.parquet")
    for source in (FolderSource(tmp_path), ParquetSource([tmp_path / "a.parquet"])):
        assert source.caption(0) == "a caf\ufffd"
        assert source.remarks.counts.get(UNREADABLE) == 1


def test_all_texts_of_a_list_are_captions_and_what_is_no_text_is_counted(tmp_path, image, caplog):
    (tmp_path / "a.png").write_bytes(image)
    (tmp_path / "b.png").write_bytes(image)
    rows = [
        '{"file_name": "a.png", "text": ["first", "second", "third"]}',
        '{"file_name": "b.png", "text": ["", 3, "only"]}',
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    lists = [["first", "second", "third"], ["", "only"], []]
    table = pa.table({"image": [image] * 3, "text": lists})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("a.png", image), ("a.json", b'{"text": ["first", "second"]}')):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    folder = FolderSource(tmp_path)
    expected = [("first", "second", "third"), ("only",)]
    assert [folder.captions(index) for index in (0, 1)] == expected
    assert [folder.caption(index) for index in (0, 1, 0)] == ["first", "only", "first"]
    assert folder.remarks.counts[UNUSED] == 2
    for kind, suffix in ((ParquetSource, "parquet"), (ArrowSource, "arrow")):
        rows = kind([tmp_path / f"a.{suffix}"])
        skips = Skips(rows)
        assert [skips.attempt(index, rows.captions) for index in range(3)] == [*expected, None]
        assert [skips.attempt(index, rows.caption) for index in range(3)] == ["first", "only", None]
        assert rows.remarks.counts == {UNUSED: 1}
    tars = WebDatasetSource([tmp_path / "a.tar"])
    assert tars.captions(0) == ("first", "second") and tars.remarks.counts == {}
    assert f"{UNUSED}, as in b.png" in caplog.text


def test_surrogates_in_records(tmp_path, make_source):
    from array_record.python import array_record_module

    write_arrayrecord(make_source(1), tmp_path / "a.arrayrecord")
    record = array_record_module.ArrayRecordReader(str(tmp_path / "a.arrayrecord")).read()
    header = b'{"name": "x\\ud800", "caption": ["y\\udfff", "z"]}'
    image = record[4 + int.from_bytes(record[:4], "little") :]
    writer = array_record_module.ArrayRecordWriter(str(tmp_path / "b.arrayrecord"), "group_size:1")
    writer.write(len(header).to_bytes(4, "little") + header + image)
    writer.close()
    source = ArrayRecordSource([tmp_path / "b.arrayrecord"])
    assert (source.name(0), source.caption(0)) == ("x\\ud800", "y\ufffd")
    assert source.captions(0) == ("y\ufffd", "z")
    assert source.remarks.counts == {UNREADABLE: 1}


@pytest.mark.parametrize("text", ["[" * 100000, '{"a":' * 100000, "1" * 5000, "\ud800", ""])
def test_json_that_no_parser_takes(text, tmp_path, image):
    (tmp_path / "a.png").write_bytes(image)
    rows = '{"file_name": "a.png", "text": "a caption"}\n'
    line = text.encode("utf-8", "replace")
    (tmp_path / "metadata.jsonl").write_bytes(rows.encode() + line + b"\n")
    source = FolderSource(tmp_path)
    skips = Skips(source)
    samples = [skips.attempt(index, source.__getitem__) for index in range(len(source))]
    assert [sample.caption for sample in samples if sample is not None] == ["a caption"]


@pytest.mark.parametrize(
    ("value", "captions"),
    [
        ("\ufeffa  cat\n", ("a cat",)),
        ("\ud83d\ude00 x", ("\ufffd\ufffd x",)),
        (("a", "b", " a "), ("a", "b")),
        (["c\0d", None, "e"], ("e",)),
    ],
)
def test_clean(value, captions):
    assert clean_captions(value, "a") == captions


@pytest.mark.parametrize(
    ("value", "reason"),
    [([], "missing caption"), (["", 3], "missing caption"), (["a\0"], "unreadable caption")],
)
def test_a_list_without_a_text_is_no_caption(value, reason):
    with pytest.raises(UnusableSample, match=reason):
        clean_captions(value, "a")


def test_records_hold_all_captions(tmp_path, image):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("a.png", image), ("a.json", b'{"text": ["one", "two"]}')):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    write_arrayrecord(WebDatasetSource([tmp_path / "a.tar"]), tmp_path / "a.arrayrecord")
    assert ArrayRecordSource([tmp_path / "a.arrayrecord"]).captions(0) == ("one", "two")
