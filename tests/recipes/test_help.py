"""`--help` and wrong options: at once, without jax, in groups, and one line for each mistake."""

import json
from typing import get_args

import pytest
from helpers import refusals, ROOT, run_python
from test_layout import RECIPES

from equildm.sampling import SolverName, SOLVERS

HELP = """
import contextlib, io, json, runpy, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("jax", "jaxlib", "equinox", "optax", "diffrax", "orbax", "matplotlib"):
            raise ImportError(f"--help loads {name}")
sys.meta_path.insert(0, Blocked())
helps = {}
for recipe in sys.argv[1:]:
    sys.path.insert(0, recipe.rpartition("/")[0])
    sys.argv = [recipe, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text:
        runpy.run_path(recipe, run_name="__main__")
    helps[recipe.rpartition("/")[2]] = text.getvalue()
print(json.dumps(helps))
"""


@pytest.fixture(scope="module")
def helps():
    """The text of every recipe's `--help`, in a process that cannot import jax."""
    return json.loads(run_python(HELP, *map(str, RECIPES), devices=1).splitlines()[-1])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_help_needs_no_jax_and_explains_every_option(helps, recipe):
    text = helps[recipe.name]
    assert text.startswith(f"usage: {recipe.name}")
    assert max(map(len, text.splitlines())) <= 100
    assert "\n    python recipes/" in text or "\npython recipes/" in text  # examples, as lines
    assert "None" not in text.replace("None of", "")
    lines = text.splitlines()
    flags = [number for number, line in enumerate(lines) if line.startswith("  --")]
    for number in flags:
        explained = lines[number][26:].strip() or lines[number + 1][26:].strip()
        assert explained or lines[number + 2][26:].strip(), lines[number]


def test_options_are_in_groups(helps):
    lines = helps["pretrain.py"].split("\noptions:")[1].splitlines()
    titles = ["options", *(line[:-1] for line in lines if line[-1:] == ":" and line[0] != " ")]
    groups = ["options", "data", "noise", "loss", "training", "run folder", "devices"]
    assert titles == [*groups, "optimizer", "processes", "monitor"]
    assert "dpm++2m" in helps["sample.py"] and "unipc3" in helps["sample.py"]


def test_mistakes_are_one_line_with_the_option_and_the_fix():
    said = refusals(
        ROOT / "recipes" / "sample.py",
        *(["runs/x", "--prompt", "a", *options] for options in (["--stepz", "3"],)),
        *(["runs/x", "--prompt", "a", "--count", "two"], ["runs/x", "--prompt", "a", "--seed"]),
        *(["runs/x", "--prompt", "a", "--rescale", "x"], ["runs/x", "--prompt", "a", "--count"]),
        *(["runs/x", "--prompt", "a", "--solver", "dpm2k"], []),
    )
    lines = [text.splitlines()[0] for text in said]
    assert all(text.count("\n") == 1 and text.endswith("\n1") for text in said), said
    assert lines[0].startswith("sample.py: Unrecognized options: --stepz, 3. Did you mean --step")
    assert lines[1] == "sample.py: --count is a whole number; received 'two'."
    assert lines[3] == "sample.py: --rescale is a number; received 'x'."
    assert lines[5].startswith("sample.py: --solver is one of ddim, ddpm,")
    assert lines[6] == "sample.py: --prompt must be given. See --help."


def test_every_solver_has_a_name_to_choose():
    assert set(get_args(SolverName)) == set(SOLVERS)
