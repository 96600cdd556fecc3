"""The options of a plan."""

import dataclasses
import math
from typing import TYPE_CHECKING

from ..denoise import BackboneName
from ..runtime.options import is_default
from ..training import EMAName, OptimizerName, Remat
from .names import Effort, ProgramName
from .topology import parse_topology

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from .case import PlanCase


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Options of a plan. Every program of every model is compiled for every slice and mesh.

    **Raises** `ValueError` when one of these cases cannot be compiled.
    """

    presets: tuple[str, ...] = ("39M",)
    """Sizes of the network: quick, tiny, mini, small, 39M .. 5B, or a UNet's widths."""
    backbone: BackboneName = "unet"
    """Kind of the network."""
    topologies: tuple[str, ...] = ("v5e:4x4",)
    """Slices: v5e:AxB, v5p:AxBxC, v6e:AxB."""
    meshes: tuple[str, ...] = ("",)
    """Devices by axis, such as data=4,fsdp=4; by default all on fsdp. The fastest is marked."""
    programs: tuple[ProgramName, ...] = ("train",)
    """The training step, or a guided sampler."""
    batch_size: int = 2048
    """Examples an update (train), or images at a time (sample), over all chips."""
    per_chip: int = 0
    """Examples that a chip takes at once, the rest one after the other; 0 searches the most."""
    remat: Remat = "blocks"
    """Activations to compute again in the backward pass."""
    optimizer: OptimizerName = "adamw"
    """AdamW, with its first moment in bfloat16, or Adafactor."""
    ema: EMAName = "power"
    """Averages of the weights: two, or one."""
    side: int = 64
    """Side of the latent."""
    tokens: int = 77
    """Tokens of a caption."""
    context_width: int = 1024
    """Width of a token."""
    sampling_steps: int = 50
    """Steps of the sampler, DPM-Solver++(2M)."""
    effort: Effort = "O1"
    """Optimisation level of the compiler: O2 is what a run takes, in about three times as long."""

    def __post_init__(self) -> None:
        for name in ("presets", "topologies", "meshes", "programs"):
            if not getattr(self, name):
                raise ValueError(f"--{name} takes at least one value, received none.")
        if not is_default(self):  # the default can be compiled, and is shown without jax
            self.cases()

    def cases(self) -> "list[PlanCase]":
        """Every case, in the order of the options."""
        from .case import PlanCase

        names = {field.name for field in dataclasses.fields(PlanCase)}
        shared = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name in names
        }
        return [
            PlanCase(
                preset=preset,
                topology=topology,
                mesh=_full_mesh(mesh, topology),
                program=program,
                **shared,
            )
            for preset in self.presets
            for topology in self.topologies
            for mesh in self.meshes
            for program in self.programs
        ]


def _full_mesh(mesh: str, topology: str) -> str:
    """A mesh as it is written in a case; an empty one has every chip on `fsdp`."""
    from ..runtime import parse_mesh

    sizes = parse_mesh(mesh) or {"fsdp": math.prod(parse_topology(topology)[1])}
    return ",".join(f"{axis}={size}" for axis, size in sizes.items())
