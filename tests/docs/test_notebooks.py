"""Notebooks run from top to bottom, and show what they compute."""

import ast
import json

import pytest
from helpers import ROOT, run_python

import equildm

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def cells(path, kind="code"):
    notebook = json.loads(path.read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def code(path):
    return "\n\n".join("".join(cell["source"]) for cell in cells(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_its_output(path):
    shown = [output for cell in cells(path) for output in cell["outputs"]]
    assert shown and not any(output["output_type"] == "error" for output in shown)
    for node in ast.walk(ast.parse(code(path))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "eqd" or hasattr(equildm, node.attr), node.attr
    page = (ROOT / "docs/notebooks/README.md").read_text()
    assert f"({path.name})" in page


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    """Its assertions are the test."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "study").symlink_to(ROOT / "docs" / "study")
    there = f"import os\nos.chdir({str(tmp_path / 'notebooks')!r})\n"
    run_python(there + code(path), devices=1, env={"MPLBACKEND": "agg"})
