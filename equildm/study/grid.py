"""The grid of a study: every way in which every model is sampled."""

from collections.abc import Sequence

from ..runtime import Checkpoints
from .config import GridConfig
from .runs import StudyRun
from .table import Point

Way = tuple[int, str, int, float]
"""Training step, sampler, sampling steps and guidance scale."""


def points(runs: Sequence[StudyRun], grid: GridConfig) -> list[tuple[Point, StudyRun]]:
    """Everything that is sampled, with its run, in an order that loads each model once.

    The newest checkpoint of a model is sampled in all ways of the grid, earlier ones in the way of
    `reference`, and by its sampler and scale in each number of `earlier_steps`. A student is
    sampled by its own sampler, with the guidance scales that it can take.

    **Arguments:**

    - `runs`: with different names.
    - `grid`: the ways.

    **Raises** `ValueError` for a run without a checkpoint.
    """
    runs_of: dict[Point, StudyRun] = {}
    for run in runs:
        ways = _model_ways(run, grid) if run.distill is None else _student_ways(run, grid)
        for step, sampler, steps, scale in ways:
            for seed in grid.seeds:
                runs_of[Point(run.name, step, sampler, steps, scale, seed)] = run
    order = {run.name: i for i, run in enumerate(runs)}
    ordered = sorted(runs_of, key=lambda p: (order[p.run], -p.train_step, p.sampler, p))
    return [(point, runs_of[point]) for point in ordered]


def _model_ways(run: StudyRun, grid: GridConfig) -> list[Way]:
    newest = run.newest
    earlier = [step for step in Checkpoints(run.run.averages).steps() if step < newest]
    ways = [
        (newest, sampler, steps, scale)
        for sampler in grid.samplers
        for steps in grid.sampling_steps
        for scale in grid.guidance_scale
    ]
    sampler, steps, scale = grid.reference
    return ways + [
        (step, sampler, number, scale)
        for step in (*earlier, newest)
        for number in (steps, *grid.earlier_steps)
    ]


def _student_ways(run: StudyRun, grid: GridConfig) -> list[Way]:
    assert run.distill is not None
    model, newest = run.model.model, run.newest
    scales = grid.guidance_scale
    if run.distill.settings.guidance == "fixed":
        scales = (1.0,)
    elif run.distill.settings.guidance == "embedded":
        low, high = run.distill.guidance_range
        scales = tuple(s for s in scales if low <= s <= high) or (model.guidance_scale,)
    return [
        (run.model.stage(steps) or newest, model.solver, steps, scale)
        for steps in grid.student_steps
        for scale in scales
    ]
