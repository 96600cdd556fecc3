"""Recommendations on tables whose best row is known."""

import dataclasses

import numpy as np
import pytest

from equildm.study import (
    newest,
    Price,
    recommend,
)


def test_the_recommendation_is_the_true_best_and_says_so(study):
    twice = Price(counting="twice")
    for budget in (0.5, 3.0, 20.0):
        found = recommend(study, budget, price=twice)
        payable = [r for r in newest(study) if twice(r) <= budget]
        assert found.row.fid == min(r.fid for r in payable)
        assert found.cost <= budget and found.expected.value >= found.row.fid
    said = str(recommend([r for r in study if not r.method], 20.0))
    assert said.startswith("For a budget of 20 GFLOP an image, use width 64, sampler ")
    assert "guidance" in said and "expected VGG16-FID" in said and "±" in said
    assert "distilled by lcm" in str(recommend(study, 0.5, price=twice))


@pytest.mark.parametrize(("unit", "little"), [("paper", 0.03), ("seconds", 0.02)])
def test_budgets_in_other_units(study, unit, little):
    cheap, dear = (recommend(study, budget, price=Price(unit)) for budget in (little, 100.0))
    assert cheap.row.width < dear.row.width
    assert cheap.cost <= little


def test_what_cannot_be_recommended(study):
    with pytest.raises(ValueError, match="pays for nothing in this table, whose cheapest costs"):
        recommend(study, 1e-9)
    with pytest.raises(ValueError, match="no rows"):
        recommend([], 1.0)
    with pytest.raises(ValueError, match="one kind"):
        recommend([study[0], dataclasses.replace(study[1], score="other")], 1.0)


def test_seconds_are_of_one_device(study):
    other = [dataclasses.replace(row, device="gpu", seconds=row.seconds / 100) for row in study]
    with pytest.raises(ValueError, match=r"one device, received rows of cpu, gpu\. Select .*'cpu'"):
        recommend([*study[:20], *other[20:]], 0.02, price=Price("seconds"))
    unmeasured = [dataclasses.replace(row, seconds=0.0) for row in other[20:]]
    assert recommend([*study[:20], *unmeasured], 0.02, price=Price("seconds")).row.device == "cpu"
    assert recommend([*study[:20], *other[20:]], 3.0).cost <= 3.0


def test_the_expectation_allows_for_luck(make_row):
    """Of 30 equally good ways with errors of 2, the best looks good: its interval must not."""
    random = np.random.default_rng(0)
    missed, sure = [], []
    for _ in range(60):
        rows = [
            make_row(fid=100 + 2 * random.standard_normal(), error=2.0, guidance=1 + i / 10, seed=0)
            for i in range(30)
        ]
        found = recommend(rows, 100.0)
        missed.append(not found.expected.low <= 100.0 <= found.expected.high)
        assert found.row.fid < found.expected.value
        sure.append(found.probability)
    assert np.mean(missed) < 0.15 and np.mean(sure) < 0.6
