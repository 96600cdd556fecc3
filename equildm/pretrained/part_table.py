"""The parts of a model with the names of their tensors in a layout, and a summary of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jaxtyping import PyTree
from rich.table import Table

from ..interop import Pair
from ..interop.mapping import named_arrays


class PartTable(NamedTuple):
    """A part of a model and the names of its tensors.

    **Fields:**

    - `name`: the part's folder, or the prefix of its tensors in a single file.
    - `module`: its arrays.
    - `pairs`: of each array, our name and the layout's.
    """

    name: str
    module: PyTree
    pairs: list[Pair]

    def lines(self) -> Iterator[str]:
        """A line for each array: the part, our name, the layout's name and our shape."""
        arrays = named_arrays(self.module)
        for pair in self.pairs:
            shape = "x".join(map(str, arrays[pair.ours].shape))
            yield f"{self.name:13} {pair.ours:66} {pair.theirs:72} {shape}"


def summarise_parts(parts: Sequence[PartTable]) -> Table:
    """The number of tensors, parameters and bytes of each part, as a table for the terminal."""
    table = Table("part", "module", title="mapped")
    for heading in ("tensors", "parameters", "MiB in memory"):
        table.add_column(heading, justify="right")
    for part in parts:
        arrays = list(named_arrays(part.module).values())
        table.add_row(
            part.name,
            type(part.module).__name__,
            f"{len({name for pair in part.pairs for name in pair.names})}",
            f"{sum(array.size for array in arrays):,}",
            f"{sum(array.size * array.dtype.itemsize for array in arrays) / 2**20:,.1f}",
        )
    return table
