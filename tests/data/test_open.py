"""What `open_source` takes, and what it says of what it does not take."""

import gzip
import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import (
    EmojiSource,
    FolderSource,
    open_source,
    ParquetSource,
    ShapesSource,
    UnusableSample,
    WebDatasetSource,
)


def test_names():
    assert isinstance(open_source("emoji"), EmojiSource)
    assert isinstance(open_source("shapes"), ShapesSource)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "emoji, .*shapes, .*a folder.*'nowhere'.*Check the spelling"),
        ("nowhere/*.tar", "got 'nowhere/"),
        ("", "got an empty text"),
        ("n" * 300, "got 'nnn"),
        ("{" + ",".join(f"part-{i:05d}" for i in range(40)) + "}.parquet", "got '{part-00000"),
    ],
)
def test_what_does_not_exist(spec, message):
    with pytest.raises(ValueError, match=message):
        open_source(spec)


def test_unfit_files(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.csv").write_text("a,b")
    (tmp_path / "false.tar").write_bytes(b"no tar" * 500)
    (tmp_path / "packed.tar").write_bytes(gzip.compress(b"x" * 2000))
    (tmp_path / "false.parquet").write_bytes(b"no parquet" * 100)
    (tmp_path / "false.arrayrecord").write_bytes(b"no records" * 100)
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.png").write_bytes(b"")
    (tmp_path / "mixed" / "a.tar").write_bytes(b"")
    for name, message in {
        "mixed": "loose images and a.tar",
        "empty": "holds none",
        "data.csv": "must end in .tar, .parquet, .arrayrecord",
        "false.tar": "uncompressed",
        "packed.tar": "uncompressed",
        "false.parquet": "must be parquet",
        "false.arrayrecord": "damaged, cut off or no such file",
        "false.*": "of one kind",
    }.items():
        with pytest.raises(ValueError, match=message):
            open_source(str(tmp_path / name))


def test_no_files_and_no_folder(tmp_path):
    for kind in (WebDatasetSource, ParquetSource):
        with pytest.raises(ValueError, match="at least one"):
            kind([])
    with pytest.raises(ValueError, match="existing directory"):
        FolderSource(tmp_path / "none")
    with pytest.raises(ValueError, match="must exist"):
        WebDatasetSource([tmp_path / "none.tar"])


def test_unknown_columns(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": [b"x"], "text": ["a"], "width": [3]}), path)
    with pytest.raises(ValueError, match=r"column picture; it has image, text, width"):
        ParquetSource([path], image_column="picture")
    with pytest.raises(ValueError, match=r"column words; it has .* Pass caption_column"):
        ParquetSource([path], caption_column="words")
    with pytest.raises(ValueError, match=r"must hold text; it holds int64"):
        ParquetSource([path], caption_column="width")
    with pytest.raises(ValueError, match=r"must hold bytes .*; it holds string"):
        ParquetSource([path], image_column="text")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "title": "x"}\n')
    with pytest.raises(ValueError, match=r"text or caption, found file_name, title"):
        FolderSource(tmp_path)
    with pytest.raises(ValueError, match=r"looked for words"):
        FolderSource(tmp_path, caption_column="words")


def test_columns_of_views(tmp_path):
    """As newer writers of Arrow make them."""
    image, text = pa.array([b"bytes"], pa.binary_view()), pa.array(["a cat"], pa.string_view())
    table = pa.table({"image": image, "text": text})
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)
    assert open_source(str(tmp_path / "a.arrow")).caption(0) == "a cat"


def test_empty_parquet(tmp_path):
    schema = pa.schema({"image": pa.binary(), "text": pa.string()})
    pq.write_table(schema.empty_table(), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="must hold rows"):
        ParquetSource([tmp_path / "t.parquet"])


def test_a_long_list_in_braces(tmp_path):
    """Longer than a file's name may be."""
    table = pa.table({"image": [b"x"], "text": ["a"]})
    names = [f"part-{i:05d}" for i in range(30)]
    for name in names:
        pq.write_table(table, tmp_path / f"{name}.parquet")
    assert len(open_source(f"{tmp_path}/{{{','.join(names)}}}.parquet")) == 30


def test_files_with_captions_in_different_columns(tmp_path):
    table = pa.table({"image": [b"x"], "text": ["a"]})
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(table.rename_columns(["image", "caption"]), tmp_path / "b.parquet")
    with pytest.raises(
        ValueError, match=r"same caption column; a\.parquet has text; b\.parquet has caption"
    ):
        open_source(str(tmp_path))


def test_a_comma_out_of_quotes_cuts_no_caption(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    rows = 'file_name,text\na.png,a cat, sitting\nb.png,"a dog, sitting"\n'
    (tmp_path / "metadata.csv").write_text(rows)
    source = open_source(str(tmp_path))
    captions = []
    for i in range(len(source)):
        try:
            captions.append(source.caption(i))
        except UnusableSample as error:
            captions.append(str(error))
    skipped = "metadata.csv:2: unreadable record (no JSON object or row with a file_name"
    assert "a dog, sitting" in captions and any(text.startswith(skipped) for text in captions)
    assert "a cat" not in captions
    (tmp_path / "metadata.csv").write_text(rows + 'a.png,"open\nb.png,two\n')
    with pytest.raises(ValueError, match="a table of commas and quotes"):
        open_source(str(tmp_path))


def test_a_header_with_spaces_or_other_marks(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "metadata.csv").write_text("file_name , text\na.png, a cat\n")
    assert open_source(str(tmp_path)).caption(0) == "a cat"
    for mark in ";\t":
        (tmp_path / "metadata.csv").write_text(f"file_name{mark}text\na.png{mark}a cat\n")
        with pytest.raises(
            ValueError, match=r"must be parted by commas; .*Write it again with comm"
        ):
            open_source(str(tmp_path))


def test_a_packed_file_is_to_be_unpacked(tmp_path):
    (tmp_path / "images.tar.gz").touch()
    with pytest.raises(ValueError, match=r"images\.tar\.gz'\. Unpack it"):
        open_source(str(tmp_path / "images.tar.gz"))


def test_the_field_that_is_asked_for_is_that_of_the_json_member(tmp_path):
    members = {"a.png": b"", "a.txt": b"short", "a.json": b'{"long": "a long caption"}'}
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    assert open_source(str(tmp_path / "a.tar")).caption(0) == "short"
    assert open_source(f"{tmp_path}/a.tar?caption=long").caption(0) == "a long caption"
    with pytest.raises(UnusableSample, match="missing caption"):
        open_source(f"{tmp_path}/a.tar?caption=other").caption(0)


def test_a_field_that_no_metadata_have_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "a.txt").write_text("short")
    with pytest.raises(ValueError, match=r"looked for long, found no such file\. Pass"):
        open_source(f"{tmp_path}?caption=long")
