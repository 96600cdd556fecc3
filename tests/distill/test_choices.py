"""Each choice of a distillation, and the training of any."""

import dataclasses

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from distill_oracle import draw, Network, NULL, SCHEDULE, STUDENT, TEACHER
from helpers import others_slow

from equildm.denoise import Preconditioned
from equildm.distill import (
    CM,
    CoDi,
    ConsistencyFunction,
    flow_step,
    GrowingLevelPairs,
    GuidedDistillation,
    JointPseudoHuber,
    KarrasLevelPairs,
    LevelBoundary,
    LoRAStudent,
    OnlineTarget,
    PixelDistance,
    ProgressiveDistillation,
    shared_guidance,
    SquaredL2,
    TeacherStep,
    TimeBoundary,
    TimeLevelPairs,
)
from equildm.latents import VAEConfig
from equildm.nn import Linear, new_lora
from equildm.noise import grids, Velocity
from equildm.runtime import copied
from equildm.sampling import Consistency, DDIM, DPMpp2S, Heun, sample_from
from equildm.training import DecayEMA, make_step, TrainState

Y = jnp.array([[[0.7, -1.9]]])
ZERO = jnp.asarray(0)


@pytest.fixture(scope="module")
def teacher():
    return Preconditioned(Network(key=jax.random.key(1)), SCHEDULE, Velocity())


def start(network, ema=None):
    optimizer, ema = optax.adam(1e-3), ema or DecayEMA(0.5)
    return TrainState.create(copied(network), optimizer, ema), optimizer, ema


def run(objective, network, seeds, parts=1):
    state, optimizer, ema = start(network)
    step = make_step(objective, optimizer, ema, key=jax.random.key(1), parts=parts)
    losses = []
    for seed in seeds:
        state, metrics = step(state, draw(seed))
        losses.append(float(metrics["loss"]))
    return state, losses


@eqx.filter_jit
def evaluate(denoiser, s):
    return denoiser(Y, s, NULL)


def test_at_the_lowest_level_nothing_is_changed(teacher):
    """Exactly. LCM's boundary is `f(z, 0) = z` of the latent `z = alpha y`."""
    low = np.asarray(jax.jit(SCHEDULE.level)(np.float32(0)))
    for s in (low, np.float32(SCHEDULE.lowest)):
        f = evaluate(ConsistencyFunction(teacher, LevelBoundary(float(SCHEDULE.lowest))), s)
        np.testing.assert_array_equal(f, Y)
        alpha = np.asarray(jax.jit(SCHEDULE.alpha_at)(s))
        f = evaluate(ConsistencyFunction(teacher, TimeBoundary(SCHEDULE)), s)
        np.testing.assert_array_equal(f, alpha * np.asarray(Y))
        # Processors differ in the last bit of a root.
        np.testing.assert_array_almost_equal_nulp(alpha, 1 / np.sqrt(1 + s**2), nulp=1)
        assert not np.array_equal(evaluate(teacher, s), Y)


def test_high_above_it_a_consistency_function_is_the_denoiser(teacher):
    s = np.float32(14.0)
    for boundary in (LevelBoundary(SCHEDULE.lowest), TimeBoundary(SCHEDULE)):
        f = evaluate(ConsistencyFunction(teacher, boundary), s)
        np.testing.assert_allclose(f, evaluate(teacher, s), atol=5e-3)


@pytest.mark.parametrize(
    "solver",
    others_slow(
        [DDIM(), Heun(), DPMpp2S(), diffrax.Heun(), diffrax.Tsit5()], DDIM(), diffrax.Tsit5()
    ),
)
def test_a_teachers_step_is_that_of_the_sampler(solver):
    levels = np.float32([3.0, 2.5])

    @jax.jit
    def both(y, s0, s1):
        wanted = sample_from(TEACHER, y, levels, solver, condition=NULL)
        return flow_step(TEACHER, y, s0, s1, NULL, solver), wanted

    np.testing.assert_allclose(*both(Y, *levels), rtol=1e-5)


def objectives(teacher):
    levels = jnp.asarray(grids.trailing(SCHEDULE, 4), jnp.float32)
    return {
        "consistency": CM(STUDENT, NULL, SCHEDULE, teacher),  # others train by it, too
        "guided": GuidedDistillation(STUDENT, NULL, SCHEDULE, teacher, shared_guidance(2.0, 3.0)),
        "progressive": ProgressiveDistillation(STUDENT, NULL, teacher, levels),
    }


@pytest.mark.parametrize(
    "name", others_slow(["consistency", "guided", "progressive"], "consistency")
)
def test_the_teacher_is_frozen(teacher, name):
    """No gradient, no state of the optimiser, no change; and it is an argument, not a constant."""
    before = [np.asarray(x) for x in jax.tree.leaves(teacher)]
    objective, network = objectives(teacher)[name], Network()
    state, _ = run(objective, network, range(2))
    for old, leaf in zip(before, jax.tree.leaves(teacher), strict=True):
        np.testing.assert_array_equal(leaf, old)

    trained, total = (sum(x.size for x in jax.tree.leaves(tree)) for tree in (network, state))
    assert total == 4 * trained + 2, "more than model, two moments, an average and two counters"

    def loss(teacher, state):
        objective = objectives(teacher)[name]
        objective = objective.at(state) if name == "consistency" else objective
        return objective(state.model, draw(0), jax.random.split(jax.random.key(0), 256))[0]

    for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(teacher, state)):
        np.testing.assert_array_equal(leaf, 0)
    shapes = {x.shape for x in before if x.ndim > 1}
    assert not [c for c in jax.make_jaxpr(loss)(teacher, state).consts if np.shape(c) in shapes]


def test_targets_are_those_of_the_state(teacher):
    objective = CM(STUDENT, NULL, SCHEDULE, teacher)
    state, _ = run(objective, Network(), range(3))
    online = dataclasses.replace(objective, target=OnlineTarget())
    for chosen, wanted in ((objective, state.average()), (online, state.model)):
        for a, b in zip(jax.tree.leaves(chosen.at(state).target), jax.tree.leaves(wanted)):
            np.testing.assert_array_equal(a, b)


def test_resumed_or_cut_up_it_is_the_same_training(teacher):
    objective = CM(STUDENT, NULL, SCHEDULE, teacher)
    _, uncut = run(objective, Network(), range(4))
    _, cut = run(objective, Network(), range(4), parts=2)
    np.testing.assert_allclose(cut, uncut, rtol=2e-4)

    half, _ = run(objective, Network(), range(2))
    pieces = jax.tree.map(np.asarray, half.pieces())
    state, optimizer, ema = start(Network(key=jax.random.key(9)))
    state = state.with_pieces(jax.tree.map(jnp.asarray, pieces))
    step = make_step(objective, optimizer, ema, key=jax.random.key(1))
    for seed in (2, 3):
        state, metrics = step(state, draw(seed))
        assert float(metrics["loss"]) == uncut[seed]
    assert set(metrics) == {"loss", "grad_norm", "finite", "consistency"}


def test_a_student_of_adapters_trains_them_alone():
    class LinearNetwork(eqx.Module):
        layer: Linear

        def __call__(self, x, t, condition):
            return self.layer(x)

    network = LinearNetwork(Linear(2, 2, key=jax.random.key(0)))
    adapters = new_lora(network, 1, layers=("*",), key=jax.random.key(1))
    student = LoRAStudent(STUDENT, network)
    shared = Preconditioned(network, SCHEDULE, Velocity())
    s = np.float32(1)
    np.testing.assert_array_equal(evaluate(student(adapters), s), evaluate(shared, s))
    objective = CoDi(student, NULL, SCHEDULE, shared, data_weight=0.0)
    weight = np.asarray(network.layer.weight)
    state, losses = run(objective, adapters, range(3))
    assert set(state.model) == {"layer"} and losses[2] != losses[0]
    assert np.max(np.abs(np.asarray(state.model["layer"].up))) > 0
    np.testing.assert_array_equal(network.layer.weight, weight)


def test_distances():
    a, b = np.random.default_rng(0).standard_normal((2, 4, 4, 2)).astype(np.float32)
    config = VAEConfig(
        width=8, multipliers=(1,), depth=1, groups=4, latent_channels=2, scale=0.5, shift=0.1
    )
    vae = config.build(key=jax.random.key(2))
    pixels = PixelDistance(lambda x, y: jnp.sum(jnp.abs(x - y)), vae)

    @eqx.filter_jit
    def measured(pixels, vae, a, b):
        distance = eqx.filter_value_and_grad(lambda a: pixels(a, b))(a)
        return distance, [vae.decode(latent / 0.5 + 0.1) for latent in (a, b)]

    (value, slope), (x, y) = jax.device_get(measured(pixels, vae, a, b))
    np.testing.assert_allclose(value, np.sum(np.abs(x - y)), rtol=1e-5)
    assert np.max(np.abs(np.asarray(slope))) > 0
    np.testing.assert_array_equal(jax.jit(jax.grad(JointPseudoHuber()))(a, a), 0)
    assert float(jax.jit(SquaredL2())(a, a + 2)) == pytest.approx(4, rel=1e-5)


def test_guidance_that_all_share():
    """Student and target are two evaluations each, at the teacher's scale."""
    guidance = shared_guidance(3.0, 3.0)
    condition = (jnp.array([1.0, 0.0, 0.0]), NULL)

    @jax.jit
    def outputs(key, s):
        pairs = guidance.teacher, guidance.student
        guided = [pair(TEACHER, guidance.scale(key))(Y, s, condition) for pair in pairs]
        return guided, [TEACHER(Y, s, c) for c in condition]

    guided, plain = outputs(jax.random.key(0), np.float32(2.0))
    with_text, without = map(np.asarray, plain)
    for got in guided:
        np.testing.assert_allclose(got, without + 3 * (with_text - without), rtol=1e-5)
    keys = jax.random.split(jax.random.key(0), 500)
    scales = np.asarray(jax.jit(jax.vmap(shared_guidance(2.0, 5.0).scale))(keys))
    assert 2 <= scales.min() < 2.1 and 4.9 < scales.max() <= 5


def test_captions_are_dropped(teacher):
    objective = CoDi(STUDENT, NULL, SCHEDULE, teacher, dropout=1.0)
    draw = eqx.filter_jit(objective.draw)(jax.random.key(0), Y, jnp.array([1.0, 0, 0]), ZERO)
    np.testing.assert_array_equal(draw.condition[0], NULL)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: TeacherStep(t, Consistency()), "stochastic Consistency"),
        (lambda t: TimeLevelPairs(SCHEDULE, skip=0), "skip=0"),
        (lambda t: KarrasLevelPairs(0.0, 80.0), "low = 0.0"),
        (lambda t: KarrasLevelPairs(0.1, 80.0, levels=1), "received 1"),
        (lambda t: GrowingLevelPairs(0.1, 80.0, 0), "updates = 0"),
        (lambda t: LevelBoundary(0.0), "received 0.0"),
        (lambda t: shared_guidance(3.0, 2.0), "3.0 and 2.0"),
        (lambda t: CoDi(STUDENT, NULL, SCHEDULE, t, dropout=2.0), "dropped captions"),
        (lambda t: ProgressiveDistillation(STUDENT, NULL, t, jnp.arange(4.0)[::-1]), "received 3"),
    ],
)
def test_what_cannot_work_is_refused(teacher, make, message):
    with pytest.raises(ValueError, match=message):
        make(teacher)
