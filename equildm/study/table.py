"""The study's table: a row for each point that was sampled and scored.

Each row is written as a file of its own, atomically, by the process that computed it. The table is
put together from these files in one order, so that it does not depend on who computed what when.
"""

import dataclasses
import functools
import json
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..runtime import from_json, replacing, write_atomic


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    """One model, sampled in one way.

    **Fields:**

    - `run`: name of the run folder.
    - `train_step`: of the weights; for a distilled model a step of the student's own training.
    - `sampler`: a name in `SOLVERS`.
    - `steps`: of the sampler.
    - `guidance`: the guidance scale; 1 is the conditional model.
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
        """A file name, different for different points."""
        scale = f"{self.guidance:g}"
        if float(scale) != self.guidance:
            scale = repr(float(self.guidance))  # six digits are not all of it
        return (
            f"{self.run}_{self.train_step:08d}_{self.sampler}_{self.steps:03d}_w{scale}"
            f"_s{self.seed}"
        )


class Size(NamedTuple):
    """Which member of which family a network is; those of a family in order, small to large."""

    family: str
    """Kind of the network, and its process where that is not Stable Diffusion's: `Row.family`."""
    width: int
    """Base channels of a UNet, width of a transformer."""
    depth: int = 0
    """Blocks of a transformer; 0 for a UNet."""

    @property
    def member(self) -> str:
        """The size alone: `32`, or a transformer's `128x6`, width x depth."""
        return f"{self.width}x{self.depth}" if self.depth else f"{self.width}"

    def __str__(self) -> str:
        return f"c = {self.width}" if self.family == "unet" else f"{self.family} {self.member}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One point with its scores and costs.

    **Fields:** those of `Point`, and

    - `width`, `parameters`: of the network.
    - `family`, `depth`: see `Size`. Models of one family differ by their size.
    - `batch`: examples of a training step.
    - `method`: of the distillation; "" for a model that was not distilled.
    - `cost`: of one evaluation, in evaluations of the paper's 866M at 64x64 (`normalised_cost`).
    - `evaluations`: of one branch, for an image.
    - `branches`: 2 where guidance evaluates twice, else 1.
    - `gflops`: of one evaluation of this network at its own size.
    - `seconds`: to sample and decode an image, in batches, on `device`; 0 if not measured.
    - `score`: name of `fid`, for instance "VGG16-FID".
    - `fid`: the Frechet distance; lower is better.
    - `fid_spread`: its deviations (`frechet_spread`). Their mean square is the variance; the mean
        product with those of another row of the same captions is the covariance.
    - `match`, `match_low`, `match_high`: share of images whose own caption ranks above 99
        others, and its 95 % interval. NaN if not measured.
    - `count`: number of images.
    - `reference`: the real images, captions and groups that the scores depend on.
    """

    run: str
    train_step: int
    sampler: str
    steps: int
    guidance: float
    seed: int = 0
    width: int
    parameters: int
    family: str = "unet"
    depth: int = 0
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

    @functools.cached_property
    def point(self) -> Point:
        """What was sampled."""
        return Point(*_POINT(self))

    @functools.cached_property
    def size(self) -> Size:
        """Which member of which family the network is."""
        return Size(self.family, self.width, self.depth)

    @property
    def model(self) -> str:
        """`c = 32`, `c = 32 lcm`, or `dit 128x6 lcm`."""
        return f"{self.size} {self.method}".strip()


_POINT = operator.attrgetter(*(field.name for field in dataclasses.fields(Point)))

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
        """Names of the points that are done."""
        return {
            entry.name.removesuffix(".json")
            for entry in os.scandir(self.folder)
            if entry.name.endswith(".json")
        }

    def __contains__(self, name: str) -> bool:
        return (self.folder / f"{name}.json").exists()

    def write(self, row: Row) -> None:
        """Writes one row, atomically."""
        text = json.dumps(dataclasses.asdict(row)) + "\n"
        write_atomic(self.folder / f"{row.point.name}.json", text)

    def read(self) -> list[Row]:
        """All rows, in the table's order.

        **Raises** `ValueError` naming a file that does not hold a row.
        """
        return in_order(_read(self.folder / f"{name}.json") for name in self.names())


def in_steps(steps: int) -> str:
    """ "1 step", "2 steps"."""
    return "1 step" if steps == 1 else f"{steps} steps"


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows by size, then by method, then by point."""
    return sorted(rows, key=lambda row: (row.size, row.method, row.point))


def write_table(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Writes a Parquet file with a column for each field of `Row`.

    The same rows give the same bytes, in whatever order they are.
    """
    columns = [dataclasses.asdict(row) for row in in_order(rows)]
    with replacing(path) as part:
        pq.write_table(pa.Table.from_pylist(columns, SCHEMA), part)


def read_table(path: str | os.PathLike[str]) -> list[Row]:
    """Reads what `write_table` wrote.

    **Raises** `ValueError` for another kind of file.
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
            f"{path} does not hold a row: {error}. Remove it; the sweep will compute it again."
        ) from error
    return from_json(Row, record, str(path))
