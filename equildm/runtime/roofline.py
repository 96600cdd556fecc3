"""How fast a program can be at best, from what it does and what the chip is said to do."""

import dataclasses
from typing import Literal

from .topology import Chip

Limit = Literal["compute", "memory", "links"]


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds that a chip needs at least for each of its three resources.

    At best all three overlap, so that the step takes as long as the longest (Williams et al. 2009,
    with the links between chips as the third roof). No program reaches it; what it tells is which
    resource is the first to ask for more of, and how many chips can be worth their price at all.
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
        """The resource that sets it."""
        times: dict[Limit, float] = {
            "compute": self.compute,
            "memory": self.memory,
            "links": self.links,
        }
        return max(times, key=lambda name: times[name])

    def utilisation(self, model_flops: float, chip: Chip) -> float:
        """Model-FLOPs utilisation at the bound: of the peak, the share that goes into arithmetic
        that the model asks for, not counting what is computed again or padded."""
        return model_flops / (chip.flops * self.seconds)


def roofline(*, flops: float, traffic: float, received: float, chip: Chip) -> Roofline:
    """**Arguments:** all of one chip and one step.

    - `flops`: operations that its matrix units do, padding included.
    - `traffic`: bytes between memory and chip.
    - `received`: bytes that come in over the links, which is half of their traffic.
    """
    return Roofline(flops / chip.flops, traffic / chip.bandwidth, received / (chip.links / 2))
