"""Tables of a study whose answers are known."""

import functools
import zlib

import numpy as np

from equildm.study import normalised_cost, Row

GROUPS = 40
_cost = functools.cache(normalised_cost)


def make_row(width=32, fid=100.0, error=1.0, **given):
    """A row with independent noise of a given size in its deviations."""
    cost = _cost(width)
    name = f"c{width:03d}{given.get('method', '')}"
    values = {"run": name, "train_step": 1000, "sampler": "ddim", "steps": 8, "guidance": 3.0}
    values |= {"parameters": 10 * width**2, "batch": 32, "cost": cost, "branches": 2}
    values |= {"gflops": 10 * cost, "seconds": width / 1e3, "device": "cpu"}
    values |= {"match": 0.4, "match_low": 0.3, "match_high": 0.5, "count": 192}
    values |= {"score": "VGG16-FID", "reference": "synthetic"} | given
    values.setdefault("evaluations", values["steps"])
    random = np.random.default_rng(zlib.crc32(repr((width, fid, sorted(given.items()))).encode()))
    deviations = random.standard_normal(GROUPS)
    deviations -= deviations.mean()
    deviations *= error / np.sqrt(np.mean(deviations**2))
    return Row(width=width, fid=fid, fid_spread=tuple(deviations.tolist()), **values)


def truth(width, train_step, sampler, steps, guidance, method=""):
    """FID of an imagined study in which the paper is right.

    The limit of many steps falls with width and training, the error of few steps is the same for
    all; the best guidance falls with the steps and is higher for larger models.
    """
    limit = 200.0 * (train_step * normalised_cost(width)) ** -0.1
    speed = {"ddim": 1.0, "ddpm": 1.6, "dpm++2m": 0.6}.get(sampler, 1.0)
    few = 400.0 * speed / steps**1.5 / (6.0 if method else 1.0)
    best = 1.5 + 6.0 / steps + width / 64
    return limit + few + 3.0 * (guidance - best) ** 2


def study():
    """The whole table of that study, without luck in the values."""
    rows = []
    for width in (16, 32, 64):
        full = [(1000, s, n, w) for s in ("ddim", "ddpm", "dpm++2m") for n in (2, 4, 8, 16, 32)
                for w in (1.5, 3.0, 5.0)]  # fmt: skip
        early = [(step, "ddim", 32, 3.0) for step in (250, 500, 750)]
        for step, sampler, steps, weight in full + early:
            rows.append((width, step, sampler, steps, weight, ""))
        for method in ("lcm", "guided"):
            rows += [(width, 300, "ddim", n, w, method) for n in (1, 2, 4, 8) for w in (1.5, 3.0)]
    made = []
    for width, step, sampler, steps, weight, method in rows:
        trained = 1000 if method else step
        extra = {"branches": 1} if method else {}
        fid = truth(width, trained, sampler, steps, weight, method)
        if method == "guided":
            fid *= 1.1 + width / 64  # of uneven use, and worse than the other
        made.append(
            make_row(
                width,
                fid,
                0.5,
                train_step=step,
                sampler=sampler,
                steps=steps,
                guidance=weight,
                method=method,
                **extra,
            )
        )
    return made
