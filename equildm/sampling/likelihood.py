"""The density that a denoiser assigns to a latent."""

import math
from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Condition, Key
from .diffrax_types import RealScalar
from .solve import Tensor
from .terms import Denoiser

Scalar = Float[Array, ""]

_TSIT5 = diffrax.Tsit5()
_FINE = diffrax.PIDController(rtol=1e-5, atol=1e-5)


def log_likelihood(
    denoiser: Denoiser,
    latent: Tensor,
    low: RealScalar,
    high: RealScalar,
    *,
    condition: Condition = None,
    key: Key | None = None,
    probes: int = 1,
    log_prior: Callable[[Tensor], Scalar] | None = None,
    solver: diffrax.AbstractSolver = _TSIT5,
    controller: diffrax.AbstractStepSizeController = _FINE,
    max_steps: int = 4096,
) -> Scalar:
    """`log p` of a latent in nats, by the instantaneous change of variables along the flow.

    With `lambda = -log s` the flow is `dy/dlambda = D - y`, along which the density changes by
    `d log p / dlambda = d - tr(dD/dy)` (Chen et al. 2018, theorem 1; Song et al. 2021, 39):

        log p_low(y) = log p_high(y_high) + integral from lambda_low to lambda_high of (tr - d)

    **Arguments:**

    - `latent`: where to evaluate the density.
    - `low`, `high`: the noise levels to go from and to. The density is that of data with noise of
        level `low`; the schedule's `lowest` and `highest` are the widest range that the network was
        trained on.
    - `condition`: passed to the denoiser.
    - `key`: without a key the trace is exact, at the cost of one forward derivative for each
        dimension. With a key it is Hutchinson's estimate with Rademacher probes, drawn once for the
        path (Grathwohl et al. 2019), which is unbiased in `log p`.
    - `probes`: the number of probes, which are averaged.
    - `log_prior`: `log p_high`; by default that of `N(0, (1 + high^2) I)`, where `sample` starts.
    - `solver`, `controller`, `max_steps`: diffrax's.

    It is computed in float32, or in float64 for a latent that has that.

    **Raises** `ValueError` for levels that do not rise from above 0, and without a probe.
    """
    if probes < 1:
        raise ValueError(f"An estimate needs at least 1 probe, received {probes}. Use 1.")
    traced = isinstance(low, jax.core.Tracer) or isinstance(high, jax.core.Tracer)
    if not traced and not 0 < float(low) < float(high) < math.inf:  # arrays too, under `jit`
        raise ValueError(
            "A density is followed from a level above 0 to a higher, finite one, received "
            f"low={low} and high={high}. Use the schedule's lowest and highest."
        )
    latent = latent.astype(jnp.promote_types(latent.dtype, jnp.float32))
    size, highest = latent.size, jnp.asarray(high, latent.dtype)
    if key is None:
        directions = jnp.eye(size, dtype=latent.dtype).reshape(size, *latent.shape)
    else:
        directions = jax.random.rademacher(key, (probes, *latent.shape), latent.dtype)

    def rates(
        t: RealScalar, state: tuple[Tensor, Scalar], args: Condition
    ) -> tuple[Tensor, Scalar]:
        y, _ = state
        s = jnp.exp(-t).astype(y.dtype)
        clean, jvp = jax.linearize(lambda y: denoiser(y, s, args), y)
        products = jax.vmap(lambda v: jnp.sum(v * jvp(v)))(directions)
        trace = jnp.sum(products) if key is None else jnp.mean(products)
        return clean - y, trace - size

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rates),
        solver,
        -jnp.log(jnp.asarray(low, latent.dtype)),
        -jnp.log(highest),
        None,
        (latent, jnp.zeros((), latent.dtype)),
        condition,
        stepsize_controller=controller,
        max_steps=max_steps,
    )
    assert solution.ys is not None
    y, change = jax.tree.map(lambda leaf: leaf[-1], solution.ys)
    if log_prior is None:
        variance = 1 + highest**2
        prior = -0.5 * (jnp.sum(y**2) / variance + size * jnp.log(2 * math.pi * variance))
    else:
        prior = log_prior(y)
    return prior + change


def bits_per_dimension(log_density: Scalar, dimensions: int, *, width: float = 1 / 127.5) -> Scalar:
    """`-log2` of the probability of a cell, divided by the number of dimensions.

    **Arguments:**

    - `log_density`: in nats, see `log_likelihood`.
    - `dimensions`: the number of values of a sample.
    - `width`: the distance between neighbouring values of the data: 1 / 127.5 for 8 bits on
        [-1, 1]. 1 gives the density of continuous data, such as latents.
    """
    return -log_density / (dimensions * math.log(2)) - math.log2(width)
