"""The dtype that a network computes in. Parameters are float32 under every policy."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .platform import platform

Compute = Literal["float32", "bfloat16"]

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Policy:
    """A compute dtype. Parameters, optimiser state, norms, softmax and losses are always float32.

    Layers cast their weights to the dtype of their input, so that the policy only has to choose
    the dtype of a network's input.
    """

    compute: Compute = "float32"
    """Dtype of activations and of matrix products."""

    def __post_init__(self):
        if self.compute not in ("float32", "bfloat16"):
            raise ValueError(
                "Policy computes in 'float32' or 'bfloat16', received "
                f"{self.compute!r}. float16 would need loss scaling, which is not implemented."
            )

    @classmethod
    def default(cls) -> "Policy":
        """bfloat16 on GPU and TPU. On a CPU bfloat16 is slower than float32, so float32."""
        return cls("float32" if platform() == "cpu" else "bfloat16")

    def cast_inputs(self, tree: T) -> T:
        """`tree` with floating-point arrays of at least one axis in the compute dtype.

        Scalars (times, noise levels, guidance scales) keep float32: bfloat16 has 8 significant
        bits and cannot distinguish time 998 from 999.
        """
        dtype = jnp.dtype(self.compute)
        return jax.tree.map(lambda x: x.astype(dtype) if _is_float(x) and x.ndim else x, tree)

    def cast_outputs(self, tree: T) -> T:
        """`tree` with every floating-point array in float32."""
        return jax.tree.map(lambda x: x.astype(jnp.float32) if _is_float(x) else x, tree)


class InPrecision(eqx.Module):
    """A module that computes under a policy, with float32 inputs and outputs.

    Wrap at the point of use, `InPrecision(network, policy)` inside the loss, so that the plain
    network is what is trained and stored.
    """

    module: Callable[..., PyTree]
    policy: Policy = eqx.field(static=True)

    def __call__(self, *args: PyTree) -> PyTree:
        return self.policy.cast_outputs(self.module(*self.policy.cast_inputs(args)))


def _is_float(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray) and jnp.issubdtype(x.dtype, jnp.floating)
