"""The table and the figure of a comparison of samplers."""

from functools import partial

import jax.numpy as jnp
import pytest

from equildm.noise import grids, RectifiedFlow
from equildm.sampling import SamplerComparison
from equildm.study import (
    error_figure,
    error_table,
    evaluations_in,
    evaluations_within,
    first_latents,
)

ERRORS = {"ddim": {1: 1.234, 6: 0.5}, "heun": {6: 0.25}, "shark": {6: 2.0}}
COMPARISON = SamplerComparison(
    ERRORS,
    {
        solver: {number: jnp.full((2, 1, 1, 1), error) for number, error in row.items()}
        for solver, row in ERRORS.items()
    },
)


def test_the_table_has_a_column_for_each_number_of_evaluations():
    table = error_table(COMPARISON, (1, 6))
    assert [column.header for column in table.columns] == ["solver", "1", "6"]
    columns = [list(column.cells) for column in table.columns]
    assert columns == [["ddim", "heun", "shark"], ["1.2", "-", "-"], ["0.5", "0.25", "2"]]


@pytest.mark.slow
def test_stochastic_solvers_are_dashed():
    (axes,) = error_figure(COMPARISON).axes
    styles = {line.get_label(): line.get_linestyle() for line in axes.lines}
    assert styles == {"ddim": "-", "heun": "-", "shark": "--"}


@pytest.mark.slow
def test_evaluations_are_those_that_each_solver_makes():
    """Heun, which was drawn at 6, makes 5: two a step, and one in the last. So does shark."""
    (axes,) = error_figure(COMPARISON).axes
    made = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert made == {"ddim": [1, 6], "heun": [5], "shark": [5]}
    assert evaluations_within("heun", (1, 4, 6, 7)) == {1: 1, 4: 3, 6: 5, 7: 7}
    assert [evaluations_in("heun", steps) for steps in (1, 2, 4)] == [1, 3, 7]


@pytest.mark.slow
def test_evaluations_are_counted_on_the_models_own_levels():
    """From a level without signal a first step of two evaluations takes one."""
    flow = partial(grids.trailing, RectifiedFlow())
    assert [evaluations_in("heun", steps, flow) for steps in (1, 2, 4, 5, 9)] == [1, 2, 6, 8, 16]
    assert [evaluations_in("plms", steps) for steps in (1, 2, 4)] == [1, 3, 5]
    assert evaluations_within("plms", (1, 2, 3)) == {1: 1, 2: 1, 3: 3}
    assert evaluations_within("heun", (2, 5), flow) == {2: 2, 5: 4}


def test_the_first_latents_are_in_the_order_of_the_table():
    latents, labels = first_latents(COMPARISON, (1, 6))
    assert labels == ["ddim 1", "ddim 6", "", "heun 6", "", "shark 6"]
    assert latents.shape == (6, 1, 1, 1)
    assert latents.ravel().tolist() == jnp.array([1.234, 0.5, 0, 0.25, 0, 2]).tolist()
