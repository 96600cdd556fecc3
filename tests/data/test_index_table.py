"""Tables about large data sets: built once, mapped from then on, and as good as reading."""

import errno
import importlib
import json
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import ROOT
from tars import write_tar

from equildm.data import open_source, Skips, split
from equildm.data.index_table import index_folder, index_table

module = importlib.import_module("equildm.data.index_table")

SCHEMA = pa.schema([("number", pa.uint64()), ("text", pa.string())])


@pytest.fixture(autouse=True)
def small_batches(tmp_path, monkeypatch):
    """Tables of more than four rows go to the disk, into a folder of the test."""
    monkeypatch.setattr(module, "ROWS", 4)
    monkeypatch.setenv("EQUILDM_INDEX", str(tmp_path / "index"))


def scan(count, calls=None):
    def rows():
        if calls is not None:
            calls.append(count)
        for number in range(count):
            yield number, f"row {number}" if number % 3 else None
        return {"last": count}

    return rows


@pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 23])
def test_rows_come_back(count, caplog):
    calls = []
    for _ in range(2):
        table = index_table("key", "data", SCHEMA, scan(count, calls))
        assert len(table) == count and table.about == {"last": count}
        np.testing.assert_array_equal(table.column("number"), np.arange(count))
        expected = [(f"row {n}" if n % 3 else None, n) for n in range(count)]
        assert [table.row(n, "text", "number") for n in range(count)] == expected
    is_large = count > 4
    assert len(calls) == (1 if is_large else 2)
    assert (index_folder() / "key" / "rows.arrow").exists() == is_large
    assert ("its index is built, once, in" in caplog.text) == is_large


def test_a_scan_that_fails_leaves_no_table(caplog):
    def broken():
        yield from scan(9)()
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        index_table("key", "data", SCHEMA, broken)
    assert [path.name for path in index_folder().iterdir()] == [".key.lock"]
    assert len(index_table("key", "data", SCHEMA, scan(9))) == 9


@pytest.mark.parametrize("damage", ["cut", "other", "no about", "about", "empty"])
def test_a_damaged_table_is_built_again(damage, caplog):
    index_table("key", "data", SCHEMA, scan(9))
    rows, about = (index_folder() / "key" / name for name in ("rows.arrow", "about.json"))
    data = rows.read_bytes()
    match damage:
        case "cut":
            rows.write_bytes(data[:-10])
        case "other":
            rows.write_bytes(bytes(len(data)))
        case "no about":
            about.unlink()
        case "about":
            about.write_text("[]")
        case _:
            rows.write_bytes(b"")
    assert len(index_table("key", "data", SCHEMA, scan(9))) == 9
    assert "is damaged and is built again" in caplog.text
    calls = []
    assert len(index_table("key", "data", SCHEMA, scan(9, calls))) == 9 and calls == []


def test_without_a_folder_it_stays_in_memory(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EQUILDM_INDEX", str(tmp_path / "file" / "index"))
    table = index_table("key", "data", SCHEMA, scan(23))
    np.testing.assert_array_equal(table.column("number"), np.arange(23))
    assert table.row(22, "text") == ("row 22",) and table.about == {"last": 23}
    assert "Set EQUILDM_INDEX to a folder that can be written" in caplog.text


def test_a_full_disk_is_an_error_that_names_the_index(monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write_batch(self, batch):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pa.ipc, "new_file", lambda *arguments: Full())
    with pytest.raises(OSError, match=r"No space left on device: .*index/key") as caught:
        index_table("key", "data", SCHEMA, scan(9))
    assert caught.value.errno == errno.ENOSPC
    assert [path.name for path in index_folder().iterdir()] == [".key.lock"]


def test_an_outage_while_it_is_built_is_that_of_the_data(tmp_path, make_source, encode):
    """And leaves no index, so that the next start tries again."""
    write("sidecar", tmp_path / "data", [encode(sample.image) for sample in make_source(30)])
    source = open_source(tmp_path / "data")
    text = (tmp_path / "data" / "20.txt").read_text()
    (tmp_path / "data" / "20.txt").unlink()
    before = set(index_folder().glob("[!.]*"))
    with pytest.raises(FileNotFoundError, match=r"20\.txt"):
        split(source, by="caption")
    assert set(index_folder().glob("[!.]*")) == before
    (tmp_path / "data" / "20.txt").write_text(text)
    assert sum(map(len, split(source, by="caption"))) == 30


BUILD = """
import sys, time
import pyarrow as pa
from equildm.data.index_table import index_table, ROWS

def rows():
    print("scanning", flush=True)
    for number in range(3 * ROWS):
        if number == 2 * ROWS:
            print("writing", flush=True)
            time.sleep(float(sys.argv[1]))
        yield number, "x"
    return {}

print(len(index_table("key", "data", pa.schema([("a", pa.uint64()), ("b", pa.string())]), rows)))
"""


def start(seconds):
    command = [sys.executable, "-c", BUILD, str(seconds)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes)


def test_killed_and_built_again_once():
    """kill -9 leaves no table; then of two processes at once one writes, and the other waits."""
    killed = start(60)
    assert [killed.stdout.readline() for _ in range(2)] == ["scanning\n", "writing\n"]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (index_folder() / "key").exists()
    both = [start(2), start(2)]
    outputs = [process.communicate(timeout=100) for process in both]
    assert [out.splitlines()[-1] for out, _ in outputs] == ["60000", "60000"]
    assert sorted(out.count("writing") for out, _ in outputs) == [0, 1]
    assert sum("its index is built" in err for _, err in outputs) == 1
    assert {path.name for path in index_folder().iterdir()} == {"key", ".key.lock"}


def write(kind, folder, images):
    """Thirty samples, of which some have no caption, or one with a remark."""
    folder.mkdir()
    captions = [
        None if i % 7 == 3 else ["first", "second", ""] if i == 5 else f"b {i}" for i in range(30)
    ]
    if kind == "tar":
        members = [(f"{i}.png", image) for i, image in enumerate(images)]
        members += [
            (f"{i}.json", json.dumps({"caption": caption}).encode())
            for i, caption in enumerate(captions)
        ]
        write_tar(folder / "a.tar", members[:30] + [("b.cls", b"")] + members[30:])
    elif kind == "parquet":
        lists = [
            caption if caption is None or isinstance(caption, list) else [caption]
            for caption in captions
        ]
        pq.write_table(pa.table({"image": images, "text": lists}), folder / "a.parquet")
    elif kind == "arrayrecord":
        from equildm.data.records import open_writer

        writer = open_writer(folder / "a.arrayrecord")
        for i, caption in enumerate(captions):
            header = json.dumps({"name": f"n{i}", "caption": caption}).encode()
            writer.write(len(header).to_bytes(4, "little") + header + images[i])
        writer.write(b"\xff\xff\xff\xffxx")
        writer.close()
    else:
        for i, caption in enumerate(captions):
            (folder / f"{i}.png").write_bytes(images[i])
            if kind == "sidecar" and caption is not None:
                (folder / f"{i}.txt").write_text(caption if isinstance(caption, str) else "a\ufffd")
        (folder / "readme.md").write_text("")
        if kind == "metadata":
            rows = [{"file_name": f"{i}.png", "text": text} for i, text in enumerate(captions)]
            (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def samples(source):
    skips = Skips(source)
    texts = [skips.attempt(index, source.captions) for index in range(len(source))]
    for index, captions in enumerate(texts):
        assert captions is None or source.caption(index) == captions[0]
    names = [source.name(index) for index in range(len(source))]
    return texts, names, skips.names, source.remarks.counts, source.remarks.names


KINDS = ["tar", "parquet", "arrayrecord", "sidecar", "metadata"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["caption", "image"])
def test_a_source_reads_the_same_with_and_without_its_index(
    kind, by, tmp_path, make_source, encode, monkeypatch, caplog
):
    folder = tmp_path / "data"
    write(kind, folder, [encode(sample.image) for sample in make_source(30)])
    with monkeypatch.context() as before:
        before.setattr(module, "ROWS", 1000)
        small = open_source(folder)
        expected = samples(small)
        parts = [part.fingerprint for part in split(small, 0.4, by=by)]
    assert not index_folder().exists()
    for _ in range(2):  # builds the index, and uses it
        caplog.clear()
        source = open_source(folder)
        assert [part.fingerprint for part in split(source, 0.4, by=by)] == parts
        assert samples(source) == expected
        source.remarks.log()
        for reason in source.remarks.counts:
            assert reason in caplog.text
        np.testing.assert_array_equal(source[0].image, small[0].image)
    assert len(expected[2]["missing caption"]) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_with_an_index_a_split_reads_no_file(kind, tmp_path, make_source, encode, monkeypatch):
    folder = tmp_path / "data"
    write(kind, folder, [encode(sample.image) for sample in make_source(30)])
    for by in ("caption", "image"):
        expected = split(open_source(folder), 0.4, by=by)[1]
        source = open_source(folder)
        for name in ("_read_captions", "_read_image", "_read_texts"):
            monkeypatch.setattr(type(source), name, None)
        held_out = split(source, 0.4, by=by)[1]
        monkeypatch.undo()
        monkeypatch.setattr(module, "ROWS", 4)
        monkeypatch.setenv("EQUILDM_INDEX", str(tmp_path / "index"))
        assert held_out.fingerprint == expected.fingerprint and len(held_out)


@pytest.mark.parametrize("kind", KINDS)
def test_other_data_have_another_index(kind, tmp_path, make_source, encode):
    images = [encode(sample.image) for sample in make_source(30)]
    write(kind, tmp_path / "data", images)
    split(open_source(tmp_path / "data"), by="caption")
    count = len(list(index_folder().glob("[!.]*")))
    split(open_source(tmp_path / "data"), by="caption")
    assert len(list(index_folder().glob("[!.]*"))) == count
    write(kind, tmp_path / "other", [images[0], *images[:-1]])
    split(open_source(tmp_path / "other"), by="caption")
    assert len(list(index_folder().glob("[!.]*"))) == 2 * count
