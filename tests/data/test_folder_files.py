"""The list of a folder's files: in the order of their paths, with what lies beside each."""

import itertools
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import FolderSource, open_source, Remarks
from equildm.data.folder_files import Listing, parted


def fill(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


@pytest.mark.parametrize("seed", range(5))
def test_files_come_in_the_order_of_their_paths(seed, tmp_path):
    """Of `pathlib`, which compares folder by folder: "a/b" is before "a-b"."""
    random = np.random.default_rng(seed)
    names = ["a", "a-b", "a.b", "b", "A", "é", "a b", "z.png", "a.png", "a.txt"]
    for _ in range(60):
        parts = [str(random.choice(names)) for _ in range(int(random.integers(1, 4)))]
        path = tmp_path.joinpath(*[f"{part}.d" for part in parts[:-1]], parts[-1])
        fill(tmp_path, path.relative_to(tmp_path))
    listed = [file.path for file in Listing(tmp_path).files()]
    expected = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert listed == [str(path.relative_to(tmp_path)) for path in expected]


def test_a_folder_is_no_neighbour(tmp_path):
    """A folder of the name of a caption file is not read as one."""
    fill(tmp_path, "a.png", "a.txt/1.png", "b.png", "b.caption", "b.txt/2.png", "b.v2.png")
    files = {file.path: file.neighbours for file in Listing(tmp_path).files()}
    captions = {path: near.caption_of(parted(path)[0]) for path, near in files.items()}
    assert captions["a.png"] is None and captions["b.png"] == "b.caption"
    assert captions["b.v2.png"] is None
    assert files["b.caption"].images_of("b.caption") == ["b.png"]


def test_the_suffix_of_a_path():
    expected = {
        "a/b.v2.PNG": ("a/b.v2", ".png"),
        "a.d/b": ("a.d/b", ""),
        "a/.b": ("a/.b", ""),
        "a.": ("a.", ""),
    }
    assert {path: parted(path) for path in expected} == expected


def test_links_end_and_are_counted(tmp_path):
    fill(tmp_path, "a/1.png", "b/2.png")
    os.symlink(tmp_path, tmp_path / "a" / "up")
    os.symlink(tmp_path / "b", tmp_path / "a" / "more")
    remarks = Remarks("data")
    assert [file.path for file in Listing(tmp_path).files(remarks)] == ["a/1.png", "b/2.png"]
    assert remarks.names == {
        "link to a folder that is read already, not followed": ["a/more", "a/up"]
    }


@pytest.fixture
def images(tmp_path, make_source, encode):
    data = encode(make_source(1).image(0))
    for name in ("a.png", "sub/b.png", "sub/c.png"):
        fill(tmp_path, name)
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_metadata_in_parquet(images):
    names, texts = ["a.png", "sub/b.png", None, "gone.png"], ["one", "two", "three", "four"]
    pq.write_table(pa.table({"file_name": names, "text": texts}), images / "metadata.parquet")
    (images / "sub" / "metadata.jsonl").write_text('{"file_name": "c.png", "text": "five"}\n')
    source = open_source(images)
    assert isinstance(source, FolderSource)
    named = [source.name(index) for index in range(len(source))]
    assert named == ["metadata.parquet:2", "a.png", "gone.png", "sub/b.png", "sub/c.png"]
    captions = [source.caption(index) for index in (1, 3, 4)]
    assert captions == ["one", "two", "five"]
    fingerprint = source.fingerprint
    pq.write_table(pa.table({"file_name": names, "text": texts[::-1]}), images / "metadata.parquet")
    assert open_source(images).fingerprint != fingerprint


def test_metadata_of_several_kinds(images):
    row = {"file_name": "a.png", "text": "of lines"}
    pq.write_table(pa.Table.from_pylist([row | {"text": "of rows"}]), images / "metadata.parquet")
    assert open_source(images).caption(0) == "of rows"
    (images / "metadata.jsonl").write_text(json.dumps(row))
    source = open_source(images)
    assert source.caption(0) == "of lines"
    assert source.remarks.counts == {"file ending in .parquet, not used": 1}


def test_damaged_metadata_name_the_file(images):
    (images / "metadata.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"must be parquet; .*metadata\.parquet"):
        open_source(images)
    table = pa.table({"file_name": ["a.png"] * 500, "text": [str(i) for i in range(500)]})
    pq.write_table(table, images / "metadata.parquet", compression="none")
    data = bytearray((images / "metadata.parquet").read_bytes())
    for start in itertools.chain(range(4, 40), range(2000, 2040)):
        data[start] = 255
    (images / "metadata.parquet").write_bytes(data)
    with pytest.raises(OSError, match=r"metadata\.parquet' cannot be read"):
        open_source(images)
