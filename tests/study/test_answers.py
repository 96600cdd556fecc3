"""Differences, winners and the frontier on tables whose answers are known."""

import dataclasses

import numpy as np
import pytest
from study_tables import truth

from equildm.study import (
    best,
    difference,
    draws,
    FIGURES,
    laws,
    newest,
    optimal_guidance,
    OWN_COST,
    pareto,
    recommend,
    verdicts,
    winners,
)


def test_difference_uses_what_rows_share(make_row):
    a = make_row(fid=100.0, error=4.0)
    b = dataclasses.replace(a, fid=103.0, steps=16)  # the very same deviations
    assert difference(a, b).error == 0.0 and difference(a, b).sign == -1
    c = dataclasses.replace(b, reference="other captions")
    assert difference(a, c).error == pytest.approx(4.0 * 2**0.5) and difference(a, c).sign == 0


def test_draws_have_the_rows_covariance(make_row):
    a, b = make_row(fid=100.0, error=4.0), make_row(fid=90.0, error=2.0, steps=4)
    made = draws([a, b], 20_000)
    covariance = np.mean(np.multiply(a.fid_spread, b.fid_spread))
    np.testing.assert_allclose(made.mean(axis=0), [100, 90], atol=0.15)
    wider = 39 / 37  # the variance of Student's distribution for 40 groups
    expected = wider * np.array([[16, covariance], [covariance, 4]])
    np.testing.assert_allclose(np.cov(made.T), expected, atol=0.5)


def test_the_winner_of_each_budget_is_the_true_one(study):
    rows = [row for row in newest(study) if not row.method]
    for winner in winners(rows, [0.2, 1.0, 5.0, 20.0]):
        payable = [row for row in rows if OWN_COST(row) <= winner.budget]
        expected = min(payable, key=lambda r: truth(r.width, 1000, r.sampler, r.steps, r.guidance))
        assert winner.row == expected
        assert winner.largest.width == max(row.width for row in payable)
    small, large = winners(rows, [0.5, 20.0])
    assert small.row.width < 64 and small.probability > 0.95 and large.row.width == 64


def test_a_budget_that_pays_for_nothing_has_no_winner(study):
    assert winners(study, [1e-9]) == [] and winners([], [1.0]) == []


def test_the_best_guidance_of_each_size_and_number_of_steps(study):
    plain = optimal_guidance([r for r in newest(study) if not r.method])
    chosen = {(r.width, r.sampler, r.steps): r.guidance for r in plain}
    assert chosen[16, "ddim", 2] == 5.0 and chosen[16, "ddim", 32] == 1.5
    assert chosen[64, "ddim", 32] == 3.0


def test_the_frontier_falls_and_nothing_lies_below_it(study):
    front = pareto(study)
    costs, fids = [OWN_COST(r) for r in front], [r.fid for r in front]
    assert costs == sorted(costs) and fids == sorted(fids, reverse=True)
    for row in study:
        assert any(f.fid <= row.fid and OWN_COST(f) <= OWN_COST(row) for f in front)


def test_what_diverged_is_never_chosen_and_changes_nothing(study):
    """A row of it before each other one, and a whole run; of nothing else there is no best."""
    broken = [
        dataclasses.replace(row, fid=value, guidance=row.guidance + 0.25, run=run)
        for row in study
        for run, value in ((row.run, np.nan), ("diverged", np.inf))
    ]
    rows = [*broken, *study]
    plain, whole = ([r for r in newest(table) if not r.method] for table in (study, rows))
    assert best(rows) == best(study) and pareto(rows) == pareto(study)
    assert optimal_guidance(rows) == optimal_guidance(study)
    assert winners(whole, [0.5, 20.0]) == winners(plain, [0.5, 20.0])
    assert recommend(rows, 3.0) == recommend(study, 3.0)
    assert recommend(rows, 3.0, every_checkpoint=True) == recommend(
        study, 3.0, every_checkpoint=True
    )
    assert {n: str(law) for n, law in laws(rows).items()} == {
        n: str(law) for n, law in laws(study).items()
    }
    assert verdicts(rows) == verdicts(study)
    for _, draw in FIGURES.values():
        axes = [figure.axes for figure in map(draw, (rows, study)) if figure is not None]
        seen = [[line.get_xydata().tolist() for axis in a for line in axis.lines] for a in axes]
        assert seen[0] == seen[1]
    assert pareto(broken) == winners(broken, [2.0]) == optimal_guidance(broken) == []
    assert laws(broken) == {} and not any(draw(broken) for _, draw in FIGURES.values())
    with pytest.raises(ValueError, match="finite"):
        best(broken)
    with pytest.raises(ValueError, match=r"finite scores .* no rows"):
        recommend(broken, 1.0)
    assert {v.answer for v in verdicts(broken)} == {"not tested"}


def test_a_run_whose_last_checkpoint_diverged_is_the_one_before(study):
    last = [
        dataclasses.replace(row, train_step=2000, fid=np.inf) for row in study if not row.method
    ]
    assert recommend([*study, *last], 20.0) == recommend(study, 20.0)
