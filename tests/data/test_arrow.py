"""Arrow files, and the folders that the `datasets` library saves."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equildm.data import ArrowSource, open_source, Skips


@pytest.fixture
def table(make_source, encode):
    """Six rows as the `datasets` library writes them: images in structs, labels with names."""
    images = [{"bytes": encode(sample.image), "path": None} for sample in make_source(6)]
    features = {"label": {"names": ["tabby_cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"image": images, "label": [0, 1, 1, 0, -1, None]})
    return table.replace_schema_metadata(metadata)


def save(folder, table, kind=pa.ipc.new_stream):
    """What `Dataset.save_to_disk(folder, num_shards=2)` writes."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-00002.arrow" for number in range(2)]
    for number, name in enumerate(names):
        with kind(str(folder / name), table.schema) as writer:
            writer.write_table(table[3 * number :][:3], max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


@pytest.mark.parametrize("kind", [pa.ipc.new_stream, pa.ipc.new_file])
def test_a_saved_data_set(kind, table, tmp_path, make_source):
    source = open_source(save(tmp_path / "saved", table, kind))
    assert isinstance(source, ArrowSource) and len(source) == 6
    skips = Skips(source)
    captions = [skips.attempt(index, source.caption) for index in range(6)]
    assert captions == ["tabby cat", "dog", "dog", "tabby cat", None, None]
    for index, sample in enumerate(make_source(6)):
        np.testing.assert_array_equal(source.image(index), sample.image)
    assert source.name(4) == "data-00001-of-00002.arrow:1"
    assert open_source(tmp_path / "saved").fingerprint == source.fingerprint
    assert len(open_source(f"{tmp_path}/saved/*.arrow?caption=label")) == 6


def test_several_splits(table, tmp_path):
    save(tmp_path / "train", table)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert len(open_source(tmp_path)) == 6
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(
        ValueError, match=r"must be one split; .*holds 2\. Name .*train' or '.*test"
    ):
        open_source(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_data_files": [{}]}', '{"_data_files": 3}'])
def test_a_damaged_state(text, table, tmp_path):
    save(tmp_path / "saved", table)
    (tmp_path / "saved" / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"saved data set's state\.json must"):
        open_source(tmp_path / "saved")


def test_damaged_files(table, tmp_path):
    folder = save(tmp_path / "saved", table)
    first = folder / "data-00000-of-00002.arrow"
    data = first.read_bytes()
    for damaged in (
        b"",
        data[:-8],
        data[:100],
        data[: len(data) // 2],
        b"no arrow" * 100,
        bytes(len(data)),
    ):
        first.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"must be Arrow; .*data-00000.*again"):
            open_source(folder)
    first.unlink()
    with pytest.raises(ValueError, match="must exist"):
        open_source(folder)


def test_tables_of_img2dataset(tmp_path, make_source, encode):
    image = encode(make_source(1).image(0), "JPEG")
    rows = [
        {"jpg": image, "caption": "a caption", "key": "0", "status": "success"},
        {"jpg": None, "caption": "lost", "key": "1", "status": "failed_to_download"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "00000.parquet")
    source = open_source(tmp_path)
    skips = Skips(source)
    samples = [skips.attempt(index, source.__getitem__) for index in range(2)]
    assert samples[0].caption == "a caption" and samples[1] is None
    assert skips.counts == {"broken image": 1}


def test_tars_of_img2dataset(tmp_path, make_source, encode, caplog):
    import io
    import tarfile

    image = encode(make_source(1).image(0), "JPEG")
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for key, has_image in (("000", True), ("001", False)):
            fields = {"caption": f"caption {key}", "key": key, "status": "success", "width": 16}
            members = {"jpg": image} if has_image else {}
            for suffix, data in (members | {"json": json.dumps(fields).encode()}).items():
                entry = tarfile.TarInfo(f"{key}.{suffix}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    pq.write_table(pa.table({"key": ["000"], "status": ["success"]}), tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    source = open_source(tmp_path)
    assert [sample.caption for sample in source] == ["caption 000"]
    assert source.remarks.counts == {"caption without an image, not used": 1}
    beside = "beside .tar files, not used"
    assert f"1 x file ending in .parquet {beside} (00000.parquet)" in caplog.text
    assert f"1 x file ending in .json {beside} (00000_stats.json)" in caplog.text
    pq.write_table(pa.table({"image": [image], "text": ["a"]}), tmp_path / "more.parquet")
    with pytest.raises(ValueError, match="of one kind"):
        open_source(tmp_path)
