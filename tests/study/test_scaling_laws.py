"""Power laws of training, of the frontier and of all sizes together."""

import dataclasses

import numpy as np
import pytest

from equildm.study import (
    FIGURES,
    fit_power_law,
    laws,
    verdicts,
)


def test_a_power_law_is_recovered_within_its_interval():
    random = np.random.default_rng(0)
    x = np.geomspace(1, 100, 9)
    inside = []
    for _ in range(300):
        y = 50 * x**-0.3 * np.exp(0.05 * random.standard_normal(9))
        law = fit_power_law(x, y)
        low, high = law.band([10.0])
        inside.append((law.interval[0] < -0.3 < law.interval[1], low[0] < 50 * 10**-0.3 < high[0]))
        assert law.exponent == pytest.approx(-0.3, abs=0.06)
    coverage = np.mean(inside, axis=0)
    assert np.all((coverage > 0.91) & (coverage < 0.985)), coverage


def test_an_exact_law_is_exact_and_too_few_points_are_refused():
    law = fit_power_law([1.0, 2.0, 4.0, 8.0], [3.0, 6.0, 12.0, 24.0])
    assert law.exponent == pytest.approx(1) and law.scale == pytest.approx(3)
    np.testing.assert_allclose(law([16.0]), [48.0])
    with pytest.raises(ValueError, match="at least 4 points"):
        fit_power_law([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="above 0"):
        fit_power_law([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])


def test_the_checkpoints_of_a_training_are_not_independent():
    """Trainings with luck of their own: the residuals' bootstrap missed the truth in a third."""
    random = np.random.default_rng(1)
    x = np.outer(np.geomspace(1, 30, 6), [1, 2, 3, 4])
    names = np.repeat(list("abcdef"), 4).tolist()
    held = []
    for _ in range(200):
        luck = 0.1 * random.standard_normal((6, 1)) + 0.01 * random.standard_normal((6, 4))
        y = 50 * x**-0.3 * np.exp(luck)
        low, high = fit_power_law(x.ravel(), y.ravel(), groups=names).interval
        held.append(low < -0.3 < high)
    assert np.mean(held) > 0.92
    two = fit_power_law(x[:2].ravel(), x[:2].ravel() ** -0.3, groups=names[:8])
    assert two.interval is None and two.exponent == pytest.approx(-0.3)


def test_the_frontier_has_no_interval(study):
    """It falls with cost whatever the rows are."""
    law = laws(study)["sampling, frontier"]
    assert law.interval is None and str(law).endswith(f"x^{law.exponent:.3f}, {law.points} points")
    with pytest.raises(ValueError, match="Draw the law alone"):
        law.band([1.0])
    alone = [row for row in study if row.width == 16 and row.train_step == 1000]
    assert FIGURES["laws"][1](alone) is not None


def test_laws_of_the_study(study):
    found = laws(study)
    law = found["training, all sizes"]
    assert law.points == 12 and law.interval[1] < 0
    assert set(found) >= {f"training, c = {w}" for w in (16, 32, 64)} | {"sampling, frontier"}


@pytest.mark.parametrize("wrong", [{"train_step": 0}, {"fid": 0.0}])
def test_a_law_leaves_out_what_has_no_logarithm(study, make_row, wrong):
    """One such checkpoint, beside twelve; and with three others, which are too few."""
    more = make_row(**{"width": 16, "train_step": 900, "steps": 32} | wrong)
    for name in ("training, all sizes", "training, c = 16"):
        assert str(laws([*study, more])[name]) == str(laws(study)[name])
    found = {v.finding.name: v for v in verdicts([*study, more])}["training compute"]
    assert found.answer == "reproduced" and "12 points" in found.numbers
    assert FIGURES["laws"][1]([*study, more]) is not None
    zero = [dataclasses.replace(row, fid=0.0) for row in study if row.steps == 4]
    assert len(verdicts([*study, *zero])) == len(verdicts(study)) == len(verdicts(zero))
    few = [make_row(train_step=step) for step in (10, 20, 30)] + [make_row(**wrong)]
    found = {v.finding.name: v for v in verdicts(few)}["training compute"]
    assert found.answer == "not tested" and "3 checkpoints" in found.numbers
