"""The results of a plan: a file with one line of JSON for each compiled case."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NotRequired, TypedDict

from ..runtime import write_atomic
from .case import PlanCase
from .collectives import CollectiveTotals, Kind
from .expected import ExpectedTraffic
from .roofline import Limit


class Bound(TypedDict):
    """The least seconds that one update, or one batch of samples, takes."""

    compute: float
    """By arithmetic alone, for one call of the program's loop."""
    memory: float
    """By traffic between memory and chip."""
    links: float
    """By traffic between chips."""
    seconds: float
    """The largest of these, over all steps of a sampler."""
    by: Limit
    """Which one that is."""


class CompileTimes(TypedDict):
    """How long the compiler took for the program that runs. See `Program`."""

    trace_seconds: float
    compile_seconds: float
    wall_seconds: float


class PlanResult(TypedDict):
    """What one chip needs for a compiled case. Sizes are bytes; a multiply and an add are two
    operations. All that follows `memory` is missing where the compiler refused a program that does
    not fit, or the unrolled twin of a transformer's, in which the bytes are counted."""

    case: dict[str, str | int]
    """`PlanCase.key()`."""
    chips: int
    """Chips of the slice."""
    per_chip: int
    """Examples that a chip takes at once."""
    parts: int
    """Slices of the batch taken one after the other."""
    limit: float
    """Memory of a chip."""
    versions: dict[str, str]
    """Of the compiler."""
    fits: bool
    """Whether `memory` is at most `limit`."""
    memory: float
    """Bytes at the fullest moment."""
    arguments: NotRequired[int]
    """Bytes of the program's arguments."""
    temporaries: NotRequired[int]
    """Bytes of everything else at the fullest moment."""
    model_flops: NotRequired[float]
    """Operations that the model requires for the chip's share of the batch."""
    flops: NotRequired[float]
    """Operations of one call of the program."""
    executed_flops: NotRequired[float]
    """The same with padding to the matrix unit."""
    traffic: NotRequired[float]
    """Bytes between memory and chip."""
    received: NotRequired[float]
    """Bytes that come in over the links."""
    collectives: NotRequired[dict[Kind, CollectiveTotals]]
    """What the program sends, by kind."""
    expected: NotRequired[dict[Kind, ExpectedTraffic]]
    """What theory says that it sends, by kind."""
    bound: NotRequired[Bound]
    """The least time."""
    mfu: NotRequired[float]
    """Model-FLOPs utilisation at the bound."""
    compile: NotRequired[CompileTimes]
    """Time of the compiler."""


def read_results(file: str | os.PathLike[str]) -> list[PlanResult]:
    """The results in a file; none where there is no file.

    A last line without its end, left by a process that was killed, is removed from the file.
    """
    file = Path(file)
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]
        write_atomic(file, "".join(lines))
    return [json.loads(line) for line in lines]


def append_result(file: str | os.PathLike[str], result: PlanResult) -> None:
    """Adds a line to the file. The file and its folder are created where they are missing."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(result) + "\n")


def result_of(results: Iterable[PlanResult], case: PlanCase) -> PlanResult | None:
    """The saved result of a case, if there is one."""
    key = case.key()
    return next((result for result in results if result["case"] == key), None)
