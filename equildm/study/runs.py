"""The runs of a study: what the sweep needs to know of each."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data import DataConfig
from ..denoise import (
    AbstractBackboneConfig,
    AbstractNetworkConfig,
    BackboneName,
    DiTConfig,
    MMDiTConfig,
    network_shapes,
    UNetConfig,
)
from ..distill import DistillConfig
from ..noise import grids, PREDICTIONS, SCHEDULES
from ..pipeline import ModelConfig
from ..pretrained import read_run_model, RunModelConfig
from ..runtime import Checkpoints, count_parameters, from_json, Run
from ..sampling.evaluations import Grid
from ..training import TrainConfig
from .cost import evaluation_gflops, normalised_cost
from .table import Size

KINDS: Mapping[type, BackboneName] = {UNetConfig: "unet", DiTConfig: "dit", MMDiTConfig: "mmdit"}
"""Names of the networks that a study compares."""


@dataclasses.dataclass(frozen=True)
class StudyRun:
    """A run of pretrain.py or distill.py, opened without its weights.

    **Fields:**

    - `run`: the folder.
    - `model`: its `model.json`.
    - `data`: the data that it was trained on.
    - `distill`: how it was distilled; None for a model that was not.
    - `batch_size`: examples of a training step.
    """

    run: Run
    model: RunModelConfig
    data: DataConfig
    distill: DistillConfig | None
    batch_size: int

    @classmethod
    def open(cls, path: Path) -> "StudyRun":
        """Reads config.json and model.json of a run folder.

        **Raises** `ValueError` for a folder of another kind, and for a run of another recipe.
        """
        run = Run.open(path)
        if run.recipe not in ("pretrain", "distill"):
            raise ValueError(
                f"A study is of runs of pretrain.py and distill.py, received {path} of "
                f"{run.recipe}. Leave it out of --runs."
            )
        section = run.read_config()["train"]
        train = from_json(TrainConfig, section, f"{path / 'config.json'}: train")
        data, distill = DataConfig.of_run(run), DistillConfig.of_run(run)
        model = read_run_model(run)
        if type(model.model.network.backbone) not in KINDS:
            raise ValueError(
                f"A study is of UNets and transformers, received {path}, a "
                f"{type(model.model.network.backbone).__name__}. Leave it out of --runs."
            )
        return cls(run, model, data, distill, train.batch_size)

    @property
    def name(self) -> str:
        """Name of the folder, which identifies the run in the table."""
        return self.run.path.name

    @property
    def method(self) -> str:
        """Method of the distillation; "" for a model that was not distilled."""
        return "" if self.distill is None else self.distill.method

    @property
    def network(self) -> AbstractNetworkConfig:
        """Config of the network."""
        return self.model.model.network

    @property
    def trailing(self) -> Grid:
        """The noise levels of so many steps, which every point of a study has."""
        return functools.partial(grids.trailing, self.model.model.scheduler.schedule)

    @property
    def newest(self) -> int:
        """Training step of the newest checkpoint.

        **Raises** `ValueError` if there is none.
        """
        newest = Checkpoints(self.run.checkpoints).latest()
        if newest is None:
            raise ValueError(f"{self.run.path} has no checkpoint yet: train it first.")
        return newest

    @functools.cached_property
    def size(self) -> Size:
        """Family and size of the network."""
        return model_size(self.model.model)

    @functools.cached_property
    def gflops(self) -> float:
        """1e9 operations of one evaluation of the network on the run's own latents."""
        model = self.model.model
        return evaluation_gflops(self._sizes, model.latent_shape[0], model.max_tokens)

    @functools.cached_property
    def parameters(self) -> int:
        """Number of the network's parameters."""
        return count_parameters(network_shapes(self.network))

    @functools.cached_property
    def cost(self) -> float:
        """`normalised_cost` of the size."""
        return normalised_cost(self._sizes)

    @property
    def _sizes(self) -> AbstractBackboneConfig:
        sizes = self.network.backbone
        assert isinstance(sizes, AbstractBackboneConfig)
        return sizes


def model_size(model: ModelConfig) -> Size:
    """Family and size of a model's network. The process is in the family's name where it is not
    Stable Diffusion's."""
    sizes = model.network.backbone
    assert isinstance(sizes, AbstractBackboneConfig)
    schedule = _name(model.scheduler.schedule, SCHEDULES)
    prediction = _name(model.scheduler.prediction, PREDICTIONS)
    usual = (schedule, prediction) == ("scaled-linear", "v")
    kind = KINDS[type(sizes)]
    family = kind if usual else f"{kind} {schedule}/{prediction}"
    return Size(family, sizes.width, getattr(sizes, "depth", 0))


def _name(part: object, choices: Mapping[str, object]) -> str:
    """The name of a schedule or prediction; that of its class for one of one's own."""
    kind = type(part)
    return next((n for n, choice in choices.items() if type(choice) is kind), kind.__name__)


def open_runs(paths: Sequence[Path]) -> list[StudyRun]:
    """Opens the runs of one study.

    **Raises** `ValueError` for folders of another kind, for two of the same name, and for runs that
    do not belong in one table: of different data, image sizes or caption lengths.
    """
    runs = [StudyRun.open(path) for path in paths]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(
            f"Runs are distinguished by their folder's name, received {names}. Rename one of two."
        )
    # "auto" may mean for the data what another run says: only then the data are read.
    mixed = len({(run.data.hold_out, run.data.record) for run in runs}) > 1
    for run in runs:
        for flag, value, first in zip(_ALIKE, _alike(run, mixed), _alike(runs[0], mixed)):
            if value != first:
                raise ValueError(
                    f"Runs of one study have the same --{flag}, received {value!r} in "
                    f"{run.run.path} beside {first!r} in {runs[0].run.path}. Leave one of them out "
                    "of --runs."
                )
    return runs


_ALIKE = ("data", "held-out", "size", "max-tokens", "hold-out")


def _alike(run: StudyRun, mixed: bool) -> tuple[object, ...]:
    data = run.data
    unit = data.split_unit() if mixed else data.hold_out
    return data.source, data.held_out, data.size, run.model.model.max_tokens, unit
