"""The scripts of the page of tutorials run, and are as long as its table says."""

import ast
import re

import jax
import jax.numpy as jnp
import pytest
from helpers import ROOT

PAGE = (ROOT / "docs" / "tutorials.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in PAGE.split("\n## ")
}


def run(heading: str) -> dict:
    names: dict = {}
    exec(compile("\n".join(SECTIONS[heading]), heading, "exec"), names)
    return names


def lines(code: str) -> int:
    """By the page's rule: no blank line, no import, no check."""
    tree = ast.parse(code)
    left_out = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom | ast.Assert)]
    gone = {i for node in left_out for i in range(node.lineno, (node.end_lineno or 0) + 1)}
    numbered = enumerate(code.splitlines(), start=1)
    return sum(bool(line.strip()) and number not in gone for number, line in numbered)


@pytest.mark.slow  # trains
def test_points():
    names = run("Points in two dimensions")  # its assertion compares them with the data
    assert names["samples"].shape == (2048, 1, 1, 2)


@pytest.mark.slow  # trains
def test_images_of_a_class():
    names = run("Images of a class")
    assert names["of_the_data"].shape == names["of_one_class"].shape == (4, 32, 32, 3)
    weights = jax.tree.leaves(names["weights"])  # the dictionary has every array of the module
    assert sum(x.size for x in weights) == sum(x.size for x in jax.tree.leaves(names["module"]))


@pytest.mark.slow  # trains
def test_images_by_a_transformer():
    names = run("Images by a transformer")
    assert bool(jnp.isfinite(names["of_the_data"]).all())


@pytest.mark.parametrize(
    ("tutorial", "blocks"),
    [
        ("2d_training", SECTIONS["Points in two dimensions"]),
        ("mnist", SECTIONS["Images of a class"][:1]),
        ("mnist_nn_and_nnx", SECTIONS["Images of a class"]),
        ("mnist_dit", SECTIONS["Images by a transformer"]),
    ],
)
def test_the_table_counts(tutorial, blocks):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{tutorial}` |"))
    theirs, ours = (int(cell.split("(")[0]) for cell in row.split("|")[3:5])
    assert ours == sum(map(lines, blocks)) < theirs
