"""The devices as a grid with named axes.

- `data`: copies of the model, each on its part of the batch.
- `fsdp`: parts of the batch too, with parameters and optimiser state split between them.
- `tensor`: parts of the features within one example.

Axes are `AxisType.Auto`: the compiler places the collectives, and model code names no axis.
"""

import math
from collections.abc import Mapping, Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

AXES = ("data", "fsdp", "tensor")
"""Every mesh has these three, in this order, some of size 1."""


def parse_mesh(text: str) -> dict[str, int]:
    """Reads `"data=4,fsdp=2"` into sizes by axis name.

    **Raises** `ValueError` for an unknown or repeated axis and for a size that is not positive.
    """
    sizes: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, size = (piece.strip() for piece in part.partition("="))
        if name in sizes:
            raise ValueError(
                f"A mesh names each axis once, received {name!r} twice in {text!r}. Keep one."
            )
        if not size.isdecimal():
            raise ValueError(
                f"A mesh is written 'axis=size,axis=size', received {part!r} in {text!r}. "
                "Write for example 'data=4,fsdp=2'."
            )
        sizes[name] = int(size)
    return _checked(sizes)


def make_mesh(
    sizes: Mapping[str, int] | str | None = None, *, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Arranges the devices as a mesh of the axes `data`, `fsdp` and `tensor`.

    **Arguments:**

    - `sizes`: devices along each axis, as a mapping or as `"data=4,fsdp=2"`; an axis that is not
        named has size 1. `None` or empty puts every device on `data`.
    - `devices`: by default all devices of all processes.

    **Raises** `ValueError` when the sizes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else devices
    chosen = parse_mesh(sizes) if isinstance(sizes, str) else _checked(dict(sizes or {}))
    chosen = chosen or {"data": len(devices)}
    count = math.prod(chosen.values())
    if count != len(devices):
        written = ",".join(f"{name}={size}" for name, size in chosen.items())
        raise ValueError(
            f"A mesh uses every device once: its sizes multiply to {len(devices)}, received "
            f"{written!r} which makes {count}. Change the sizes, or pass `devices`."
        )
    shape = [chosen.get(name, 1) for name in AXES]
    kinds = (AxisType.Auto,) * len(AXES)
    # An axis of a mesh may be a part of a side of a torus: data=8,fsdp=2 on 4 x 4 chips.
    grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(grid, AXES, axis_types=kinds)


def _checked(sizes: dict[str, int]) -> dict[str, int]:
    for name, size in sizes.items():
        if name not in AXES:
            raise ValueError(
                f"The axes of a mesh are {', '.join(AXES)}; received {name!r}. Use one of these."
            )
        if size < 1:
            raise ValueError(
                f"A mesh axis has at least one device, received {name}={size}. Leave it out for 1."
            )
    return sizes
