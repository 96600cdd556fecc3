"""Which dtype a network computes in. Parameters stay float32 whatever the policy."""

import dataclasses
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .target import platform

Compute = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class Policy:
    """A compute dtype. Parameters, optimiser state, norms, softmax and losses are float32 always.

    Layers cast their weights to the dtype of their input, so that the dtype of a network's input
    is all there is to choose.
    """

    compute: Compute = "float32"
    """Dtype of activations and of matrix products."""

    def __post_init__(self):
        if self.compute not in ("float32", "bfloat16"):
            raise ValueError(
                "Policy computes in 'float32' or 'bfloat16', received "
                f"{self.compute!r}. float16 would need loss scaling, which is not here."
            )

    @classmethod
    def default(cls) -> "Policy":
        """bfloat16 on GPU and TPU. On a CPU bfloat16 is slower than float32, so float32."""
        return cls("float32" if platform() == "cpu" else "bfloat16")

    def cast_inputs(self, tree: Any) -> Any:
        """Floating-point arrays with at least one axis in the compute dtype, the rest as it is.

        Scalars (times, noise levels, guidance weights) keep float32: bfloat16 has 8 significant
        bits and cannot tell time 998 from 999.
        """
        dtype = jnp.dtype(self.compute)
        return jax.tree.map(lambda x: x.astype(dtype) if _is_float(x) and x.ndim else x, tree)

    def cast_outputs(self, tree: Any) -> Any:
        """Every floating-point array in float32."""
        return jax.tree.map(lambda x: x.astype(jnp.float32) if _is_float(x) else x, tree)


class Computing(eqx.Module):
    """A module that computes under a policy and speaks float32 to the outside.

    Wrap at the point of use, `Computing(network, policy)` inside the loss, so that what is
    trained and stored is the plain network.
    """

    module: Any
    policy: Policy = eqx.field(static=True)

    def __call__(self, *args: Any) -> Any:
        return self.policy.cast_outputs(self.module(*self.policy.cast_inputs(args)))


def _is_float(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray) and jnp.issubdtype(x.dtype, jnp.floating)
