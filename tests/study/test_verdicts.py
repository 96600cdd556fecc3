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
