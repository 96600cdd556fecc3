"""TPUs that are not here: their published rates, and their devices to compile for.

`libtpu` compiles for a described slice on any Linux machine. Nothing is allocated, nothing runs.
"""

import dataclasses
import importlib.util
import math
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    import jax


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip as its vendor describes it. Rates are per second, sizes in bytes."""

    name: str
    """The vendor's name."""
    flops: float
    """Peak rate of bfloat16 products; a multiply and an add are two operations."""
    hbm: float
    """Memory that a program may use; libtpu's own limit where it states one."""
    bandwidth: float
    """Rate between memory and chip."""
    links: float
    """Rate of all links of a chip to others, both directions together."""
    axes: int
    """Dimensions of a slice."""
    chips: int
    """Chips of the largest slice."""
    source: str
    """Page with these numbers."""


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5e", 197e12, 15.75 * 2**30, 819e9, 400e9, 2, 256, "cloud.google.com/tpu/docs/v5e"),
        Chip(
            "v5p", 459e12, 95.74 * 2**30, 2765e9, 1200e9, 3, 6144, "cloud.google.com/tpu/docs/v5p"
        ),
        Chip("v6e", 918e12, 31.25 * 2**30, 1600e9, 800e9, 2, 256, "cloud.google.com/tpu/docs/v6e"),
    )
}

_SMALL = ((1, 1), (2, 2), (2, 4))
_SLICES = {"v5p": ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 4), (2, 4, 4))}
"""Slices with a side that 4 does not divide: those of v5p; `_SMALL` are those of the others."""

_ENVIRONMENT = {
    # No query to a metadata server, and no chip of this host is claimed.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_LOG_DIR": "disabled",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def plan_on_this_host() -> None:
    """Prepares this process to compile without TPUs. Call it before JAX looks for devices.

    Arrays that are really allocated are on the host's CPU.
    """
    import jax

    os.environ.update(_ENVIRONMENT)
    jax.config.update("jax_platforms", "cpu")


def parse_topology(text: str) -> tuple[Chip, tuple[int, ...]]:
    """Reads `"v5e:4x4"` into the chip and the slice's sides.

    **Raises** `ValueError` for a chip that is not in `CHIPS` and for sides of which there is no
    slice.
    """
    name, _, sides = text.partition(":")
    if name not in CHIPS:
        raise ValueError(
            f"A topology is one of {', '.join(CHIPS)} and its sides; received {text!r}. "
            "Write for example 'v5e:4x4' or 'v5p:4x4x4'."
        )
    chip = CHIPS[name]
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", sides) or sides.count("x") != chip.axes - 1:
        raise ValueError(
            f"A slice of {name} has {chip.axes} sides, such as {name}:"
            f"{'x'.join(['4'] * chip.axes)}; received {text!r}."
        )
    shape = tuple(map(int, sides.split("x")))
    if tuple(sorted(shape)) not in _SLICES.get(name, _SMALL) and any(n % 4 for n in shape):
        raise ValueError(
            f"A slice of {name} has sides of {_sides(name)}, or multiples of 4; received {text!r}."
        )
    if math.prod(shape) > chip.chips:
        raise ValueError(
            f"A slice of {name} has at most {chip.chips} chips, received {text!r} with "
            f"{math.prod(shape)}. Choose a smaller one."
        )
    return chip, shape


def _sides(name: str) -> str:
    return ", ".join("x".join(map(str, sides)) for sides in _SLICES.get(name, _SMALL))


def describe_devices(topology: str) -> "list[jax.Device]":
    """The devices of a slice that need not exist, for a mesh to compile for.

    **Raises** `ValueError` for what is no topology, and `ImportError` where libtpu is missing.
    """
    from jax.experimental import topologies

    _, shape = parse_topology(topology)
    if importlib.util.find_spec("libtpu") is None:
        raise ImportError(
            "Compiling for a TPU needs libtpu, which is not installed. On Linux: "
            'pip install "jax[tpu]".'
        )
    # A host holds four chips (v5e: eight); a smaller slice has to state its number.
    small = math.prod(shape) < 4
    bounds = {"chips_per_host_bounds": (*shape, 1, 1)[:3]} if small else {}
    description = topologies.get_topology_desc(platform="tpu", topology_name=topology, **bounds)
    return list(description.devices)
