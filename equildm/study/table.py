"""The study's table: a row for everything that was sampled and scored.

A row is written by whoever computed it as a file of its own, whole or not at all; the table is put
together from these files in one order, so that it does not depend on who computed what and when.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..runtime import from_json, replacing, write_atomic
from .cost import Counting, sampling_cost


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    """What is sampled: one model in one way.

    **Fields:**

    - `run`: name of the run folder.
    - `train_step`: of the weights; of a student's own training, for a distilled model.
    - `sampler`: by name.
    - `steps`: of the sampler.
    - `guidance`: its weight; 1 is the conditional model.
    - `seed`: of the noise.
    """

    run: str
    train_step: int
    sampler: str
    steps: int
    guidance: float
    seed: int = 0

    @property
    def name(self) -> str:
        """Fit for a file name, and different for different points."""
        weight = f"{self.guidance:g}"
        if float(weight) != self.guidance:
            weight = repr(float(self.guidance))  # six digits are not all of it
        return (
            f"{self.run}_{self.train_step:08d}_{self.sampler}_{self.steps:03d}_w{weight}"
            f"_s{self.seed}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One point with its scores and costs.

    **Fields:** those of `Point`, and

    - `width`, `parameters`: of the network.
    - `batch`: examples of a training step.
    - `method`: how it was distilled; "" if it was not.
    - `cost`: of one evaluation, in evaluations of the paper's 866M at 64x64 (`normalised_cost`).
    - `evaluations`: of one branch, for a picture.
    - `branches`: 2 where guidance evaluates twice.
    - `gflops`: of one evaluation of this network at its own size.
    - `seconds`: to sample and decode a picture, in batches, on `device`; 0 if not measured.
    - `score`: what `fid` is called, for instance "VGG16-FID".
    - `fid`: lower is better.
    - `fid_spread`: its deviations (`frechet_spread`): their mean square is its variance, and the
        mean product with those of another row of the same captions the covariance.
    - `match`, `match_low`, `match_high`: share of pictures whose own caption is found among 99
        others, and its 95 % interval. NaN if not measured.
    - `count`: pictures.
    - `reference`: what they were compared with, and what defines captions and deviations.
    """

    run: str
    train_step: int
    sampler: str
    steps: int
    guidance: float
    seed: int = 0
    width: int
    parameters: int
    batch: int
    method: str = ""
    cost: float
    evaluations: int
    branches: int
    gflops: float
    seconds: float
    device: str
    score: str
    fid: float
    fid_spread: tuple[float, ...]
    match: float
    match_low: float
    match_high: float
    count: int
    reference: str

    @property
    def point(self) -> Point:
        """What was sampled."""
        names = [field.name for field in dataclasses.fields(Point)]
        return Point(*(getattr(self, name) for name in names))

    def sampling_cost(self, counting: Counting = "once") -> float:
        """Of a picture, in evaluations of the 866M model."""
        return sampling_cost(self.cost, self.evaluations, self.branches, counting)

    @property
    def model(self) -> str:
        """`c = 32`, or `c = 32 lcm`."""
        return f"c = {self.width} {self.method}".strip()


_TYPES: dict[Any, Any] = {int: pa.int64(), float: pa.float64(), str: pa.string()}

SCHEMA = pa.schema(
    [(f.name, _TYPES.get(f.type, pa.list_(pa.float64()))) for f in dataclasses.fields(Row)]
)
"""Columns of the Parquet file: `Row`'s fields."""


class RowFiles:
    """The rows that are done, one file each, in a folder that several processes share."""

    def __init__(self, folder: str | os.PathLike[str]):
        """**Arguments:**

        - `folder`: made if it is not there.
        """
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> set[str]:
        """Of the points that are done."""
        return {
            entry.name.removesuffix(".json")
            for entry in os.scandir(self.folder)
            if entry.name.endswith(".json")
        }

    def __contains__(self, name: str) -> bool:
        return (self.folder / f"{name}.json").exists()

    def write(self, row: Row) -> None:
        """Writes one row, whole or not at all."""
        text = json.dumps(dataclasses.asdict(row)) + "\n"
        write_atomic(self.folder / f"{row.point.name}.json", text)

    def read(self) -> list[Row]:
        """All rows, in the table's order.

        **Raises** `ValueError` naming a file that holds no row.
        """
        return in_order(_read(self.folder / f"{name}.json") for name in self.names())


def in_order(rows: Iterable[Row]) -> list[Row]:
    """By width, then distilled or not, then as points are."""
    return sorted(rows, key=lambda row: (row.width, row.method, row.point))


def write_table(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Writes a Parquet file, a column for each field of `Row`. The same rows give the same
    bytes."""
    columns = [dataclasses.asdict(row) for row in in_order(rows)]
    with replacing(path) as part:
        pq.write_table(pa.Table.from_pylist(columns, SCHEMA), part)


def read_table(path: str | os.PathLike[str]) -> list[Row]:
    """Reads what `write_table` wrote.

    **Raises** `ValueError` for a file that is no such table.
    """
    try:
        records = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"A study's table is a Parquet file, received {path}: {error}. It is written by "
            "recipes/scaling_study.py."
        ) from error
    return [from_json(Row, record, str(path)) for record in records]


def _read(path: Path) -> Row:
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} holds no row: {error}. Remove it; the sweep will compute it again."
        ) from error
    return from_json(Row, record, str(path))
