"""Files of results, and their table."""

import pytest
from helpers import ROOT

from equildm.plan import append_result, markdown_page, PlanConfig, read_results
from equildm.plan.table import is_fastest, table_row


@pytest.fixture
def case():
    (case,) = PlanConfig(per_chip=8).cases()
    return case


def test_a_program_that_does_not_fit(case, tmp_path):
    result = {
        "case": case.key(),
        "chips": 16,
        "per_chip": 8,
        "parts": 16,
        "versions": {},
        "limit": 2**34,
        "fits": False,
        "memory": 2**35,
    }
    file = tmp_path / "results" / "plans.jsonl"
    append_result(file, result)
    assert read_results(file) == [result]
    assert table_row(result, 500_000)[6:8] == ["32.00 / 16.00", "no, 16.0 over"]


def test_a_star_is_for_the_fastest_of_several_meshes(case):
    def result(mesh, seconds, memory=0.1, **options):
        key = {**case.key(), "mesh": mesh, **options}
        bound = {"seconds": seconds, "compute": seconds, "memory": memory, "links": 0.0}
        return {"case": key, "fits": True, "bound": bound}

    slow, fast = result("fsdp=16", 2.0), result("data=4,fsdp=4", 1.0)
    remat = result("data=16", 0.5, remat="dots")
    stars = [is_fastest(each, [slow, fast, remat]) for each in (slow, fast, remat)]
    assert stars == [False, True, False]
    equal = result("data=2,fsdp=8", 1.0, memory=0.2)  # as fast, with more traffic
    assert [is_fastest(each, [slow, fast, equal]) for each in (fast, equal)] == [True, False]


def test_a_line_cut_off_is_removed(tmp_path):
    file = tmp_path / "plans.jsonl"
    assert read_results(file) == []
    file.write_text('{"a": 1}\n{"a": ')
    assert read_results(file) == [{"a": 1}] == read_results(file)
    assert file.read_text() == '{"a": 1}\n'


def test_the_published_page_is_that_of_the_published_results():
    folder = ROOT / "docs" / "scale"
    page = markdown_page(read_results(folder / "plans.jsonl"), 500_000)
    assert page == (folder / "plans.md").read_text(encoding="utf-8")
    rows = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert len(rows) > 20 and len(set(rows)) == 1
