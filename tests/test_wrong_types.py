"""Values of another type than the annotations say, which the tests' own checks would not let in."""

from helpers import CHECK_REFUSALS, run_python

CODE = """
import jax, jax.numpy as jnp
import equildm as eqd
from equildm.nn import sinusoid
from equildm.sampling import make_solver
from equildm.text import embed_prompts

refusals = [
    (lambda: make_solver(eqd.DDIM), "A solver is an object such as DDIM(), received <class"),
    (lambda: eqd.NoiseConfig(eqd.ScaledLinear(), "v"), "--schedule is one of scaled-linear"),
    (lambda: eqd.LossConfig(weight=eqd.noise.MinSNR()), "received MinSNR()"),
    (lambda: embed_prompts(None, ["a cat"], ["dark"]), "One negative prompt is for all images"),
]
"""
AFTER = """
for t in (7, 7.0, jnp.array(7)):
    assert jnp.array_equal(sinusoid(t, 8), sinusoid(jnp.array(7.0), 8))
assert eqd.to_uint8([jnp.zeros((2, 2, 3))]).shape == (1, 2, 2, 3)  # a list of images
print("refused")
"""


def test_what_has_another_type_is_refused_or_converted():
    assert run_python(CODE + CHECK_REFUSALS + AFTER, devices=1) == "refused\n"
