"""What a scaling study refuses before anything is done."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import choices
from judge import data_config
from pretrain import Config as Pretrain
from required import of_inception, require, Rule, there

from equildm.denoise import preset
from equildm.runtime import Run

if TYPE_CHECKING:
    from study_grid import Config


def check(config: "Config") -> None:
    """`ValueError` for options that cannot work, alone or together."""
    for name in {*config.samplers, config.reference[0]}:
        choices.solver(name)
    if config.runs and (config.phase in ("train", "distill")):
        raise ValueError("A study of runs that are there trains nothing: leave --runs out.")
    own = Pretrain(steps=config.train.steps)
    for name in ("run", "preset", "snapshots", "resume"):
        if getattr(config.train, name) != getattr(own, name):
            raise ValueError(f"--train.{name} is the study's own: leave it out.")
    require(config, sampling(config))
    if config.phase in ("all", "sweep"):
        require(config, [there("inception", config.inception)])
        check_alike(config.runs)
    if not config.runs:
        require(config, ladder(config))
        for width in config.widths:
            preset(width)  # refuses what is none


def sampling(config: "Config") -> list[Rule]:
    """Of the grid, its scores and the report."""
    _, steps, weight = config.reference
    left = config.count - -(-config.count // max(1, min(config.groups, config.count)))
    budgets = all(math.isfinite(b) and b > 0 for b in config.budgets)
    return [
        at_least("Steps", 1, "steps", *config.steps),
        at_least("Steps", 1, "student_steps", *config.student_steps),
        at_least("Steps", 1, "reference", steps),
        guidance("cfg", *config.cfg),
        guidance("reference", weight),
        at_least("Seeds", 1, "seeds", len(config.seeds)),
        at_least("Pictures of a point", 2, "count", config.count),
        at_least("Pictures at a time", 1, "batch", config.batch),
        at_least("Real pictures", 2, "real", config.real),
        at_least("Pictures that are kept", 0, "pictures", config.pictures),
        at_least("Groups", 2, "groups", config.groups),
        Rule(
            left >= 2,
            "groups",
            f"Without one of the groups, 2 of --count {config.count} pictures are left",
            "Raise --count or --groups",
        ),
        Rule(budgets, "budgets", "Budgets are numbers above 0", "An evaluation of the 866M is 1"),
        of_inception(config.resize, config.inception),
    ]


def ladder(config: "Config") -> list[Rule]:
    """Of the models that the study trains."""
    low, high = config.distill_weights
    once = len(set(config.widths)) == len(config.widths)
    even = config.checkpoints > 0 and config.train.steps % config.checkpoints == 0
    phases = max((len(c.phases) for c in config.distillation()), default=1) if even else 1
    return [
        at_least("Widths", 1, "widths", len(config.widths)),
        Rule(once, "widths", "Each width is trained once", "Leave out what is repeated"),
        Rule(
            even,
            "checkpoints",
            f"Checkpoints lie at equal intervals of {config.train.steps} steps",
            "Make --train.steps a multiple of it",
        ),
        at_least("Updates", 1, "distill_steps", config.distill_steps),
        Rule(
            config.distill_steps % phases == 0,
            "distill_steps",
            f"The {phases} phases of a staged method are equally long",
            "Use a multiple of 12",
        ),
        guidance("distill_weights", low, high),
        Rule(low <= high, "distill_weights", "A range goes from low to high", "Swap the two"),
    ]


def at_least(what: str, least: int, option: str, *counts: int) -> Rule:
    """That there are so many of something."""
    fits = all(count >= least for count in counts)
    return Rule(fits, option, f"{what} are at least {least}", f"Use {least} or more")


def guidance(option: str, *weights: float) -> Rule:
    """That these are weights of guidance."""
    fits = all(math.isfinite(weight) and weight >= 0 for weight in weights)
    return Rule(fits, option, "Guidance weights are numbers from 0 on", "Use 1 for no guidance")


def check_alike(paths: Sequence[Path]) -> None:
    """Refuses runs that one table does not compare: of other recipes, or of other pictures."""
    for path in paths:
        run = Run.open(path)
        if run.recipe not in ("pretrain", "distill"):
            raise ValueError(
                f"A study is of runs of pretrain.py and distill.py, received {path} of "
                f"{run.recipe}. Leave it out of --runs."
            )
        trained, first = data_config(run), data_config(Run.open(paths[0]))
        for name in ("data", "held_out", "size", "caption_length"):
            value, wanted = getattr(trained, name), getattr(first, name)
            if value != wanted:
                raise ValueError(
                    f"Runs of one study have one {name}, received {value!r} in {path} beside "
                    f"{wanted!r} in {paths[0]}. Leave one of them out of --runs."
                )
