"""The time that a sweep still takes, on a clock of its own."""

import itertools
import random

import pytest

from equildm.study.forecast import SweepForecast


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("overhead", [0.0, 0.3, 3.0])
def test_the_estimate_is_right_within_a_factor_of_1_3(overhead, processes):
    """Small points first, two programs a width, noise of a tenth, as in a real sweep."""
    chance, now = random.Random(0), 100.0
    points = list(itertools.product((16, 32, 64), ("ddim", "dpm++2m"), (2, 4, 8, 16, 32), (1, 3)))
    names = ["-".join(map(str, point)) for point in points]
    work = {n: w * w * s * g / 100 for n, (w, _, s, g) in zip(names, points)}
    programs = {n: (w, sampler) for n, (w, sampler, _, _) in zip(names, points)}
    forecast = SweepForecast(work, programs, clock=lambda: now)
    seen, estimates, ends = set(), [], []
    for number, name in enumerate(names):
        forecast.begin(name)
        if programs[name] not in seen:
            seen.add(programs[name])
            compiling = chance.uniform(8, 12)
            now += compiling
            forecast.compiled(compiling)
        now += (overhead + 0.02 * work[name]) * chance.uniform(0.9, 1.1)
        estimates.append(forecast.left(names[: number + 1], processes))
        ends.append(now)
    assert estimates[0] is None and estimates[-1] == 0
    for number in range(len(names) // 4, len(names) - 1):
        true = (now - ends[number]) / processes
        assert true / 1.3 < estimates[number] < true * 1.3, names[number]


def test_the_rate_alone_would_be_wrong():
    """Two points of different sizes are enough to tell what each costs and what operations do."""
    now = 0.0
    work = {"small": 1.0, "middle": 10.0, "large": 100.0}
    forecast = SweepForecast(work, dict.fromkeys(work, "one"), clock=lambda: now)
    for name in ("small", "middle"):
        forecast.begin(name)
        now += 5 + 0.1 * work[name]
    forecast.end()
    assert forecast.left({"small", "middle"}) == pytest.approx(15)
