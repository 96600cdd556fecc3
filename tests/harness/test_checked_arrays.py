"""What the tests check of annotations."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from checked_arrays import _has_array
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from equildm import _types
from equildm.nn import Linear, modulate
from equildm.runtime import count_parameters

Image = Float[Array, "height width channels"]


@pytest.mark.parametrize(
    "annotation",
    [
        Image,
        Image | None,
        PRNGKeyArray,
        _types.Key,
        tuple[int, Image],
        Sequence[tuple[Image, ...]],
        Callable[[Image], int],
        Callable[..., Image],
        dict[str, Float[np.ndarray, "rows columns"]],
        PyTree[Image],
        "Defined later",
    ],
)
def test_arrays_are_found_in_every_annotation(annotation):
    assert _has_array(annotation)


@pytest.mark.parametrize(
    "annotation",
    [int, None, str | None, Any, Array, PyTree, PyTree[int], Literal["a"], Callable[..., Any]],
)
def test_other_annotations_have_none(annotation):
    assert not _has_array(annotation)


def test_shapes_and_dtypes_are_checked_where_there_are_arrays():
    x, width = jnp.zeros((4, 3)), jnp.zeros(3)
    modulate(x, width, width)
    for wrong in (jnp.zeros(2), jnp.zeros(3, int), np.zeros(3, np.float32)):
        with pytest.raises(jaxtyping.TypeCheckError):
            modulate(x, width, wrong)
    assert hasattr(Linear.__call__, "__wrapped__")
    assert not hasattr(count_parameters, "__wrapped__")
