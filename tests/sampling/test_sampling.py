"""What `sample` promises: any number of steps, one compilation for many, one result a seed."""

import itertools
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called, others_slow
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
from equildm.sampling.sampling import from_noise

SD = ScaledLinear()
SHAPE = (2, 2, 1)


def oracle32(**options: Any) -> GaussianMixture:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), mixture(SHAPE, **options))


LENGTH = 1001


@cache
def sampler(name: str) -> Callable[[Any, Any, Any], Array]:
    """`(noise, padded levels, key) -> latent`: one program for what tests ask of a solver."""
    oracle, solver = oracle32(), SOLVERS[name]()
    return jax.jit(lambda noise, levels, key: sample(oracle, noise, levels, solver, key=key))


def start(seed: int = 0) -> tuple[Any, Any]:
    """Noise and a key."""
    return jax.jit(example_noise, static_argnums=2)(jax.random.key(seed), 0, SHAPE)


DISTINCT = list({maker: name for name, maker in SOLVERS.items()}.values())


OURS = ("dpm++2m", "unipc3", "heun", "ddpm", "sde-dpm++2m", "consistency")


@pytest.mark.parametrize("name", others_slow(DISTINCT, "dpm++2m", "unipc3", "lms", "sde-dpm++2m"))
def test_any_number_of_steps(name: str) -> None:
    """1, 2, 3 .. 1000 steps, every grid, ending at 0 and above: finite, and near the data."""
    noise, key = start()
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
            final = np.asarray(sampler(name)(noise, grids.pad(maker(SD, steps), LENGTH), key))
            assert np.all(np.isfinite(final)), (maker, steps)
            if steps >= 50:
                assert np.max(np.abs(final)) < 5


@pytest.mark.parametrize("name", others_slow(OURS, "ddpm"))
def test_no_signal_at_the_start(name: str) -> None:
    """From zero terminal SNR, by a velocity network, in float32."""
    schedule = ZeroTerminalSNR(SD)
    oracle = oracle32()

    def network(x: Array, t: Array, condition: Any) -> Array:
        s, alpha, sigma = schedule.level(t), schedule.alpha(t), schedule.sigma(t)
        clean = oracle(x / alpha, s)
        return alpha * (x - alpha * clean) / sigma - sigma * clean

    denoiser = Preconditioned(network, schedule, Velocity())
    noise, key = start()
    levels = grids.trailing(schedule, 40)
    run = jax.jit(lambda levels: sample(denoiser, noise, levels, SOLVERS[name](), key=key))
    final = np.asarray(run(levels))
    assert np.all(np.isfinite(final)) and np.max(np.abs(final)) < 5
    one, highest = run(grids.pad(levels[[0, -1]], 41)), np.float32(levels[0])
    clean = called(oracle, np.asarray(noise) * highest, highest)
    np.testing.assert_allclose(one, clean, atol=1e-4)


def test_the_first_step_from_no_signal_is_the_closed_form() -> None:
    """`y1 = D + s1 eps` with `eps = x`, to what float32 leaves of it."""
    oracle, (noise, key) = oracle32(), start()
    levels = np.float32([INFINITE_LEVEL, 20.0])
    clean = called(oracle, np.asarray(noise) * levels[0], levels[0])
    expected = np.asarray(clean) + 20 * np.asarray(noise)

    @jax.jit
    def steps(y: Array, s0: Array, s1: Array) -> list[Array]:
        """The first step of each solver, without the loop around it."""
        return [solver.advance(oracle, y, s0, s1, solver.start(y))[0] for solver in solvers]

    solvers = DDIM(), DPMpp2M(), DPMpp3M(), Heun(), UniPC(), LMS(), DEIS(), DPM2()
    finals = steps(from_noise(noise, levels), *levels)
    finals.append(sampler("dpm++2m")(noise, grids.pad(levels, LENGTH), key))
    for y in finals:
        np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_one_compilation_for_a_sweep_of_guidance_and_steps() -> None:
    """8 scales times 8 step counts, one compilation, and each what it is alone."""
    oracle, traces = oracle32(), []
    noise, _ = start()
    conditions = np.float32([1, 0, 0]), np.ones(3, np.float32)
    steps = (4, 8, 12, 20, 50, 100, 150, 250)
    scales = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)

    @eqx.filter_jit
    def run(levels: Array, scale: Array) -> Array:
        traces.append(1)
        return sample(Guided(oracle, scale), noise, levels, DPMpp2M(), condition=conditions)

    def alone(levels: np.ndarray, scale: float) -> Array:
        guided = Guided(oracle, scale)
        run = lambda noise: sample(guided, noise, levels, DPMpp2M(), condition=conditions)
        return jax.jit(run)(noise)

    for count in steps:
        for scale in scales:
            levels = np.float32(grids.trailing(SD, count))
            final = run(grids.pad(levels, 251), np.float32(scale))
            if (count, scale) in ((4, 8.0), (50, 1.5)):
                np.testing.assert_allclose(final, alone(levels, scale), atol=1e-5)
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
        pytest.param(DDIM(), 100, 10, marks=pytest.mark.slow),
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
    levels, calls = grids.pad(grids.trailing(SD, 10), length), []
    denoiser = Counted(oracle32(), calls.append)
    jax.jit(lambda noise: sample(denoiser, noise, levels, solver))(start()[0]).block_until_ready()
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

    batch = np.asarray(run(np.arange(5)))
    np.testing.assert_allclose(run(np.array([3, 0])), batch[[3, 0]], atol=1e-5)
    assert not np.allclose(batch[0], batch[1])


def test_diffrax_knows_our_solvers_and_terms() -> None:
    """By hand, for someone who knows diffrax; `StepTo` does as well as our controller."""
    oracle, (noise, key) = oracle32(), start()
    levels = np.float32(grids.karras(SD, 12, final=0.02))
    ours = sampler("dpm++2m")(noise, grids.pad(levels, LENGTH), key)

    @jax.jit
    def by_hand(y: Array, levels: Array) -> list[Array]:
        flow = probability_flow(oracle)
        return [
            diffrax.diffeqsolve(
                flow, DPMpp2M(), levels[0], levels[-1], None, y, stepsize_controller=controller
            ).ys[-1]
            for controller in (diffrax.StepTo(levels), StepGrid(levels))
        ]

    for final in by_hand(from_noise(noise, levels), levels):
        np.testing.assert_allclose(final, ours, atol=1e-6)


def test_dense_output() -> None:
    """Saved between steps, by diffrax's `SaveAt`."""
    oracle, noise = oracle32(), np.asarray(start()[0])
    levels = np.float32([14.0, 7.0, 3.5, 1.0, 0.1])
    saveat = diffrax.SaveAt(ts=jax.device_put(np.float32([7.0, 5.25, 0.1])))
    states = [14 * noise]
    for s0, s1 in itertools.pairwise(levels[:3]):  # DDIM
        clean = np.asarray(called(oracle, states[-1], s0))
        states.append(clean + s1 / s0 * (states[-1] - clean))
    saved = jax.jit(lambda y: solve(oracle, y, levels, DDIM(), saveat=saveat).ys)(states[0])
    np.testing.assert_allclose(saved[0], states[1], rtol=1e-5)
    np.testing.assert_allclose(saved[1], (states[1] + states[2]) / 2, rtol=1e-5)


def test_trajectory_and_previews() -> None:
    oracle, (noise, _) = oracle32(), start()
    levels = np.float32(grids.trailing(SD, 8))

    @jax.jit
    def along(levels: Array) -> tuple[Any, Array]:
        path = trajectory(oracle, noise, levels)
        return path, path.previews()

    path, previews = jax.device_get(along(levels))
    np.testing.assert_allclose(path.levels, levels, rtol=1e-6)
    final = jax.jit(lambda levels: sample(oracle, noise, levels))(levels)
    np.testing.assert_allclose(path.states[-1], final, atol=1e-6)
    seen = called(jax.vmap(oracle), path.states[:-1], path.levels[:-1])
    np.testing.assert_allclose(previews, seen, atol=1e-5)
    padded, _ = jax.device_get(along(grids.pad(levels, 12)))
    np.testing.assert_allclose(padded.states[:9], path.states, atol=1e-6)
    assert np.all(np.isinf(padded.states[9:]))


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
    run(np.ones((3, *SHAPE), np.float32)).block_until_ready()
    jax.effects_barrier()
    assert sorted(done) == [1, 2, 3, 4, 5]


def test_image_to_image_starts_part_of_the_way() -> None:
    oracle, levels, (noise, _) = oracle32(), grids.trailing(SD, 50), jax.device_get(start())
    latent = np.asarray(oracle.means[0])
    run = jax.jit(lambda y, levels: sample_from(oracle, y, levels, DPMpp2M()))
    distances = []
    for strength in (0.02, 0.2, 0.6, 1.0):
        rest = np.float32(tail(levels, strength))
        assert len(rest) == int(50 * strength) + 1 and rest[-1] == 0
        latents = np.asarray(run(latent + rest[0] * noise, grids.pad(rest, 51)))
        distances.append(float(np.linalg.norm(latents - latent)))
    assert distances[0] < 0.3 and distances == sorted(distances), distances
    with pytest.raises(ValueError, match="Strength"):
        tail(levels, 0.0)
