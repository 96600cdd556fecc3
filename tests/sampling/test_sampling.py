"""What `sample` promises: any number of steps, one compilation for many, one result a seed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow
from jaxtyping import Array
from oracle import GaussianMixture, mixture

from equildm.denoise import AbstractDenoiser, Guided, Preconditioned
from equildm.noise import (
    grids,
    INFINITE_LEVEL,
    ScaledLinear,
    Velocity,
    ZeroTerminalSNR,
)
from equildm.sampling import (
    DDIM,
    DEIS,
    DPM2,
    DPMpp2M,
    DPMpp2S,
    DPMpp3M,
    example_noise,
    Heun,
    LMS,
    probability_flow,
    sample,
    sample_from,
    solve,
    SOLVERS,
    StepGrid,
    tail,
    trajectory,
    UniPC,
)

SD = ScaledLinear()
SHAPE = (2, 2, 1)


def oracle32(**options: Any) -> GaussianMixture:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture(SHAPE, **options))


DISTINCT = list({maker: name for name, maker in SOLVERS.items()}.values())


OURS = ("dpm++2m", "unipc3", "heun", "ddpm", "sde-dpm++2m", "consistency")


@pytest.mark.parametrize(
    "name", others_slow(DISTINCT, "dpm++2m", "unipc3", "heun", "lms", "sde-dpm++2m")
)
def test_any_number_of_steps(name: str) -> None:
    """1, 2, 3 .. 1000 steps, every grid, ending at 0 and above: finite, and near the data."""
    oracle, solver = oracle32(), SOLVERS[name]()
    noise, key = example_noise(jax.random.key(0), 0, SHAPE)

    @jax.jit
    def run(levels: Array) -> Array:
        return sample(oracle, noise, levels, solver, key=key)

    makers = [
        grids.trailing,
        grids.leading,
        grids.linspace,
        grids.karras,
        grids.exponential,
        grids.uniform_lambda,
        partial(grids.trailing, final=SD.lowest),
        partial(grids.karras, final=0.01),
    ]
    for i, steps in enumerate((1, 2, 3, 4, 5, 7, 50, 1000)):
        for maker in makers if steps < 10 else makers[i % 2 :: 4]:
            final = run(grids.pad(maker(SD, steps), 1001))
            assert jnp.all(jnp.isfinite(final)), (maker, steps)
            if steps >= 50:
                assert jnp.max(jnp.abs(final)) < 5


@pytest.mark.parametrize("name", others_slow(OURS, "dpm++2m", "ddpm"))
def test_no_signal_at_the_start(name: str) -> None:
    """From zero terminal SNR, by a velocity network, in float32."""
    schedule = ZeroTerminalSNR(SD)
    oracle = oracle32()

    def network(x: Array, t: Array, condition: Any) -> Array:
        s, alpha, sigma = schedule.level(t), schedule.alpha(t), schedule.sigma(t)
        clean = oracle(x / alpha, s)
        return alpha * (x - alpha * clean) / sigma - sigma * clean

    denoiser = Preconditioned(network, schedule, Velocity())
    noise, key = example_noise(jax.random.key(0), 0, SHAPE)
    levels = grids.trailing(schedule, 40)
    run = jax.jit(lambda levels: sample(denoiser, noise, levels, SOLVERS[name](), key=key))
    final = run(levels)
    assert jnp.all(jnp.isfinite(final)) and jnp.max(jnp.abs(final)) < 5
    one = run(grids.pad(levels[[0, -1]], 41))
    np.testing.assert_allclose(one, oracle(noise * levels[0], jnp.array(levels[0])), atol=1e-4)


def test_the_first_step_from_no_signal_is_the_closed_form() -> None:
    """`y1 = D + s1 eps` with `eps = x`, to what float32 leaves of it."""
    oracle, (noise, _) = oracle32(), example_noise(jax.random.key(0), 0, SHAPE)
    start = oracle(noise * INFINITE_LEVEL, jnp.array(INFINITE_LEVEL))
    levels = np.array([INFINITE_LEVEL, 20.0])
    solvers = DDIM(), DPMpp2M(), DPMpp3M(), Heun(), UniPC(), LMS(), DEIS(), DPM2()
    run = jax.jit(lambda noise: [sample(oracle, noise, levels, solver) for solver in solvers])
    for y in run(noise):
        np.testing.assert_allclose(y, start + 20 * noise, rtol=1e-5)


def test_one_compilation_for_a_sweep_of_guidance_and_steps() -> None:
    """8 scales times 8 step counts, one compilation, and each what it is alone."""
    oracle, traces = oracle32(), []
    noise, _ = example_noise(jax.random.key(0), 0, SHAPE)
    conditions = jnp.array([1.0, 0.0, 0.0]), jnp.ones(3)
    steps = (4, 8, 12, 20, 50, 100, 150, 250)
    scales = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)

    @eqx.filter_jit
    def run(levels: Array, scale: Array) -> Array:
        traces.append(1)
        return sample(Guided(oracle, scale), noise, levels, DPMpp2M(), condition=conditions)

    for count in steps:
        for scale in scales:
            final = run(jnp.asarray(grids.pad(grids.trailing(SD, count), 251)), jnp.array(scale))
            if (count, scale) in ((4, 8.0), (50, 1.5)):
                alone = sample(
                    Guided(oracle, scale),
                    noise,
                    grids.trailing(SD, count),
                    DPMpp2M(),
                    condition=conditions,
                )
                np.testing.assert_allclose(final, alone, atol=1e-5)
    assert len(traces) == 1


class Counted(AbstractDenoiser):
    """Tells each evaluation."""

    denoiser: AbstractDenoiser
    tell: Callable[[Any], None] = eqx.field(static=True)

    def __call__(self, y: Array, s: Array, condition: Any) -> Array:
        jax.debug.callback(self.tell, s)
        return self.denoiser(y, s, condition)


@pytest.mark.parametrize(
    "solver, length, evaluations",
    [
        pytest.param(DDIM(), 11, 10, marks=pytest.mark.slow),
        (DDIM(), 100, 10),
        pytest.param(DPMpp2M(), 100, 10, marks=pytest.mark.slow),
        pytest.param(DPMpp3M(), 100, 10, marks=pytest.mark.slow),
        (UniPC(3), 100, 10),
        (Heun(), 100, 19),
        pytest.param(DPMpp2S(), 100, 19, marks=pytest.mark.slow),
        pytest.param(diffrax.Euler(), 100, 10, marks=pytest.mark.slow),
    ],
)
def test_evaluations(solver: Any, length: int, evaluations: int) -> None:
    """Also on a padded grid, a solver pays for its own steps only."""
    noise, _ = example_noise(jax.random.key(0), 0, SHAPE)
    levels, calls = grids.pad(grids.trailing(SD, 10), length), []
    sample(Counted(oracle32(), calls.append), noise, levels, solver).block_until_ready()
    jax.effects_barrier()
    assert len(calls) == evaluations


@pytest.mark.parametrize("name", others_slow(["dpm++2m", "ddpm", "sra1"], "dpm++2m"))
def test_an_example_does_not_depend_on_its_batch(name: str) -> None:
    oracle, levels, seed = oracle32(), grids.trailing(SD, 10), jax.random.key(7)

    @jax.jit
    @jax.vmap
    def run(index: Array) -> Array:
        noise, key = example_noise(seed, index, SHAPE)
        return sample(oracle, noise, levels, SOLVERS[name](), key=key)

    batch = run(jnp.arange(5))
    np.testing.assert_allclose(run(jnp.array([3, 0])), batch[jnp.array([3, 0])], atol=1e-5)
    assert not np.allclose(batch[0], batch[1])


def test_diffrax_knows_our_solvers_and_terms() -> None:
    """By hand, for someone who knows diffrax; `StepTo` does as well as our controller."""
    oracle, y = oracle32(), 14 * jax.random.normal(jax.random.key(0), SHAPE)
    levels = jnp.asarray(grids.karras(SD, 12, final=0.02))
    ours = solve(oracle, y, levels, DPMpp2M()).ys[-1]
    for controller in (diffrax.StepTo(levels), StepGrid(levels)):
        solution = diffrax.diffeqsolve(
            probability_flow(oracle),
            DPMpp2M(),
            levels[0],
            levels[-1],
            None,
            y,
            stepsize_controller=controller,
        )
        np.testing.assert_allclose(solution.ys[-1], ours, atol=1e-6)


def test_dense_output() -> None:
    """Saved between steps, by diffrax's `SaveAt`."""
    oracle, y = oracle32(), 14 * jax.random.normal(jax.random.key(0), SHAPE)
    levels = np.array([14.0, 7.0, 3.5, 1.0, 0.1])
    solution = solve(
        oracle, y, levels, DDIM(), saveat=diffrax.SaveAt(ts=jnp.array([7.0, 5.25, 0.1]))
    )
    states = trajectory(oracle, y / np.sqrt(1 + 14**2), levels).states
    np.testing.assert_allclose(solution.ys[0], states[1], rtol=1e-5)
    np.testing.assert_allclose(solution.ys[1], (states[1] + states[2]) / 2, rtol=1e-5)


def test_trajectory_and_previews() -> None:
    oracle, (noise, _) = oracle32(), example_noise(jax.random.key(0), 0, SHAPE)
    levels = grids.trailing(SD, 8)
    path = trajectory(oracle, noise, levels)
    np.testing.assert_allclose(path.levels, levels, rtol=1e-6)
    np.testing.assert_allclose(path.states[-1], sample(oracle, noise, levels), atol=1e-6)
    seen = jax.vmap(oracle)(path.states[:-1], path.levels[:-1])
    np.testing.assert_allclose(path.previews(), seen, atol=1e-5)
    padded = trajectory(oracle, noise, grids.pad(levels, 12))
    np.testing.assert_allclose(padded.states[:9], path.states, atol=1e-6)
    assert jnp.all(jnp.isinf(padded.states[9:]))


def test_callback() -> None:
    done: list[int] = []
    run = jax.jit(
        jax.vmap(
            lambda noise: sample(
                oracle32(),
                noise,
                grids.pad(grids.trailing(SD, 5), 20),
                callback=lambda step: done.append(int(step)),
            )
        )
    )
    run(jnp.ones((3, *SHAPE))).block_until_ready()
    jax.effects_barrier()
    assert sorted(done) == [1, 2, 3, 4, 5]


def test_image_to_image_starts_part_of_the_way() -> None:
    oracle, levels = oracle32(), grids.trailing(SD, 50)
    noise, _ = example_noise(jax.random.key(0), 0, SHAPE)
    latent = oracle.means[0]
    distances = []
    for strength in (0.02, 0.2, 0.6, 1.0):
        rest = tail(levels, strength)
        assert len(rest) == int(50 * strength) + 1 and rest[-1] == 0
        latents = sample_from(oracle, latent + rest[0] * noise, rest, DPMpp2M())
        distances.append(float(jnp.linalg.norm(latents - latent)))
    assert distances[0] < 0.3 and distances == sorted(distances), distances
    with pytest.raises(ValueError, match="Strength"):
        tail(levels, 0.0)
