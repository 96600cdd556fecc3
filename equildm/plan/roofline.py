"""How fast a program can be at best, from its work and the chip's published rates."""

import dataclasses
from typing import Literal

from .topology import Chip

Limit = Literal["compute", "memory", "links"]


@dataclasses.dataclass(frozen=True)
class Roofline:
    """The least seconds that a chip needs for each of its three resources.

    At best all three overlap, so that a step takes as long as the longest of them (Williams et al.
    2009, with the links between chips as the third roof). No program reaches this bound. It shows
    which resource limits a program, and how many chips are worth their price.

    **Fields:**

    - `compute`: arithmetic of the matrix units.
    - `memory`: traffic between memory and chip.
    - `links`: traffic between chips.
    """

    compute: float
    memory: float
    links: float

    @property
    def seconds(self) -> float:
        """The bound."""
        return max(self.compute, self.memory, self.links)

    @property
    def limit(self) -> Limit:
        """The resource that sets the bound."""
        times: dict[Limit, float] = {
            "compute": self.compute,
            "memory": self.memory,
            "links": self.links,
        }
        return max(times, key=lambda name: times[name])

    def utilisation(self, model_flops: float, chip: Chip) -> float:
        """Model-FLOPs utilisation at the bound: `model_flops / (peak x seconds)`.

        Operations that are computed again, and padding, do not count as the model's.
        """
        return model_flops / (chip.flops * self.seconds)


def roofline(*, flops: float, traffic: float, received: float, chip: Chip) -> Roofline:
    """The bound of one chip and one step: each amount over the chip's rate.

    **Arguments:**

    - `flops`: operations of the matrix units, padding included.
    - `traffic`: bytes between memory and chip.
    - `received`: bytes that come in over the links, half of the links' traffic.
    - `chip`: its rates.
    """
    return Roofline(flops / chip.flops, traffic / chip.bandwidth, received / (chip.links / 2))
