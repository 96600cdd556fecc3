"""The folder of a study, which any number of processes share.

runs/            the models that the study trained
study.json       the options of the last call
rows/            the scores of each point, a file each
images/          the first images of each point, side by side
locks/           who is doing what
reference-*.npz  features of the real images
table.parquet    all rows
report/          the page and its figures
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ..images import save_png
from ..runtime import from_json, Locks, to_json, write_json
from .config import SampleSetConfig
from .table import Point, read_table, Row, RowFiles, write_table

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class StudyFolder:
    """The folder of a study.

    **Fields:**

    - `path`: the folder.
    """

    path: Path

    @property
    def options(self) -> Path:
        """The file of the options."""
        return self.path / "study.json"

    @property
    def report(self) -> Path:
        """Folder of the page and its figures."""
        return self.path / "report"

    @property
    def table(self) -> Path:
        """The file of the table."""
        return self.path / "table.parquet"

    def run(self, name: str) -> Path:
        """The folder of one of the study's own runs."""
        return self.path / "runs" / name

    def rows(self) -> RowFiles:
        """The rows that are done."""
        return RowFiles(self.path / "rows")

    def locks(self, stale: float) -> Locks:
        """The locks of this process. `stale` as in `Locks`."""
        return Locks(self.path / "locks", stale=stale)

    def read_options(self, kind: type[T]) -> T | None:
        """The options of the last call, a dataclass `kind`; None for a new study.

        **Raises** `ValueError` for options of another version.
        """
        if not self.options.is_file():
            return None
        try:
            document = json.loads(self.options.read_text(encoding="utf-8"))
            return from_json(kind, document, str(self.options))
        except ValueError as error:
            raise ValueError(
                f"{error} Or remove {self.options}, and pass the options again: rows and runs stay."
            ) from error

    def write_options(self, options: object) -> None:
        """Remembers the options of a call, a dataclass. Makes the folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.options, to_json(options))

    def check_unchanged(self, earlier: SampleSetConfig, samples: SampleSetConfig) -> None:
        """Refuses options by which new scores would not be comparable with those of the rows.

        **Arguments:**

        - `earlier`: the options of the rows.
        - `samples`: those of this call.

        **Raises** `ValueError` if there are rows and they depend on other options.
        """
        if not (self.path / "rows").exists():
            return
        for name, value in samples.meaning.items():
            old = earlier.meaning[name]
            if old != value:
                raise ValueError(
                    f"The rows of {self.path} are of {name}={old}, received {value}. Rows of "
                    "different ones are not comparable: use another folder."
                )

    def write_table(self) -> list[Row]:
        """Puts the table together of all rows, and returns it.

        **Raises** `ValueError` if there are none.
        """
        rows = self.rows().read()
        if not rows:
            raise ValueError(f"{self.path} holds no row yet: run the phase sweep first.")
        write_table(self.table, rows)
        return read_table(self.table)

    def save_captions(self, captions: Sequence[str]) -> None:
        """Saves the captions of the first images, which are the same for every point."""
        (self.path / "images").mkdir(parents=True, exist_ok=True)
        write_json(self.path / "images" / "captions.json", list(captions))

    def captions(self) -> list[str]:
        """The captions of the images; none in a folder of an earlier version."""
        file = self.path / "images" / "captions.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []

    def save_images(self, point: Point, images: UInt8[np.ndarray, "images side side 3"]) -> None:
        """Saves the first images of a point."""
        save_png(self._images(point), np.concatenate(images, axis=1))

    def images(self, row: Row) -> UInt8[np.ndarray, "images side side 3"] | None:
        """The images of a row that were saved; None if none were."""
        path = self._images(row.point)
        if not path.exists():
            return None
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        return np.stack(np.split(pixels, pixels.shape[1] // pixels.shape[0], axis=1))

    def _images(self, point: Point) -> Path:
        return self.path / "images" / f"{point.name}.png"
