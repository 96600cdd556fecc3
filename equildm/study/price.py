"""What sampling an image costs, in the unit of the reader's choice."""

import dataclasses
from collections.abc import Mapping
from typing import get_args, TYPE_CHECKING

from .names import Counting, Unit

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .table import Row


WORDS: Mapping[Unit, str] = {
    "gflops": "GFLOP an image",
    "paper": "evaluations of the 866M model",
    "seconds": "seconds an image",
}


@dataclasses.dataclass(frozen=True)
class Price:
    """The cost of an image: `Price()(row)`.

    **Fields:**

    - `unit`: `gflops`, 1e9 operations of the run's own network on its own latents; `paper`,
        evaluations of the paper's 866M model, both on its latent of 64x64; or `seconds`, as
        measured on the row's device, 0 where the time was not measured. On small latents the
        paper's unit makes narrow models look dear, because attention over 64x64 places is most of
        what they do.
    - `counting`: how guidance counts, see `Counting`. Seconds have both evaluations in any case.
    """

    unit: Unit = "gflops"
    counting: Counting = "once"

    def __post_init__(self) -> None:
        for what, value, names in (
            ("A cost is in", self.unit, get_args(Unit)),
            ("Guidance is counted", self.counting, get_args(Counting)),
        ):
            if value not in names:
                raise ValueError(f"{what} one of {', '.join(names)}; received {value!r}.")

    def __call__(self, row: "Row") -> float:
        """The cost of an image of this row."""
        if self.unit == "seconds":
            return row.seconds
        evaluation = row.gflops if self.unit == "gflops" else row.cost
        return evaluation * row.evaluations * (row.branches if self.counting == "twice" else 1)

    def training(self, row: "Row") -> float:
        """Training steps x GFLOPs of an evaluation, the axis of the paper's figure 3."""
        from .cost import BASELINE_GFLOPS  # here: options need no networks

        return row.train_step * (row.cost * BASELINE_GFLOPS if self.unit == "paper" else row.gflops)

    def guidance_twice(self) -> "Price":
        """The same unit, with both evaluations of guidance."""
        return dataclasses.replace(self, counting="twice")

    @property
    def words(self) -> str:
        """The unit in words."""
        return WORDS[self.unit]

    def __str__(self) -> str:
        counted = "" if self.unit == "seconds" else f", guidance counted {self.counting}"
        return f"{self.words}{counted}"


OWN_COST = Price()
"""Operations of the run's own network at its own size; a guided evaluation counts once."""
