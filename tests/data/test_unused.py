"""What lies in a data set and is not used is counted, and named in the log."""

import io
import json
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import features
from tars import write_tar

from equildm.data import decode_image, FolderSource, open_source, Skips, WebDatasetSource
from equildm.data.caption_text import BESIDE


@pytest.fixture
def image(make_source, encode):
    return encode(make_source(1).image(0))


def captions(source):
    skips = Skips(source)
    samples = [skips.attempt(index, source.__getitem__) for index in range(len(source))]
    return {sample.name: sample.caption for sample in samples if sample is not None}


def test_members_with_dots_in_their_names(tmp_path, image):
    path = write_tar(
        tmp_path / "a.tar",
        [
            ("a/img.v2.png", image),
            ("a/img.v2.txt", b"its own"),
            ("a/img.v3.PNG", image),
            ("a/img.v3.caption", b"the third"),
            ("b.left.jfif", image),
            ("b.right.png", image),
            ("b.txt", b"of both"),
            ("./plain.png", image),
            ("./plain.txt", b"plain"),
        ],
    )
    source = WebDatasetSource([path])
    assert captions(source) == {
        "a.tar:a/img.v2": "its own",
        "a.tar:a/img.v3": "the third",
        "a.tar:b.left": "of both",
        "a.tar:b.right": "of both",
        "a.tar:./plain": "plain",
    }
    assert source.remarks.counts == {}


def test_members_that_are_not_used(tmp_path, image, caplog):
    path = tmp_path / "a.tar"
    write_tar(
        path,
        [
            ("1.png", image),
            ("1.txt", b"one"),
            ("1.json", b"{}"),
            ("1.seg.png", image),
            ("1.cls", b"3"),
            ("2.png", image),
            ("2.jpg", image),
            ("2.txt", b"two"),
            ("3.txt", b"no image"),
            ("4.heic", image),
            ("4.txt", b"four"),
            (".hidden", b""),
            ("README", b"read me"),
        ],
    )
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("5.png")
        link.type, link.linkname = tarfile.SYMTYPE, "1.png"
        tar.addfile(link)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        entry = tarfile.TarInfo("2.txt")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"new"))
    source = WebDatasetSource([path])
    assert captions(source) == {"a.tar:1": "one", "a.tar:2": "new"}
    assert source.remarks.counts == {
        "hidden member, not used": 1,
        "member that is a link or no plain file, not used": 1,
        "earlier member of a name that comes again, not used": 1,
        "member ending in .json, not used": 1,
        "further image of a key, not used": 2,
        "member ending in .cls, not used": 1,
        "caption without an image, not used": 2,
        "member ending in .heic, not used": 1,
        "member without a suffix, not used": 1,
    }
    lines = [line for line in caplog.messages if line.startswith("a.tar: ")]
    assert len(lines) == 9
    assert "a.tar: 2 x further image of a key, not used (a.tar:1.seg.png, a.tar:2.jpg)" in lines


def test_files_that_are_not_used(tmp_path, image, caplog):
    for name in ("a.png", "b.jfif", "c.JPG", "d.heic", "e.heic", "sub/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(image)
    for name in ("a.txt", "a.caption", "b.caption", "c.TXT", "lonely.txt", "README", ".DS_Store"):
        (tmp_path / name).write_text(name)
    os.symlink(tmp_path / "nowhere", tmp_path / "broken.png")
    source = FolderSource(tmp_path)
    assert captions(source) == {"a.png": "a.txt", "b.jfif": "b.caption", "c.JPG": "c.TXT"}
    assert source.remarks.counts == {
        "hidden file, not used": 1,
        "broken link or no plain file, not used": 1,
        "file without a suffix, not used": 1,
        ".caption file that is no image's caption, not used": 1,
        "file ending in .heic, not used": 2,
        ".txt file that is no image's caption, not used": 1,
    }
    line = f"{tmp_path}: 2 x file ending in .heic, not used (d.heic, e.heic)"
    assert caplog.messages.count(line) == 1
    FolderSource(tmp_path)
    assert caplog.messages.count(line) == 2  # once at each opening


def test_linked_folders_are_followed_once(tmp_path, image):
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root / "own", other / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(image)
        (folder / "a.txt").write_text(folder.name)
    os.symlink(other, root / "b")
    os.symlink(other, root / "c")
    os.symlink(root, root / "own" / "up")
    os.symlink(root / "own", root / "again")
    source = FolderSource(root)
    assert captions(source) == {"own/a.png": "own", "b/deep/a.png": "deep"}
    assert source.remarks.counts == {"link to a folder that is read already, not followed": 3}
    assert set(source.remarks.names.popitem()[1]) == {"again", "c", "own/up"}


def test_metadata_of_one_file_twice_and_names_spelled_differently(tmp_path, image):
    for name in ("Cat.PNG", "dog.png", "caf\u00e9.png", "x.png", "X.png"):
        (tmp_path / name).write_bytes(image)
    rows = [
        ("cat.png", "a cat"),
        ("dog.png", "the first"),
        ("./dog.png", "the second"),
        ("cafe\u0301.png", "a café"),
        ("x.png", "small"),
        ("X.png", "large"),
    ]
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in rows]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    source = FolderSource(tmp_path)
    assert captions(source) == {
        "Cat.PNG": "a cat",
        "dog.png": "the first",
        "caf\u00e9.png": "a café",
        "x.png": "small",
        "X.png": "large",
    }
    assert source.remarks.names == {
        "further line of metadata for one file, not used": ["metadata.jsonl:3"],
        "file name that metadata spell differently, used": ["metadata.jsonl:1", "metadata.jsonl:4"],
    }


def test_a_line_without_the_caption_leaves_it_to_the_file_beside_the_image(tmp_path, image):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(image)
        (tmp_path / f"{name}.txt").write_text(f"beside {name}")
    lines = [{"file_name": "a.png", "long": "of the line"}, {"file_name": "b.png", "short": "b"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = FolderSource(tmp_path, caption_column="long")
    for _ in range(2):
        assert captions(source) == {"a.png": "of the line", "b.png": "beside b"}
    assert source.remarks.counts == {".txt file that is no image's caption, not used": 1, BESIDE: 1}
    assert source.remarks.names[BESIDE] == ["b.png"]


def test_metadata_in_a_table(tmp_path, image):
    for name in ("a.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(image)
    (tmp_path / "metadata.csv").write_text('file_name,text\na.png,"one, two"\nsub/b.png,three\n')
    (tmp_path / "sub" / "metadata.jsonl").write_text('{"file_name": "../a.png", "text": "other"}\n')
    (tmp_path / "sub" / "metadata.csv").write_text("file_name,text\nb.png,four\n")
    source = FolderSource(tmp_path)
    assert captions(source) == {"a.png": "one, two", "sub/b.png": "three"}
    assert source.remarks.counts == {
        "further line of metadata for one file, not used": 1,
        "file ending in .csv, not used": 1,
    }


def test_files_beside_tars(tmp_path, image, caplog):
    for name in ("a.tar", "b.TAR"):
        write_tar(tmp_path / name, [(f"{name[0]}.png", image), (f"{name[0]}.txt", b"x")])
    (tmp_path / "more").mkdir()
    (tmp_path / "sizes.json").write_text("{}")
    assert len(open_source(tmp_path)) == 2
    assert f"{tmp_path}: 1 x folder beside .tar files, not used (more)" in caplog.messages
    assert "1 x file ending in .json beside .tar files, not used (sizes.json)" in caplog.text


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path, make_source, encode):
    pixels = np.full((16, 16, 3), [200, 30, 90], np.uint8)
    (tmp_path / "a.avif").write_bytes(encode(pixels, "AVIF", quality=95))
    source = FolderSource(tmp_path)
    np.testing.assert_allclose(source.image(0), pixels, atol=6)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIF or AVIF"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"<svg xmlns='x'/>", "SVG"),
    ],
)
def test_formats_that_are_not_decoded_are_unsupported_not_broken(data, kind):
    with pytest.raises(ValueError, match=rf"a: unsupported image \({kind}\)"):
        decode_image(data, "a")


def test_parquet_files_without_rows(tmp_path, image, caplog):
    table = pa.table({"image": [image], "text": ["a"]})
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(table[:0], tmp_path / "b.parquet")
    assert len(open_source(tmp_path)) == 1
    assert "1 x file without rows (b.parquet)" in caplog.text


def test_remarks_are_in_the_manifest_of_a_cache(tmp_path, image, build):
    (tmp_path / "a.png").write_bytes(image)
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.heic").write_bytes(image)
    cache = build(FolderSource(tmp_path))
    assert cache.manifest["remarks"] == {
        "file ending in .heic, not used": 1,
        "caption with characters that cannot be read, replaced": 1,
    }
