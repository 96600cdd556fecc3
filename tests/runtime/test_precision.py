import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from equildm.nn import Linear
from equildm.runtime import InPrecision, Policy


class Probe(eqx.Module):
    """Tells the dtypes that reached it."""

    linear: Linear

    def __call__(self, x, t, labels):
        y = self.linear(x)
        assert (x.dtype, t.dtype, labels.dtype) == (y.dtype, jnp.float32, jnp.int32)
        return y, t


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_computing_casts_in_and_out(compute):
    network = Probe(Linear(16, 16, key=jax.random.key(0)))
    x = jax.random.normal(jax.random.key(1), (5, 16))
    # 998 and 999 are the same number in bfloat16: a time must arrive as it was.
    y, t = InPrecision(network, Policy(compute))(x, jnp.float32(999), jnp.arange(3))
    assert y.dtype == jnp.float32 and t == 999
    exact = network.linear(x)
    error = float(jnp.max(jnp.abs(y - exact)))
    assert error == 0 if compute == "float32" else 1e-5 < error < 5e-2


def test_weights_and_gradients_stay_float32():
    network = Linear(4, 4, key=jax.random.key(0))

    @eqx.filter_grad
    def gradient(network, x):
        return jnp.sum(InPrecision(network, Policy("bfloat16"))(x) ** 2)

    assert gradient(network, jnp.ones((2, 4))).weight.dtype == jnp.float32


def test_casts_leave_the_rest_alone():
    policy = Policy("bfloat16")
    tree = {"x": np.ones(3, np.float32), "n": np.arange(3), "mask": np.ones(3, bool), "name": "a"}
    cast = policy.cast_inputs(tree)
    assert cast["x"].dtype == jnp.bfloat16
    assert cast["n"].dtype == tree["n"].dtype and cast["mask"].dtype == bool and cast["name"] == "a"
    assert policy.cast_outputs(cast)["x"].dtype == np.float32


def test_default_and_bad_policy(monkeypatch):
    assert Policy.default() == Policy("float32")  # on a CPU
    # Users run without the tests' annotation checks, which would stop this first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="float16"):
        Policy("float16")  # type: ignore[arg-type]
