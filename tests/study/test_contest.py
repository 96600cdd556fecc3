"""The best of some rows against the best of others: no luck of the choice is left."""

import dataclasses

import null_tables
import numpy as np
import pytest
import scipy.stats

from equildm.study import best, contest, difference, Estimate, group_values, regrets, score


def rows_of(count, seed, groups=40):
    """Equally good ways of one model."""
    keys = [(64, 1000, "ddim", 8, 1 + i / 100, "") for i in range(count)]
    return null_tables.table(null_tables.flat, seed, keys, groups=groups)


def shifted(row, by):
    return dataclasses.replace(row, fid=row.fid + by)


@pytest.mark.parametrize("groups", [8, 40])
def test_the_best_of_a_hundred_is_no_better_than_one(groups):
    """The difference of the best was below 0 in most of such tables, by more than its interval."""
    fair, lucky, signs = [], [], []
    for seed in range(150):
        *many, one = rows_of(101, seed, groups)
        estimate = contest(many, [one])
        fair.append(estimate.value)
        signs.append(estimate.sign)
        lucky.append(difference(best(many), one).sign)
    assert abs(np.mean(fair)) < 4 * np.std(fair) / 150**0.5
    assert np.mean(np.array(signs) == -1) <= 0.05 < 0.3 < np.mean(np.array(lucky) == -1)


def test_a_true_difference_is_found():
    *many, one = rows_of(9, 0)
    better = [shifted(many[0], -20.0), *many[1:]]
    estimate = contest(better, [one])
    assert estimate.value == pytest.approx(-20.0, abs=3) and estimate.sign == -1
    assert contest([one], better).value == pytest.approx(-estimate.value)
    assert estimate.sign_among(1000) == -1 and estimate.degrees == 19


def test_what_each_loses_at_the_others_best():
    a, b = rows_of(4, 1), rows_of(4, 2)
    a[0], b[3] = shifted(a[0], -30.0), shifted(b[3], -40.0)
    own, other = regrets(a, b)
    assert own.value == pytest.approx(30.0, abs=6) and other.value == pytest.approx(40.0, abs=6)
    assert own.sign_among(20) == other.sign_among(20) == 1
    same = regrets(a, [shifted(row, 5.0) for row in a])
    assert [loss.value for loss in same] == [0.0, 0.0] and [loss.sign for loss in same] == [0, 0]


def test_groups_see_the_distance():
    rows = rows_of(3, 3)
    values = group_values(rows)
    np.testing.assert_allclose(values.mean(axis=1), [row.fid for row in rows])
    errors = values.std(axis=1, ddof=1) / 40**0.5
    np.testing.assert_allclose(errors, [score(row).error for row in rows])
    with pytest.raises(ValueError, match="of the same captions, received"):
        group_values([rows[0], dataclasses.replace(rows[1], reference="others")])


def test_halves_of_one_group_have_no_interval():
    a, b = rows_of(2, 4, groups=3)
    estimate = contest([a], [shifted(b, 1e6)])
    assert estimate.margin == np.inf and estimate.sign == 0


def test_few_groups_have_students_intervals():
    """Two of them were said to be as certain as forty."""
    for groups, factor in ((2, 12.71), (6, 2.571), (40, 2.023)):
        estimate = score(rows_of(1, 5, groups)[0])
        assert estimate.margin == pytest.approx(factor * estimate.error, rel=1e-3)
    estimate = Estimate(2.5, 1.0, 39)
    assert (estimate.sign, estimate.sign_among(9)) == (1, 0)
    assert Estimate(3.0, 1.0, 39).sign_among(9) == 1  # the quantile is 2.94
    assert scipy.stats.t.ppf(1 - 0.025 / 9, 39) == pytest.approx(2.94, abs=0.01)
