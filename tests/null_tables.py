"""Tables in which the paper's findings do not hold: what a rule calls reproduced there is luck.

Each score is a mean over groups of captions, as a jackknife sees it: what all rows of a group share
(its difficulty), and what each row has of its own.
"""

import functools
from collections.abc import Callable

import numpy as np

from equildm.study import (
    FINDINGS,
    GUIDANCE_SCALES,
    laws,
    normalised_cost,
    reference_gflops,
    Row,
    TABLE_1,
    verdicts,
)

GROUPS = 40
WIDTHS = tuple(model.width for model in TABLE_1)
SAMPLERS = ("ddim", "ddpm", "dpm++2m")
STEPS = (4, 8, 16, 32, 50)
CHECKPOINTS = (125_000, 250_000, 375_000, 500_000)
TRUTH = 100.0
ERROR = 3.0

Key = tuple[int, int, str, int, float, str]
"""Width, training step, sampler, steps, guidance scale and method of a row."""


def grid(widths: tuple[int, ...] = WIDTHS, steps: tuple[int, ...] = STEPS) -> list[Key]:
    """The paper's own: sizes of table 1, three samplers, eight guidance scales, two students."""
    keys: list[Key] = []
    for width in widths:
        keys += [
            (width, CHECKPOINTS[-1], sampler, n, scale, "")
            for sampler in SAMPLERS
            for n in steps
            for scale in GUIDANCE_SCALES
        ]
        keys += [(width, step, "ddim", 50, 8.0, "") for step in CHECKPOINTS[:-1]]
        keys += [
            (width, 10_000, "ddim", n, scale, method)
            for method in ("codi", "guided")
            for n in (1, 2, 4, 8)
            for scale in (GUIDANCE_SCALES if method == "guided" else GUIDANCE_SCALES[:1])
        ]
    return keys


def flat(key: Key) -> float:
    """Nothing matters."""
    return TRUTH


def tied_guidance(key: Key) -> float:
    """Guidance matters; two scales are equally good for all sizes and steps."""
    return TRUTH + 2.0 * (key[4] - 3.5) ** 2


def alike_steps(key: Key) -> float:
    """Steps and students matter, alike at all sizes; a student is worth a factor of 2.2."""
    return TRUTH + 400.0 / (key[3] * (2.2 if key[5] else 1.0))


NULLS = {"flat": (flat, 0.0), "lucky trainings": (flat, 6.0)}
NULLS |= {"tied guidance": (tied_guidance, 0.0), "alike steps": (alike_steps, 0.0)}
"""Tables by name: the expected scores, and the standard deviation of a training."""

_OF_SIZES = {
    *("size", "small models at small budgets", "large models at large budgets"),
    *("same trend in every sampler", "distilled small models keep up"),
}
_NOT_NULL = {
    # The models of a table do differ, by luck of their trainings: intervals are over captions.
    "lucky trainings": _OF_SIZES,
    # Smaller models take more steps for the same cost, and students are better.
    "alike steps": {*(_OF_SIZES - {"size", "large models at large budgets"}), "distillation helps"},
}


def false_rates(name: str, count: int, keys: list[Key]) -> dict[str, float]:
    """How often each rule, and the interval of the frontier's law, finds what is not there.

    **Arguments:**

    - `name`: in `NULLS`.
    - `count`: of the tables.
    - `keys`: the grid.
    """
    truth, luck = NULLS[name]
    found = dict.fromkeys([finding.name for finding in FINDINGS] + ["frontier"], 0)
    for seed in range(count):
        rows = table(truth, seed, keys, luck=luck)
        for verdict in verdicts(rows):
            found[verdict.finding.name] += verdict.answer == "reproduced"
        law = laws(rows).get("sampling, frontier")  # none where few rows are on it
        if law is not None and law.interval is not None:
            found["frontier"] += law.interval[1] < 0 or law.interval[0] > 0
    rules = [rule for rule in found if rule not in _NOT_NULL.get(name, set())]
    return {rule: found[rule] / count for rule in rules}


@functools.cache
def _costs(width: int) -> tuple[float, float]:
    return normalised_cost(width), reference_gflops(width)


def table(
    truth: Callable[[Key], float],
    seed: int,
    keys: list[Key],
    *,
    luck: float = 0.0,
    groups: int = GROUPS,
    shared: float = 0.7,
) -> list[Row]:
    """One table of an experiment without the effect.

    **Arguments:**

    - `truth`: the expected score of a row.
    - `seed`: of the luck.
    - `keys`: the rows.
    - `luck`: standard deviation of a training: what its checkpoints and samples have in common.
    - `groups`: of the jackknife.
    - `shared`: the share of the error's variance that all rows have in common.
    """
    random = np.random.default_rng(seed)
    own = random.standard_normal((len(keys), groups)) * np.sqrt(1 - shared)
    values = ERROR * np.sqrt(groups) * (own + random.standard_normal(groups) * np.sqrt(shared))
    trainings = {width: luck * random.standard_normal() for width in {key[0] for key in keys}}
    means = values.mean(axis=1)
    spreads = (means[:, None] - values) / np.sqrt(groups - 1)
    rows = []
    for key, mean, spread in zip(keys, means, spreads):
        width, step, sampler, steps, scale, method = key
        cost, gflops = _costs(width)
        rows.append(
            Row(
                run=f"c{width:03d}{method}",
                train_step=step,
                sampler=sampler,
                steps=steps,
                guidance=scale,
                width=width,
                parameters=0,
                batch=2048,
                method=method,
                cost=cost,
                evaluations=steps,
                branches=1 if method else 2,
                gflops=gflops,
                seconds=0.0,
                device="cpu",
                score="FID",
                fid=float(truth(key) + mean + trainings[width]),
                fid_spread=tuple(spread.tolist()),
                match=0.4,
                match_low=0.3,
                match_high=0.5,
                count=30_000,
                reference="simulated",
            )
        )
    return rows
