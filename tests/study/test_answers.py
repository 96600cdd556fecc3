"""Frontier, laws and recommendation on tables whose answers are known."""

import dataclasses

import numpy as np
import pytest
from study_tables import truth

from equildm.study import (
    best,
    difference,
    draws,
    FIGURES,
    fit_power_law,
    laws,
    newest,
    optimal_guidance,
    OWN_COST,
    pareto,
    Price,
    recommend,
    score,
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
    assert {v.answer for v in verdicts(broken)} == {"not resolvable at this scale"}


def test_a_run_whose_last_checkpoint_diverged_is_the_one_before(study):
    last = [
        dataclasses.replace(row, train_step=2000, fid=np.inf) for row in study if not row.method
    ]
    assert recommend([*study, *last], 20.0) == recommend(study, 20.0)


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
    assert found.answer == "not resolvable at this scale" and "3 checkpoints" in found.numbers


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


def test_verdicts_in_a_world_where_the_paper_is_right(study):
    found = {v.finding.name: v for v in verdicts(study)}
    expected = dict.fromkeys(found, "reproduced")
    expected["downstream"] = "not resolvable at this scale"
    answers = {name: v.answer for name, v in found.items()}
    assert {n: a for n, a in answers.items() if a != expected[n]} == {}
    assert "c = 64" in found["size"].numbers


def test_verdicts_in_a_world_where_it_is_wrong(study):
    """Larger is worse and always was; distilling hurts; DDPM is good and DPM-Solver++ is not."""
    swapped = {"ddpm": "dpm++2m", "dpm++2m": "ddpm"}
    rows = [
        dataclasses.replace(
            row,
            fid=1e4 / row.fid
            if row.train_step < 1000 and not row.method
            else row.fid * row.width + (500 if row.method == "lcm" else 0),
            sampler=swapped.get(row.sampler, row.sampler),
        )
        for row in study
    ]
    answers = {v.finding.name: v.answer for v in verdicts(rows)}
    for name in ("size", "large models at large budgets", "DDPM in few steps", "DPM-Solver++"):
        assert answers[name] == "not reproduced", name
    assert answers["small models at small budgets"] == "reproduced"


def test_a_case_or_two_of_many_is_not_a_trend(make_row):
    """Of twelve comparisons DDPM loses two, which says little, or three, a quarter."""
    ways = [(width, steps) for width in (8, 16, 32) for steps in (2, 4, 8, 16)]
    for worse, expected in ((2, "not resolvable at this scale"), (3, "reproduced")):
        rows = [
            make_row(
                fid=100.0 + 50 * (sampler == "ddpm" and i < worse),
                error=1.0,
                sampler=sampler,
                width=width,
                steps=steps,
            )
            for i, (width, steps) in enumerate(ways)
            for sampler in ("ddim", "ddpm")
        ]
        answers = {v.finding.name: v for v in verdicts(rows)}
        assert answers["DDPM in few steps"].answer == expected, answers["DDPM in few steps"]


def test_noise_is_not_a_verdict(study):
    noisy = [
        dataclasses.replace(row, fid_spread=tuple(1e3 * d for d in row.fid_spread)) for row in study
    ]
    answers = {v.finding.name: v.answer for v in verdicts(noisy)}
    unknown = "not resolvable at this scale"
    for name in (
        "size",
        "small models at small budgets",
        "DDPM in few steps",
        "guidance and steps",
        "guidance and size",
        "distillation helps",
        "distillation speeds all sizes alike",
    ):
        assert answers[name] == unknown, name
    other = dataclasses.replace(study[0], reference="others")
    with pytest.raises(ValueError, match="scores of one kind"):
        verdicts([*study, other])
    assert {v.answer for v in verdicts(study[:1])} == {unknown}
    assert score(noisy[0]).error == pytest.approx(500)
