"""Which images super-resolution is trained on, and how they are degraded, as options."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TYPE_CHECKING

import tyro

from ..runtime import check_counts
from ..runtime.options import Hidden
from .option_checks import check_held_out, check_max_skipped, check_scale
from .source import AbstractSource
from .splits import HoldOut, split
from .subset import Subset

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .._types import TextEmbedding
    from ..runtime import Run
    from .degrade import AbstractDegradation
    from .degraded_pairs import DegradedPairs
    from .held_squares import HeldSquares


@dataclasses.dataclass(frozen=True)
class DegradedDataConfig:
    """Options of a data set for super-resolution: the images, their split, and the degradation.

    training, held_out = config.splits()
    dataset = config.pairs(training, text)
    squares = config.held_squares(held_out, 48)
    """

    source: Annotated[str, tyro.conf.arg(name="data")] = "emoji"
    """photographs (Debian's wallpapers), emoji, shapes, fashion-mnist, a folder of images, tars (a
    glob), a .parquet or an .arrayrecord file."""
    shrink: int = 1
    """Whole factor by which images are reduced first; 2 for photographs of a camera."""
    size: int = 32
    """Side of the large images that are trained on, in pixels: squares cut from the data."""
    scale: int = 4
    """Factor by which images are enlarged."""
    degradation: Literal["real-esrgan", "bicubic"] = "real-esrgan"
    """How small images are made of large ones."""
    crops: int = 16
    """Squares cut from each image in an epoch."""
    held_out: float = 0.05
    """Share held out of training, chosen by a hash of the caption or of the image's name."""
    hold_out: HoldOut = dataclasses.field(default="auto", metadata={"before": "caption"})
    """What is held out: single images, whole captions (images where there are none, or names of
    class folders alone), or auto: images where there are ten or more for each caption on average,
    as for classes, else captions."""
    max_skipped: float = dataclasses.field(default=0.05, metadata={"before": 1.0})
    """Share of the samples that may be unusable. One more is an error."""
    record: Hidden[str] = ""
    """What tells a run's split again, of its checkpoints (`split`). Other data are refused."""

    def __post_init__(self) -> None:
        check_max_skipped(self.max_skipped)
        check_scale(self.size, self.scale)
        check_counts(self, "shrink", "crops")
        check_held_out(self.held_out)

    @classmethod
    def of_run(cls, run: "Run") -> "DegradedDataConfig":
        """The `data` section of a run's config.json, whatever recipe wrote it.

        With the record of its split, see `split`.

        **Raises** `ValueError` if the run has none of this kind.
        """
        from .open import record_of_run, section_of_run

        config = section_of_run(run, "data", cls)
        if config is None:
            raise ValueError(
                f"A run of super-resolution has degraded data, received {run.path} of "
                f"{run.recipe}. Give a run of super_resolution.py."
            )
        return dataclasses.replace(config, record=record_of_run(run) or config.record)

    @classmethod
    def of_runs(cls, paths: Sequence[Path]) -> "DegradedDataConfig":
        """The data of the first of several run folders, which all must hold out the same squares.

        **Raises** `ValueError` naming the options in which two runs differ.
        """
        from ..runtime import Run

        configs = [cls.of_run(Run.open(path)) for path in paths]
        for path, other in zip(paths, configs, strict=True):
            fields = [field.name for field in dataclasses.fields(cls)]
            names = [name for name in fields if name not in ("crops", "max_skipped")]
            wrong = [name for name in names if getattr(other, name) != getattr(configs[0], name)]
            if not wrong:
                continue
            is_split = set(wrong) <= {"hold_out", "record"}  # "auto" may mean what the other says
            if not is_split or other._held_out_names() != configs[0]._held_out_names():
                parts = [name for name in wrong if name != "record"] or ["what they hold out"]
                raise ValueError(
                    f"Runs are compared on the same images; {path} and {paths[0]} differ in "
                    f"{', '.join(parts)}. Compare runs that were trained with the same data."
                )
        return configs[0]

    def build_degradation(self) -> "AbstractDegradation":
        """The distribution of degradations."""
        from .degrade import DEGRADATIONS

        return DEGRADATIONS[self.degradation](self.scale)

    def splits(self) -> tuple[Subset, Subset]:
        """`(training, held out)`, by image where no caption is held out."""
        # A run of before names of class folders were captions had none there, and held out images.
        from .in_memory import InMemory
        from .open import open_source

        source = open_source(self.source, class_folders=self.hold_out != "caption")
        images = InMemory(source, self.shrink)
        training, held_out = split(images, self.held_out, by=self.hold_out, record=self.record)
        if len(held_out) or self.record:
            return training, held_out
        return split(images, self.held_out, by="image")

    def _held_out_names(self) -> list[str]:
        _, held_out = self.splits()
        return [held_out.name(index) for index in range(len(held_out))]

    def pairs(self, training: Subset, text: "TextEmbedding") -> "DegradedPairs":
        """The data set of the training images. `text`: see `DegradedPairs`."""
        from .degraded_pairs import DegradedPairs

        degradation = self.build_degradation()
        pairs = DegradedPairs(
            training,
            self.size,
            self.scale,
            degradation,
            text=text,
            crops=self.crops,
            max_skipped=self.max_skipped,
        )
        pairs.split = training.record
        return pairs

    def held_squares(self, held_out: AbstractSource, count: int) -> "HeldSquares":
        """Squares of the held-out images, always the same ones."""
        from .held_squares import held_squares

        return held_squares(held_out, self.size, self.build_degradation(), count)
