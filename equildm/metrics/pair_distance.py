"""How different the images of two sets look, pair by pair."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from ..images import to_unit
from ..interop import load_lpips

Images = Shaped[np.ndarray, "count height width 3"]


class PairDistance:
    """LPIPS (AlexNet) between the images of two sets, one by one."""

    def __init__(self) -> None:
        self._compare = eqx.filter_jit(eqx.filter_vmap(load_lpips("alex")))

    def __call__(self, a: Images, b: Images) -> Float[np.ndarray, "count"]:
        """The distances; images are uint8 or in [-1, 1]."""
        return np.asarray(self._compare(jnp.asarray(to_unit(a)), jnp.asarray(to_unit(b))))
