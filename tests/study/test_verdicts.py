"""Verdicts in worlds where the paper is right, where it is wrong, and where there is noise."""

import dataclasses

import pytest

from equildm.study import (
    score,
    verdicts,
)


def test_verdicts_in_a_world_where_the_paper_is_right(study):
    found = {v.finding.name: v for v in verdicts(study)}
    expected = dict.fromkeys(found, "reproduced")
    expected["downstream"] = "not tested"
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
    assert {v.answer for v in verdicts(study[:1])} == {"not tested"}
    assert score(noisy[0]).error == pytest.approx(500)


def test_a_sampler_does_not_win_by_a_scale_that_it_alone_was_tried_at(make_row):
    """DPM-Solver++ is better at guidance 1. DDIM was also sampled at 3, and is far better there."""
    rows = [
        make_row(fid=fid, error=1.0, sampler=sampler, width=width, steps=steps, guidance=scale)
        for sampler, scale, fid in (
            ("dpm++2m", 1.0, 80.0),
            ("ddim", 1.0, 100.0),
            ("ddim", 3.0, 9.0),
        )
        for width in (8, 16)
        for steps in (4, 8)
    ]
    verdict = next(v for v in verdicts(rows) if v.finding.name == "DPM-Solver++")
    assert verdict.answer == "reproduced", verdict
    assert "better in 4 of 4 cases" in verdict.numbers and "median -20" in verdict.numbers


def test_a_size_does_not_win_by_a_way_that_it_alone_was_sampled_in(make_row):
    rows = [
        make_row(fid=fid, error=1.0, sampler=sampler, width=width, steps=steps, guidance=scale)
        for width, sampler, scale, fid in (
            (8, "ddim", 1.0, 100.0),
            (8, "ddim", 3.0, 9.0),
            (8, "ddpm", 1.0, 9.0),
            (16, "ddim", 1.0, 50.0),
        )
        for steps in (4, 50)
    ]
    found = {v.finding.name: v for v in verdicts(rows)}
    assert found["size"].answer == "reproduced", found["size"]
    assert found["small models at small budgets"].answer == "not reproduced"
    alone = {v.finding.name: v.answer for v in verdicts([r for r in rows if r.fid != 100.0])}
    for name in ("size", "small models at small budgets", "large models at large budgets"):
        assert alone[name] == "not tested", name


def test_a_size_does_not_win_by_a_way_that_it_alone_was_distilled_or_sampled_in(make_row):
    """Students are equally good, but for a method and a teacher's scale that c = 8 alone had."""
    rows = [
        make_row(fid=fid, error=0.01, width=width, steps=steps, guidance=scale, method=method)
        for width, method, scale, steps, fid in (
            *((w, "", 1.0, n, 1600.0 / n) for w in (8, 16) for n in (4, 8, 16, 32)),
            *((8, "", 3.0, n, 32.0 / n) for n in (4, 8, 16, 32)),
            *((w, "codi", 1.0, 4, 100.0) for w in (8, 16)),
            (8, "progressive", 1.0, 4, 1.0),
        )
    ]
    found = {v.finding.name: v for v in verdicts(rows)}
    speed = found["distillation speeds all sizes alike"]
    assert speed.answer == "reproduced" and "c = 8: 4 (" in speed.numbers, speed
    budgets = found["distilled small models keep up"]
    assert "Smaller better at" in budgets.numbers and "larger at 0" in budgets.numbers
    assert budgets.answer == "not resolvable at this scale", budgets


def test_two_trainings_of_a_size_that_were_sampled_in_different_ways(make_row):
    """The second seed has one scale only: the first one's scales are compared."""
    rows = [
        make_row(run=run, width=width, fid=50.0 - scale, error=1.0, steps=steps, guidance=scale)
        for run, width, scales in (
            ("a-seed", 8, (1.0,)),
            ("b", 8, (1.0, 2.0, 3.0)),
            ("c", 16, (1.0, 2.0, 3.0)),
        )
        for steps in (4, 50)
        for scale in scales
    ]
    found = {v.finding.name: v for v in verdicts(rows)}
    assert "c = 8 and 16: 3 and 3" in found["guidance and size"].numbers
    assert found["guidance and steps"].answer == "not resolvable at this scale"
