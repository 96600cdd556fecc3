"""Loss and gradient of every method beside its paper's formulas, written in numpy float64.

The papers' frame, not ours: variance-preserving latents `z = alpha x0 + sigma eps` at times t for
CoDi, LCM, progressive and guided distillation; EDM's network F for CM and iCT. The model has four
numbers, and its gradient is taken by complex steps, which are exact to rounding.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import others_slow

from equildm import TextEmbedding
from equildm.data import LatentBatch
from equildm.denoise import Preconditioned
from equildm.distill import (
    CM,
    CoDi,
    ConsistencyLoss,
    embedded_guidance,
    GuidedDistillation,
    iCT,
    inherited_guidance,
    LCM,
    ProgressiveDistillation,
    Student,
)
from equildm.noise import Epsilon, grids, ScaledLinear, Velocity

SCHEDULE = ScaledLinear()
PREDICTIONS = {"eps": Epsilon(), "v": Velocity()}
STUDENT, TARGET, TEACHER = (
    np.array(row) for row in ([0.5, 0.2, -0.3, 0.1], [0.4, 0.25, -0.2, 0.15], [0.6, 0.1, -0.4, 0.2])
)
STEP = 30


class Affine(eqx.Module):
    """`a x + b t / 1000 + c mean(caption) + d (w - 1) / 10`."""

    numbers: jax.Array

    def __call__(self, x, t, condition):
        text, w = condition if isinstance(condition, tuple) else (condition, 1.0)
        a, b, c, d = self.numbers
        return a * x + b * t / 1000 + c * jnp.mean(text.tokens) + d * (w - 1) / 10


def affine(numbers, x, t, c, w=1.0):
    return numbers[0] * x + numbers[1] * t / 1000 + numbers[2] * c + numbers[3] * (w - 1) / 10


BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
ABAR = np.cumprod(1 - BETAS)
LOG_S = np.log(np.sqrt((1 - ABAR) / ABAR))
LOW, HIGH = np.exp(LOG_S[[0, -1]])


def alpha_sigma(t):
    return np.sqrt(ABAR[t]), np.sqrt(1 - ABAR[t])


def time(s):
    return np.interp(np.log(np.clip(s, LOW, HIGH)), LOG_S, np.arange(1000))


def x0_eps(kind, numbers, z, t, c, w=1.0):
    """Both estimates at an integer time."""
    alpha, sigma = alpha_sigma(t)
    out = affine(numbers, z, t, c, w)
    if kind == "eps":
        return (z - sigma * out) / alpha, out
    return alpha * z - sigma * out, sigma * z + alpha * out


def ddim(x0, eps, t):
    alpha, sigma = alpha_sigma(t)
    return alpha * x0 + sigma * eps


def jump(kind, numbers, z, t, c, w=1.0):
    """LCM, equation 9, with the published scalings."""
    tau = 10.0 * t
    skip, out = 0.25 / (tau**2 + 0.25), tau / np.sqrt(tau**2 + 0.25)
    return skip * z + out * x0_eps(kind, numbers, z, t, c, w)[0]


def codi(p, x, eps, s0, s1, w, c, null):
    t, to = (round(float(time(s))) for s in (s0, s1))
    assert t % 20 == 0 and to == max(t - 20, 0)
    alpha, sigma = alpha_sigma(t)
    z = alpha * x + sigma * eps
    z_hat = ddim(*x0_eps("eps", TEACHER, z, t, c), to)
    f = jump("eps", p, z, t, c)
    return np.mean((f - jump("eps", TARGET, z_hat, to, c)) ** 2) + np.mean((f - x) ** 2)


def lcm(p, x, eps, s0, s1, w, c, null):
    t, to = (round(float(time(s))) for s in (s0, s1))
    assert t % 20 == 19 and to == max(t - 20, 0)
    theirs = w - 1
    assert 5 <= theirs <= 15
    alpha, sigma = alpha_sigma(t)
    z = alpha * x + sigma * eps
    with_text, without = (x0_eps("eps", TEACHER, z, t, c_) for c_ in (c, null))
    guided = [a + theirs * (a - b) for a, b in zip(with_text, without)]
    z_hat = ddim(*guided, to)
    d = jump("eps", p, z, t, c, w) - jump("eps", TARGET, z_hat, to, c, w)
    return np.mean(np.sqrt(d**2 + 0.001**2) - 0.001)


def denoise(numbers, y, s, c):
    """A v model in EDM's frame."""
    alpha = 1 / np.sqrt(1 + s**2)
    return alpha * alpha * y - s * alpha * affine(numbers, alpha * y, time(s), c)


def consistency(numbers, y, s, c, d=0.5):
    """Song et al., appendix C, on EDM's F (Karras et al., table 1)."""
    total = s**2 + d**2
    network = (denoise(numbers, y, s, c) - d**2 / total * y) * np.sqrt(total) / (s * d)
    skip = d**2 / ((s - LOW) ** 2 + d**2)
    return skip * y + d * (s - LOW) / np.sqrt(total) * network


def cm(p, x, eps, s0, s1, w, c, null):
    grid = (LOW ** (1 / 7) + np.arange(18) / 17 * (HIGH ** (1 / 7) - LOW ** (1 / 7))) ** 7
    n = np.argmin(np.abs(grid - s0))
    np.testing.assert_allclose([s0, s1], grid[[n, n - 1]], rtol=1e-5)
    y = x + s0 * eps
    slope = (y - denoise(TEACHER, y, s0, c)) / s0
    euler = y + (s1 - s0) * slope
    y_hat = y + (s1 - s0) * (slope + (euler - denoise(TEACHER, euler, s1, c)) / s1) / 2
    return np.mean((consistency(p, y, s0, c) - consistency(TARGET, y_hat, s1, c)) ** 2)


def ict(p, x, eps, s0, s1, w, c, null):
    """The target is the student itself, which complex steps must not see: real numbers there."""
    intervals = min(10 * 2 ** (STEP // (100 // 8)), 1280)
    share = np.arange(intervals + 1) / intervals
    grid = (LOW ** (1 / 7) + share * (HIGH ** (1 / 7) - LOW ** (1 / 7))) ** 7
    n = np.argmin(np.abs(grid - s0))
    np.testing.assert_allclose([s0, s1], grid[[n, n - 1]], rtol=1e-5)
    d = consistency(p, x + s0 * eps, s0, c) - consistency(STUDENT, x + s1 * eps, s1, c)
    huber = 0.00054 * np.sqrt(d.size)
    return (np.sqrt(np.sum(d**2) + huber**2) - huber) / (s0 - s1)


def build(method):
    kind = "eps" if method in ("codi", "lcm") else "v"
    student = Student(SCHEDULE, PREDICTIONS[kind])
    network = Affine(jnp.asarray(TEACHER, jnp.float32))
    teacher = Preconditioned(network, SCHEDULE, PREDICTIONS[kind])
    null = TextEmbedding(jnp.full((2, 3), 0.3), jnp.ones(2, bool))
    return student, null, teacher


def batch(size=6):
    rng = np.random.default_rng(0)
    text = TextEmbedding(
        jnp.asarray(rng.normal(size=(size, 2, 3)), jnp.float32), jnp.ones((size, 2), bool)
    )
    latents = jnp.asarray(rng.normal(size=(size, 2, 2, 1)), jnp.float32)
    return LatentBatch(latents, text), jax.random.split(jax.random.key(5), size)


def check(objective, examples, size):
    """`examples(p)` are the losses of the batch's examples by the paper."""
    data, keys = batch(size)
    model = Affine(jnp.asarray(STUDENT, jnp.float32))
    value_and_grad = eqx.filter_jit(eqx.filter_value_and_grad(objective, has_aux=True))
    (loss, _), grad = value_and_grad(model, data, keys)
    expected = np.mean(examples(STUDENT))
    slopes = [np.mean(examples(STUDENT + 1e-30j * row)).imag / 1e-30 for row in np.eye(4)]
    np.testing.assert_allclose(loss, expected, rtol=5e-5)
    np.testing.assert_allclose(grad.numbers, slopes, rtol=1e-4, atol=1e-4 * np.max(np.abs(slopes)))
    assert np.max(np.abs(slopes)) > 1e-3


@pytest.mark.parametrize(
    ("method", "formula"),
    others_slow(
        [("codi", codi), ("lcm", lcm), ("cm", cm), ("ict", ict)], ("codi", codi), ("lcm", lcm)
    ),
)
def test_consistency_presets_are_their_papers(method, formula):
    student, null, teacher = build(method)
    choices = {
        "codi": lambda: CoDi(student, null, SCHEDULE, teacher),
        "lcm": lambda: LCM(student, null, SCHEDULE, teacher),
        "cm": lambda: CM(student, null, SCHEDULE, teacher),
        "ict": lambda: iCT(student, null, SCHEDULE, updates=100),
    }[method]()
    data, keys = batch()
    target = Affine(jnp.asarray(STUDENT if method == "ict" else TARGET, jnp.float32))
    objective = ConsistencyLoss(choices, target, jnp.asarray(STEP))
    draw_one = jax.jit(lambda *example: choices.draw(*example, objective.step))
    draws = []
    for key, latent, tokens in zip(keys, data.latents, data.text.tokens, strict=True):
        text = TextEmbedding(tokens, jnp.ones(2, bool))
        draw = draw_one(key, latent, text)
        captions = [float(jnp.mean(t.tokens)) for t in draw.condition]
        numbers = (np.asarray(v, np.float64) for v in (latent, *draw[2:3], draw.s0, draw.s1))
        draws.append((*numbers, float(draw.guidance_scale), *captions))

    check(objective, lambda p: [formula(p, *draw) for draw in draws], len(keys))


def test_guided_distillation_is_its_paper():
    student, null, teacher = build("guided")
    objective = GuidedDistillation(student, null, SCHEDULE, teacher, embedded_guidance(1.0, 5.0))
    data, keys = batch()

    def example(p, i):
        time_key, noise_key, scale_key = jax.random.split(keys[i], 3)
        t = int(objective.times(time_key, SCHEDULE))
        eps = np.asarray(jax.random.normal(noise_key, (2, 2, 1)), np.float64)
        theirs = float(jax.random.uniform(scale_key, minval=1.0, maxval=5.0)) - 1
        c, x = float(jnp.mean(data.text.tokens[i])), np.asarray(data.latents[i], np.float64)
        alpha, sigma = alpha_sigma(t)
        z = alpha * x + sigma * eps
        with_text, without = (x0_eps("v", TEACHER, z, t, c_)[0] for c_ in (c, 0.3))
        target = (1 + theirs) * with_text - theirs * without
        error = x0_eps("v", p, z, t, c, theirs + 1)[0] - target
        return max(alpha**2 / sigma**2, 1) * np.mean(error**2)

    check(objective, lambda p: [example(p, i) for i in range(6)], 6)


@pytest.mark.parametrize("embedded", [False, True])
def test_progressive_distillation_is_its_paper(embedded):
    """Salimans & Ho, algorithm 2, where the loss is `max(x_mse, eps_mse)`; with w, Meng et al."""
    student, null, teacher = build("progressive")
    levels = jnp.asarray(grids.pad(grids.trailing(SCHEDULE, 8), 17), jnp.float32)
    choices = {"guidance": inherited_guidance(2.0, 6.0)} if embedded else {}
    objective = ProgressiveDistillation(student, null, teacher, levels, **choices)
    data, keys = batch()
    seen = set()

    def example(p, i):
        step_key, noise_key, scale_key, _ = jax.random.split(keys[i], 4)
        n = 2 * int(jax.random.randint(step_key, (), 0, 4))
        seen.add(n)
        eps = np.asarray(jax.random.normal(noise_key, (2, 2, 1)), np.float64)
        w = float(jax.random.uniform(scale_key, minval=2.0, maxval=6.0)) if embedded else 1.0
        c, x = float(jnp.mean(data.text.tokens[i])), np.asarray(data.latents[i], np.float64)
        t, middle = 999 - 125 * n, 999 - 125 * (n + 1)
        to = None if n == 6 else 999 - 125 * (n + 2)
        alpha, sigma = alpha_sigma(t)
        z = alpha * x + sigma * eps
        z_middle = ddim(*x0_eps("v", TEACHER, z, t, c, w), middle)
        x_middle, eps_middle = x0_eps("v", TEACHER, z_middle, middle, c, w)
        alpha_to, sigma_to = (1.0, 0.0) if to is None else alpha_sigma(to)
        z_to = alpha_to * x_middle + sigma_to * eps_middle
        ratio = sigma_to / sigma
        x_target = (z_to - ratio * z) / (alpha_to - ratio * alpha)
        x_hat, eps_hat = x0_eps("v", p, z, t, c, w)
        eps_target = (z - alpha * x_target) / sigma
        errors = [np.mean((x_hat - x_target) ** 2), np.mean((eps_hat - eps_target) ** 2)]
        return max(errors, key=lambda e: e.real)

    check(objective, lambda p: [example(p, i) for i in range(6)], 6)
    assert 6 in seen, "no step to the end was drawn: take another key"
