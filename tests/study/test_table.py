"""Rows: written whole, read back as they were, put together in one order."""

import dataclasses
import random

import pyarrow.parquet as pq
import pytest

from equildm.study import mean_over_seeds, read_table, RowFiles, write_table


def test_a_table_comes_back_and_does_not_depend_on_the_order(study, tmp_path):
    rows = list(study)
    write_table(tmp_path / "a.parquet", rows)
    random.Random(0).shuffle(rows)
    write_table(tmp_path / "b.parquet", rows)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    back = read_table(tmp_path / "b.parquet")
    assert set(back) == set(study)
    assert {f.name for f in dataclasses.fields(back[0])} == set(
        pq.read_schema(tmp_path / "a.parquet").names
    )


def test_points_have_names_of_their_own(study):
    names = {row.point.name for row in study}
    assert len(names) == len(study)
    assert not any("/" in name or name.startswith(".") for name in names)


@pytest.mark.parametrize(
    ("weight", "said"),
    [(1.0, "1"), (1.5, "1.5"), (3, "3"), (0.1, "0.1"), (1.0000001, "1.0000001")],
)
def test_a_name_tells_the_guidance(make_row, weight, said):
    point = make_row(guidance=float(weight)).point
    assert point.name == f"c032_00001000_ddim_008_w{said}_s0"


def test_a_distance_that_is_infinite_comes_back(make_row, tmp_path):
    row = make_row(fid=float("inf"), match=float("nan"))
    files = RowFiles(tmp_path / "rows")
    files.write(row)
    write_table(tmp_path / "a.parquet", files.read())
    (back,) = read_table(tmp_path / "a.parquet")
    assert back.fid == row.fid and back.match != back.match and back.fid_spread == row.fid_spread


def test_files_of_rows(make_row, tmp_path):
    files = RowFiles(tmp_path / "rows")
    row = make_row(match=float("nan"))
    assert row.point.name not in files
    files.write(row)
    (files.folder / f".{row.point.name}.json.99.tmp").write_text("half")  # of a killed process
    assert row.point.name in files and files.names() == {row.point.name}
    (back,) = files.read()
    assert (
        back.point == row.point and back.fid_spread == row.fid_spread and back.match != back.match
    )
    (files.folder / "other.json").write_text("{")
    with pytest.raises(ValueError, match="compute it again"):
        files.read()


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(ValueError, match="Parquet"):
        read_table(tmp_path / "x.parquet")


def test_seeds_are_averaged(make_row):
    rows = [make_row(fid=fid, seed=seed) for seed, fid in ((0, 90.0), (1, 110.0))]
    (mean,) = mean_over_seeds(rows)
    assert mean.fid == 100.0 and mean.count == 2 * 192
    assert mean.fid_spread[0] == pytest.approx(sum(r.fid_spread[0] for r in rows) / 2)


def test_a_way_that_diverged_with_one_seed_has_no_mean(make_row):
    rows = [make_row(fid=fid, seed=seed) for seed, fid in ((0, 90.0), (1, float("inf")))]
    assert mean_over_seeds([*rows, make_row(steps=4)]) == [make_row(steps=4)]
