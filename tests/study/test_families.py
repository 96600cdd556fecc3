"""UNets and transformers in one table: names, verdicts within and between families, the page."""

import dataclasses
import json

import pytest

from equildm.runtime import from_json
from equildm.study import (
    fair_verdict,
    families,
    family_verdicts,
    laws,
    predict_largest,
    recommend,
    Row,
    straightness,
    verdicts,
    winners,
    write_report,
)

DIT = {"family": "dit", "run": "dit-tiny", "width": 128, "depth": 6}
FLOW = {"family": "unet rectified-flow/flow", "run": "flow"}


@pytest.fixture
def table(make_row):
    """A DiT that is cheaper, and better below 16 steps; a UNet that is better above them."""
    unet = [make_row(32, fid=20 + 400 / n, steps=n, gflops=2.0) for n in (2, 4, 8, 16, 32)]
    dit = [make_row(**DIT, fid=60 + 40 / n, steps=n, gflops=1.0) for n in (2, 4, 8, 16, 32)]
    return [*unet, *dit]


def test_a_transformer_is_named_by_its_family_width_and_depth(make_row):
    student = make_row(**DIT, method="lcm")
    assert (student.model, str(make_row(16).size)) == ("dit 128x6 lcm", "c = 16")
    assert make_row(16, **FLOW).model == "unet rectified-flow/flow 16"
    assert "use dit 128x6 distilled by lcm, sampler ddim" in str(recommend([student], 1e3))
    small, deep = make_row(**DIT), make_row(**DIT | {"depth": 12})
    assert small.size < deep.size


def test_a_row_of_before_there_were_families_is_a_unets(make_row):
    document = json.loads(json.dumps(dataclasses.asdict(make_row(16))))
    del document["family"], document["depth"]
    assert from_json(Row, document) == make_row(16)


def test_each_budget_has_its_best_family(table):
    found = family_verdicts(table)
    assert found[0].budget == 4.0 and found[-1].budget == 64.0
    assert found[0].answer == "dit" and found[-1].answer == "unet"
    assert found[0].best["dit"].steps == 4 and found[-1].best["unet"].steps == 32
    assert list(found[-1].best) == ["unet", "dit"] and found[-1].gaps["dit"].high < 0
    assert winners(table, [4.0, 64.0])[0].row.family == "dit"


def test_families_that_are_alike_are_undecided(make_row):
    rows = [make_row(32, fid=50.0, error=3.0), make_row(**DIT, fid=49.5, error=3.0)]
    assert {verdict.answer for verdict in family_verdicts(rows)} == {"undecided"}
    assert family_verdicts(rows[:1]) == []


def test_what_holds_within_a_family_refuses_two(table):
    for rule in (verdicts, fair_verdict, predict_largest):
        with pytest.raises(ValueError, match=r"is of one family, received dit, unet\. Pass"):
            rule(table)
    for rows in families(table).values():
        assert verdicts(rows)


def test_each_family_has_a_law_of_training(make_row):
    steps, sizes = (250, 500, 750, 1000), ({"width": 16}, {"width": 32}, DIT)
    rows = [
        make_row(**size, train_step=n, fid=1e3 / n, gflops=i + 1.0)
        for i, size in enumerate(sizes)
        for n in steps
    ]
    assert [name for name in laws(rows) if name.startswith("training")] == [
        *("training, all sizes of dit", "training, all sizes of unet"),
        *("training, dit 128x6", "training, c = 16", "training, c = 32"),
    ]


def test_straight_paths_are_as_good_in_few_steps(make_row):
    flow = [make_row(32, **FLOW, fid=fid, steps=n) for n, fid in ((2, 44.0), (4, 40.0), (8, 40.0))]
    curved = [make_row(32, fid=fid, steps=n) for n, fid in ((2, 200.0), (4, 100.0), (8, 50.0))]
    (axis,) = straightness([*flow, *curved]).axes
    ratios = {line.get_label(): list(line.get_ydata()) for line in axis.lines}
    assert ratios == {"c = 32": [4.0, 2.0, 1.0], "unet rectified-flow/flow 32": [1.1, 1.0, 1.0]}
    assert straightness(flow[:1]) is None


def test_the_page_has_each_family_and_the_two_beside_each_other(
    table, make_row, tmp_path, monkeypatch
):
    student = make_row(**DIT | {"run": "dit-tiny-lcm"}, method="lcm", fid=30.0, gflops=1.0)
    page = write_report(tmp_path / "two", [*table, student]).read_text()
    for words in (
        "findings on these runs: dit<",
        "findings on these runs: unet<",
        "Families at each budget",
        "checkpoints of dit 128x6, c = 32, distilled by lcm",
        "This size is best",
    ):
        assert words in page, words
    assert (tmp_path / "two" / "straightness.png").is_file()
    monkeypatch.setattr("equildm.study.report.FIGURES", {})  # test_report.py has them of UNets
    page = write_report(tmp_path / "one", table[:5]).read_text()
    assert "Families" not in page and "checkpoints of widths 32" in page
    assert not (tmp_path / "one" / "straightness.png").exists()
