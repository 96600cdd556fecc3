"""The code of the guide runs as it stands."""

import re

from helpers import ROOT


def test_the_guide_to_the_study_runs():
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    names: dict = {}
    exec(compile(code, "docs/study.md", "exec"), names)  # its assertions are a part of the test
    table, study = names["table"], names["study"]
    said = str(study.recommend(table, 0.2))
    assert said in " ".join(line.lstrip("# ") for line in code.splitlines())
    assert study.recommend(table, 1.0).row.width == 32
