"""The code of the guide runs as it stands."""

from helpers import page_code


def test_the_guide_to_the_study_runs():
    code = page_code("docs/study.md")
    names: dict = {}
    exec(compile(code, "docs/study.md", "exec"), names)  # its assertions are a part of the test
    table, study = names["table"], names["study"]
    said = str(study.recommend(table, 0.4))
    assert said in " ".join(line.lstrip("# ") for line in code.splitlines())
    assert study.recommend(table, 1.0).row.width == 32
