"""Captions from the names of classes: a folder for each, or a column of labels."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tars import write_tar

from equildm.data import FolderSource, index_table, open_source, ParquetSource, Skips
from equildm.data.caption_text import NO_WORDS
from equildm.data.classes import class_caption


@pytest.fixture
def image(make_source, encode) -> bytes:
    return encode(make_source(1)[0].image)


def fill(folder, image, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image)


def captions(source) -> dict[str, str | None]:
    skips = Skips(source)
    indices = range(len(source))
    return {source.name(i): skips.attempt(i, source.caption) for i in indices}


def test_a_folder_for_each_class(tmp_path, image, caplog):
    fill(tmp_path, image, "cat/1.png", "train/guinea_pig/1.png", "train/cat/2.jpg", "loose.png")
    (tmp_path / "README.txt").write_text("not a caption")
    source = open_source(tmp_path)
    assert "no captions but 2 class folders" in caplog.text
    assert captions(source) == {
        "cat/1.png": "cat",
        "loose.png": None,
        "train/cat/2.jpg": "cat",
        "train/guinea_pig/1.png": "guinea pig",
    }
    assert source[0].caption == "cat" and source[0].image.shape == (16, 16, 3)
    mute = open_source(tmp_path, class_folders=False)
    assert set(captions(mute).values()) == {None} and mute.fingerprint != source.fingerprint


@pytest.mark.parametrize("name", ["cat/1.txt", "metadata.jsonl", "dog/metadata.jsonl"])
def test_written_captions_win(tmp_path, image, caplog, name):
    fill(tmp_path, image, "cat/1.png", "dog/1.png")
    target = "cat/1.png" if name == "metadata.jsonl" else "1.png"
    row = json.dumps({"file_name": target, "text": "written"})
    (tmp_path / name).write_text("written" if name.endswith(".txt") else row)
    values = list(captions(FolderSource(tmp_path)).values())
    assert sorted(values, key=str) == [None, "written"] and "class folders" not in caplog.text


def test_one_folder_is_no_class(tmp_path, image):
    fill(tmp_path, image, "images/1.png", "images/2.png")
    assert set(captions(FolderSource(tmp_path)).values()) == {None}


def labelled(path, labels, image, names=("tabby_cat", "dog"), column="label", **columns):
    """A parquet file as the datasets library writes it, with a column of labels."""
    table = pa.table({"image": [image] * len(labels), column: labels, **columns})
    if names is not None:
        features = {column: {"names": list(names), "_type": "ClassLabel"}}
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": text})
    pq.write_table(table, path)
    return path


def test_a_column_of_labels(tmp_path, image, caplog):
    source = open_source(labelled(tmp_path / "t.parquet", [1, 0, -1, None, 2], image))
    assert list(captions(source).values()) == ["dog", "tabby cat", None, None, None]
    assert "names of 2 classes of column label" in caplog.text
    assert "t.parquet:2: missing caption (no class has the label -1)" in caplog.text
    assert source[1].caption == "tabby cat" and source[1].image.shape == (16, 16, 3)


def test_a_caption_column_wins(tmp_path, image, caplog):
    source = ParquetSource([labelled(tmp_path / "t.parquet", [1, 0], image, text=["a", "b"])])
    assert list(captions(source).values()) == ["a", "b"]
    assert "captions are the text of column text" in caplog.text
    by_label = ParquetSource([tmp_path / "t.parquet"], caption_column="label")
    assert list(captions(by_label).values()) == ["dog", "tabby cat"]
    assert by_label.fingerprint != source.fingerprint


def test_labels_of_another_column_and_in_words(tmp_path, image):
    fine = labelled(tmp_path / "fine.parquet", [0, 1], image, column="fine_label")
    source = ParquetSource([fine], caption_column="fine_label")
    assert list(captions(source).values()) == ["tabby cat", "dog"]
    words = labelled(tmp_path / "words.parquet", ["ankle_boot", None], image, None)
    assert list(captions(ParquetSource([words])).values()) == ["ankle boot", None]


def test_labels_without_names_are_refused(tmp_path, image):
    bare = labelled(tmp_path / "bare.parquet", [0, 1], image, None)
    one = labelled(tmp_path / "one.parquet", np.array([0, 1]), image)
    other = labelled(tmp_path / "other.parquet", [0, 1], image, ("dog", "cat"))
    for files in ([bare], [one, bare]):
        with pytest.raises(ValueError, match=r"label must hold text; it holds int64.*ClassLabel"):
            ParquetSource(files)
    with pytest.raises(ValueError, match=r"same classes; got \['tabby_cat', 'dog'\] and \['dog', "):
        ParquetSource([one, other])
    for text in (b"no json", b"[]", b'{"info": {"features": {"label": {"names": 3}}}}'):
        table = pq.read_table(bare).replace_schema_metadata({b"huggingface": text})
        pq.write_table(table, bare)
        with pytest.raises(ValueError, match="label must hold text"):
            ParquetSource([bare])


def test_folders_of_several_splits_are_told(tmp_path, image, caplog):
    fill(tmp_path, image, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png")
    (tmp_path / "README.md").touch()
    assert len(open_source(tmp_path)) == 3
    assert "several splits, and all are used: test, train. Name one" in caplog.text
    caplog.clear()
    assert len(open_source(tmp_path / "train")) == 2
    fill(tmp_path, image, "plane/1.png")
    assert len(open_source(tmp_path)) == 4  # classes, of which one is a train
    assert "several splits" not in caplog.text


def test_one_caption_file_is_told_where_folders_are_no_classes(tmp_path, image):
    fill(tmp_path, image, "cat/1.png", "cat/2.png", "dog/1.png")
    (tmp_path / "cat" / "2.txt").write_text("a tabby")
    remarks = open_source(tmp_path).remarks
    reason = "image without a caption, for folders are no classes where files have captions"
    assert remarks.counts == {reason: 2}
    assert remarks.names == {reason: ["captions in cat/2.txt"]}


def test_numbers_as_captions_are_counted_again_from_a_table(tmp_path, image, monkeypatch):
    monkeypatch.setattr(index_table, "ROWS", 1)
    fill(tmp_path, image, "1.png", "2.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\n1.png,7\n2.png,cat\n")
    for _ in range(2):
        source = open_source(tmp_path)
        source.caption_hashes()
        assert source.remarks.counts == {NO_WORDS: 1}


def test_numbers_as_captions_are_counted(tmp_path, image):
    fill(tmp_path, image, "1.png", "2.png", "3.png")
    (tmp_path / "metadata.csv").write_text("file_name,text\n1.png,7\n2.png,None\n3.png,7 cats\n")
    source = open_source(tmp_path)
    assert list(captions(source).values()) == ["7", "None", "7 cats"]
    assert source.remarks.counts == {NO_WORDS: 2}


def test_bytes_in_metadata_are_no_caption(tmp_path, image):
    fill(tmp_path, image, "1.png", "2.png")
    columns = {"file_name": ["1.png", "2.png"], "text": [b"cat", None]}
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    assert list(captions(open_source(tmp_path)).values()) == [None, None]


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_files_of_one_name_are_told_apart(tmp_path, image, kind):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / f"part-0.{kind}"
        if kind == "parquet":
            pq.write_table(pa.table({"image": [image], "text": [folder]}), path)
        else:
            write_tar(path, [("1.png", image), ("1.txt", folder.encode())])
    source = open_source(f"{tmp_path}/*/part-0.{kind}")
    end = {"parquet": "0", "tar": "1"}[kind]
    assert captions(source) == {f"{f}/part-0.{kind}:{end}": f for f in "ab"}
    assert source.name(0) != open_source(f"{tmp_path}/a/part-0.{kind}").name(0)


def test_a_folder_named_as_a_built_in_set(tmp_path, image, caplog, monkeypatch):
    fill(tmp_path, image, "shapes/cat/1.png", "shapes/dog/1.png")
    monkeypatch.chdir(tmp_path)
    assert len(open_source("shapes")) == 2304 and "the folder here of that name" in caplog.text
    assert len(open_source("./shapes")) == 2


def test_names_of_classes_are_words():
    assert class_caption(" golden__retriever ") == "golden retriever"
