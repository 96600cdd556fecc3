"""Options and braces in the line that names a data set."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import open_source
from equildm.data.data_spec import expanded_braces, parted_spec


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            "a.parquet?image=jpg&caption=prompt",
            ("a.parquet", {"image": "jpg", "caption": "prompt"}),
        ),
        ("a/b?caption=fine%20label", ("a/b", {"caption": "fine label"})),
        ("train-?.tar", ("train-?.tar", {})),
        ("train-?.tar?caption=x", ("train-?.tar", {"caption": "x"})),
        ("a?b=c/d.tar", ("a?b=c/d.tar", {})),
        ("emoji", ("emoji", {})),
    ],
)
def test_options(spec, expected):
    assert parted_spec(spec) == expected


@pytest.mark.parametrize(
    ("spec", "fault"), [("a?b=c&d", "name=value"), ("a?b=c&b=d", "must be there once")]
)
def test_what_is_no_option(spec, fault):
    with pytest.raises(ValueError, match=fault):
        parted_spec(spec)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{08..10}.tar", ["a-08.tar", "a-09.tar", "a-10.tar"]),
        ("{9..10}", ["9", "10"]),
        ("{train,test}-{0..1}", ["train-0", "train-1", "test-0", "test-1"]),
        ("a{,.old}-*.tar", ["a-*.tar", "a.old-*.tar"]),
    ],
)
def test_braces(pattern, expected):
    assert expanded_braces(pattern) == expected


@pytest.mark.parametrize("pattern", ["a{10..08}", "a{b}", "a{}", "{1..x}"])
def test_braces_of_another_kind(pattern):
    with pytest.raises(ValueError, match="range upwards, or names with commas"):
        expanded_braces(pattern)


@pytest.fixture
def shards(tmp_path, make_source, encode):
    """Three files with columns of other names."""
    image = encode(make_source(1).image(0))
    for number in range(3):
        row = {"photo": image, "prompt": f"prompt {number}", "text": "a text"}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"a-{number:02d}.parquet")
    return tmp_path


def test_columns_are_named(shards):
    with pytest.raises(ValueError, match=r"image or jpg or png.*it has photo.*FILES\?image=COLUMN"):
        open_source(f"{shards}/a-00.parquet")
    source = open_source(f"{shards}/a-00.parquet?image=photo&caption=prompt")
    assert source[0].caption == "prompt 0"
    assert open_source(f"{shards}/a-00.parquet?image=photo")[0].caption == "a text"
    assert len(open_source(f"{shards}?image=photo")) == 3
    assert len(open_source(f"{shards}/a-0?.parquet?image=photo")) == 3
    with pytest.raises(ValueError, match=r"takes image and caption, and got captoin"):
        open_source(f"{shards}?image=photo&captoin=prompt")
    with pytest.raises(ValueError, match=r"'emoji' takes none, and got caption"):
        open_source("emoji?caption=x")


def test_files_are_named(shards):
    captions = [
        sample.caption
        for sample in open_source(f"{shards}/a-{{02,00}}.parquet?image=photo&caption=prompt")
    ]
    assert captions == ["prompt 2", "prompt 0"]
    assert len(open_source(f"{shards}/a-{{00..02}}.parquet?image=photo")) == 3
    with pytest.raises(ValueError, match=r"2 of 5 are not, such as .*a-03\.parquet.*narrow"):
        open_source(f"{shards}/a-{{00..04}}.parquet?image=photo")
    with pytest.raises(ValueError, match="Check the spelling"):
        open_source(f"{shards}/b-{{00..04}}.parquet")


def test_a_path_with_a_question_mark_or_braces_is_a_path(shards):
    for name in ("x?image=photo", "x{a}"):
        (shards / "a-00.parquet").rename(shards / "file")
        (shards / name).mkdir()
        (shards / "file").rename(shards / name / "a-00.parquet")
        with pytest.raises(ValueError, match="it has photo"):
            open_source(shards / name)
        (shards / name / "a-00.parquet").rename(shards / "a-00.parquet")


def test_fields_of_a_folder_and_of_a_tar(tmp_path, make_source, encode):
    import io
    import json
    import tarfile

    image = encode(make_source(1).image(0))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(image)
    fields = {"file_name": "a.png", "text": "the text", "title": "the title"}
    (tmp_path / "folder" / "metadata.jsonl").write_text(json.dumps(fields))
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("a.png", image), ("a.json", json.dumps(fields).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    for spec in (tmp_path / "folder", tmp_path / "a.tar"):
        assert open_source(spec)[0].caption == "the text"
        assert open_source(f"{spec}?caption=title")[0].caption == "the title"
