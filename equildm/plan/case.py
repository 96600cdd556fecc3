"""One case of a plan: which program, of which model, on which slice."""

import dataclasses
import math
import re

from jax.sharding import AbstractMesh

from ..denoise import AbstractBackboneConfig, BackboneName, BACKBONES, UNetConfig
from ..runtime import check_batch, check_counts, parse_mesh
from ..runtime.mesh import AXES
from ..training import EMAName, OptimizerName, Remat
from .names import Effort, ProgramName
from .topology import parse_topology

LARGEST = 128
"""Most examples that a chip takes at once when `per_chip` is searched."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanCase:
    """One case. Equal cases make equal programs.

    **Raises** `ValueError` when the case cannot be compiled.
    """

    program: ProgramName
    """What is compiled."""
    preset: str
    """Size of the network, see `equildm.denoise.BACKBONES`."""
    context_width: int
    """Width of a token."""
    topology: str
    """The slice, such as v5e:4x4."""
    mesh: str
    """Devices by axis, such as fsdp=16."""
    batch_size: int
    """Examples in an update, or images at a time, over all chips."""
    per_chip: int
    """Examples that a chip takes at once; the rest follows one part after the other. 0 stands for
    the most that fit, see `attempts`."""
    remat: Remat
    """Activations to compute again in the backward pass."""
    optimizer: OptimizerName
    """The optimiser."""
    ema: EMAName
    """The averages of the weights."""
    side: int
    """Height and width of the latent."""
    tokens: int
    """Tokens of a caption."""
    sampling_steps: int
    """Steps of the sampler."""
    effort: Effort
    """Optimisation level of the compiler."""
    backbone: BackboneName = "unet"
    """Kind of the network."""

    def __post_init__(self) -> None:
        chips = math.prod(parse_topology(self.topology)[1])
        sizes = parse_mesh(self.mesh)
        if math.prod(sizes.values()) != chips:
            raise ValueError(
                f"A mesh uses every chip of {self.topology} once, {chips} in all; received "
                f"{self.mesh!r}. Change the sizes."
            )
        multiple = self.network.multiple
        if self.side < 1 or self.side % multiple:
            raise ValueError(
                f"--side is a positive multiple of {multiple}, received {self.side}. "
                f"Use for example {8 * multiple}."
            )
        check_counts(self, "tokens", "sampling_steps")
        if self.per_chip < 0:
            raise ValueError(
                f"--per-chip is a number of examples, received {self.per_chip}. Use 0 to search."
            )
        check_batch(self.batch_size, AbstractMesh(tuple(sizes.get(n, 1) for n in AXES), AXES))
        if self.per_chip and self.examples_per_chip % self.per_chip:
            raise ValueError(
                f"A batch of {self.batch_size} over {self.batch_shards} chips is "
                f"{self.examples_per_chip} a chip, which must be a multiple of --per-chip, "
                f"received {self.per_chip}. Choose a divisor."
            )

    @property
    def network(self) -> AbstractBackboneConfig:
        """The sizes of the network, as a run has them."""
        return BACKBONES[self.backbone](self.preset, context_width=self.context_width)

    @property
    def unrolled(self) -> AbstractBackboneConfig:
        """The same with scanned blocks written out: the compiler counts the bytes of a loop once,
        and the plan needs those of every block."""
        sizes = self.network
        if isinstance(sizes, UNetConfig):
            return sizes
        return dataclasses.replace(sizes, scan=False)  # type: ignore[call-arg]

    @property
    def batch_shards(self) -> int:
        """Devices that the batch is split over."""
        sizes = parse_mesh(self.mesh)
        return sizes.get("data", 1) * sizes.get("fsdp", 1)

    @property
    def examples_per_chip(self) -> int:
        """Examples of the batch that a chip takes in all, in one or more parts."""
        return self.batch_size // self.batch_shards

    @property
    def parts(self) -> int:
        """Slices of the batch taken one after the other."""
        return self.examples_per_chip // max(self.per_chip, 1)

    @property
    def program_parts(self) -> int:
        """Parts in one call of the program: a training step takes all of them, a sampler one."""
        return self.parts if self.program == "train" else 1

    @property
    def program_batch_size(self) -> int:
        """Examples in one call of the program."""
        return self.batch_size // (self.parts // self.program_parts)

    def attempts(self) -> list["PlanCase"]:
        """The cases to compile until one fits.

        The case itself; or, where `per_chip` is 0, one for each number of examples that a chip can
        take at once, the largest first.
        """
        if self.per_chip:
            return [self]
        largest = min(self.examples_per_chip, LARGEST)
        sizes = [n for n in range(largest, 0, -1) if self.examples_per_chip % n == 0]
        return [dataclasses.replace(self, per_chip=size) for size in sizes]

    def key(self) -> dict[str, str | int]:
        """The case as plain JSON, by which saved results are found again.

        `what`, `batch` and `sampler_steps` are the names in files of results.
        """
        values = dataclasses.asdict(self)
        if self.backbone == "unet":  # as results that were saved before there were others
            del values["backbone"]
        names = {"program": "what", "batch_size": "batch", "sampling_steps": "sampler_steps"}
        return {names.get(name, name): value for name, value in values.items()}

    def file_name(self) -> str:
        """A name for a file about the case, without a suffix."""
        parts = (self.program, self._model, self.topology, self.mesh, self.per_chip)
        words = "_".join(map(str, (*parts, self.remat, self.optimizer)))
        return re.sub("[:,/ ]", "-", words)

    @property
    def _model(self) -> str:
        """The size, and the kind of a network that is no UNet."""
        return self.preset if self.backbone == "unet" else f"{self.backbone} {self.preset}"

    def title(self) -> str:
        """The case in a line, for people."""
        return (
            f"{self._model} {self.program}, {self.topology}, {self.mesh}, {self.per_chip} a chip x "
            f"{self.parts}, remat {self.remat}, {self.optimizer}"
        )
