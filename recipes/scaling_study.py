"""Which model is best at each sampling budget: the paper's question, answered on your own data.

Trains a model in several sizes, identical but for that, with checkpoints on the way; distils each;
samples all of them in every way of a grid; and writes a report with the paper's figures and the
answer. Each phase goes on where it was stopped. Any number of processes, on machines that share the
folder, may run the same command at once: none does what another has done or is doing. The folder
remembers its options. By default: widths 16 and 32 on emoji.

    python recipes/scaling_study.py runs/study                        # everything
    python recipes/scaling_study.py runs/study sweep --sampling-steps 2 4 8 16 32 50
    python recipes/scaling_study.py runs/study report --counting twice
    python recipes/scaling_study.py runs/two --transformers dit:tiny dit:mini
    python recipes/scaling_study.py runs/mine sweep --runs runs/emoji runs/emoji-lcm

docs/study.md is the guide.
"""

import dataclasses
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Literal

import distill
import pretrain
import tyro

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Trains a model in several sizes, samples it in every way, and reports what is best."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the study. Later calls need no other option: the folder remembers them."""
    phase: Annotated[
        Literal["all", "train", "distill", "sweep", "report"], tyro.conf.Positional
    ] = "all"
    """What to do: everything, or one phase after the other."""
    study: eqd.Flat[eqd.study.StudyConfig] = eqd.study.StudyConfig()
    train: pretrain.Config = pretrain.Config(
        noise=eqd.NoiseConfig(),
        loss=eqd.LossConfig(),
        train=eqd.TrainConfig(steps=1000),
        prompts=(),
    )
    """Options of pretrain.py, for every model. The study sets run, preset, backbone and resume."""

    def __post_init__(self) -> None:
        if self.study.runs and self.phase in ("train", "distill"):
            raise ValueError(
                f"A study of existing runs trains nothing, received --runs and {self.phase}. "
                "Leave --runs out."
            )
        own = attrgetter("run", "preset", "backbone", "train.snapshots", "train.resume")
        if own(self.train) != own(pretrain.Config()):
            raise ValueError(
                "The study sets run, preset, backbone, snapshots and resume of models; received "
                "--train.run, --train.preset, --train.backbone, --train.snapshots or "
                "--train.resume. Leave it out, and name models by --widths and --transformers."
            )
        self.runs()  # refuses what does not go together

    def models(self) -> list[pretrain.Config]:
        """What pretrain.py is called with, for each model: identical but for its network."""
        if self.study.runs:
            return []
        ladder, run = self.study.ladder, eqd.study.StudyFolder(self.folder).run
        train = ladder.training(self.train.train)
        return [
            dataclasses.replace(self.train, backbone=kind, preset=size, run=run(name), train=train)
            for name, (kind, size) in ladder.members.items()
        ]

    def students(self) -> list[distill.Config]:
        """What distill.py is called with, for each model and method."""
        ladder, run = self.study.ladder, eqd.study.StudyFolder(self.folder).run
        return [
            distill.Config(
                teacher=model.run,
                run=run(f"{Path(model.run).name}-{method}"),
                distill=ladder.distillation(method),
                train=ladder.student_training(model.train.batch_size),
                prompts=(),
            )
            for model in self.models()
            for method in ladder.distill
        ]

    def runs(self) -> list[Path]:
        """The runs to sample."""
        own = [run.run for run in self.models()] + [run.run for run in self.students()]
        return [*self.study.runs, *map(Path, own)]


def main(config: Config) -> None:
    study, phase = config.study, config.phase
    if phase in ("all", "sweep"):
        study.samples.check_files()
        eqd.study.open_runs(study.runs)
    folder, earlier = eqd.study.StudyFolder(config.folder), remembered(config.folder)
    if earlier is not None:
        folder.check_unchanged(earlier.study.samples, study.samples)
    folder.write_options(config)
    eqd.exit_on_sigterm()
    eqd.enable_compile_cache()

    with folder.locks(study.stale) as locks:
        if phase in ("all", "train"):
            eqd.study.train_runs(config.models(), pretrain.main, locks)
        if phase in ("all", "distill"):
            eqd.study.train_runs(config.students(), distill.main, locks)
        if phase in ("all", "sweep"):
            eqd.study.sweep(folder, eqd.study.open_runs(config.runs()), study, locks)
    if phase in ("all", "report"):
        rows = folder.write_table()
        page = eqd.study.write_report(
            folder.report,
            rows,
            title=f"Scaling study: {config.folder.name}",
            about=[eqd.study.describe_effort(rows)],
            images_of=folder.images,
            captions=folder.captions(),
            losses=[eqd.study.LossCurve.of_run(run) for run in config.runs() if run.exists()],
            price=study.report.price,
            budgets=study.report.budgets,
        )
        eqd.log(f"{len(rows)} rows in {folder.table}, report in {page}.")


def remembered(folder: Path) -> Config | None:
    """The options of the last call, with this folder's name; None for a new study."""
    config = eqd.study.StudyFolder(folder).read_options(Config)
    return config and dataclasses.replace(config, folder=folder, phase="all")


def parse(arguments: Sequence[str]) -> Config:
    """The options of the command line, and for others those that the folder remembers."""
    for argument in arguments:
        options = remembered(Path(argument))
        if options is not None:
            config = tyro.cli(Config, description=__doc__, args=arguments, default=options)
            if config.folder == options.folder:
                return config
    return tyro.cli(Config, description=__doc__, args=arguments)


if __name__ == "__main__":
    eqd.run_command(main, Config, parse=parse)
