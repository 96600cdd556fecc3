"""Options of training: what they refuse, and the optimisers that they build."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equildm.noise import LossConfig, P2, ScaledLinear, UniformTimes, Velocity
from equildm.runtime import Checkpoints, Policy
from equildm.training import OptimizerConfig, PriorConfig, TrainConfig

NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "--steps is at least 1, received 0"),
        ({"batch_size": 0}, "--batch-size is at least 1, received 0"),
        ({"accumulate": 0}, "--accumulate is at least 1, received 0"),
        ({"accumulate": 3}, "received 32 examples and --accumulate 3"),
        ({"keep": 0}, "--keep is at least 1, received 0"),
        ({"log_every": 0}, "--log-every is at least 1, received 0"),
        ({"save_every": -1}, "--save-every is at least 1, received -1"),
        ({"preview_every": 0}, "--preview-every is at least 1, received 0"),
        ({"snapshots": -2}, "--snapshots is at least 0, received -2"),
        ({"steps": 2.5}, "--steps is a whole number, received 2.5"),
        ({"remat": "all"}, "--remat is one of none, blocks, dots; received 'all'"),
        ({"mesh": "data:8"}, "received 'data:8'"),
        ({"mesh": "pipe=2"}, "received 'pipe'"),
        ({"steps": 100, "optimizer": OptimizerConfig(decay="cosine")}, "exceed the warm-up of 100"),
    ],
)
def test_a_training_that_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "is positive, received 0.0"),
        ({"learning_rate": NAN}, "is positive, received nan"),
        ({"learning_rate": float("inf")}, "is positive, received inf"),
        ({"warmup": -5}, "0 steps or more, received -5"),
        ({"weight_decay": -1.0}, "0 or more, received -1.0"),
        ({"weight_decay": NAN}, "0 or more, received nan"),
        ({"clip": 0.0}, "above 0, received 0.0"),
        ({"clip": NAN}, "above 0, received nan"),
        ({"optimizer": "adafactor", "clip": -1.0}, "above 0, received -1.0"),
    ],
)
def test_an_optimiser_that_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": -0.5}, "received --prior-weight -0.5"),
        ({"weight": NAN}, "received --prior-weight nan"),
        ({"count": 0}, "received --prior-count 0"),
    ],
)
def test_a_prior_that_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PriorConfig(**options)


def test_what_may_change_are_options():
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    fields |= {f"optimizer.{field.name}" for field in dataclasses.fields(OptimizerConfig)}
    sections = {name.partition(".")[::2] for name in TrainConfig.MAY_CHANGE}
    assert {section for section, _ in sections} == {"train"}
    names = {name for _, name in sections}
    assert names < fields
    assert {"steps", "accumulate", "remat", "mesh", "optimizer.learning_rate"} < names
    assert not {"seed", "batch_size", "optimizer", "ema"} & names


def test_a_longer_cosine_says_what_becomes_of_the_rate(tmp_path, capsys):
    """Half of the way is a rate of 50 % of the peak, a quarter of it 85 %."""
    optimizer = OptimizerConfig(warmup=0, decay="cosine")
    config = TrainConfig(steps=100, optimizer=optimizer, resume=True)
    with pytest.raises(ValueError, match=r"--resume for .*run, which holds none. .* or add --new"):
        config.prepare_run(tmp_path / "run", config, "test")
    config = dataclasses.replace(config, new=True)

    @dataclasses.dataclass(frozen=True)
    class Recipe:
        train: TrainConfig

    run = config.prepare_run(tmp_path / "run", Recipe(config), "test")
    run.make()
    with Checkpoints(run.checkpoints, keep=1, every=1) as checkpoints:
        checkpoints.save(50, {"x": np.zeros(1)}, {})
    longer = dataclasses.replace(config, steps=200)
    longer.prepare_run(tmp_path / "run", Recipe(longer), "test")
    assert (
        "The cosine ended at step 100 and now ends at 200: at step 50 the learning rate goes from "
        "50% of its peak to 85%."
    ) in " ".join(capsys.readouterr().out.split())


def test_the_rate_rises_and_stays_or_falls():
    peak, warmup, steps = 3e-4, 4, 12
    constant = OptimizerConfig(learning_rate=peak, warmup=warmup).schedule(steps)
    cosine = OptimizerConfig(learning_rate=peak, warmup=warmup, decay="cosine").schedule(steps)
    for step in range(steps):
        rise = peak * min((step + 1) / warmup, 1.0)
        angle = np.pi * max(step - warmup, 0) / (steps - warmup)
        np.testing.assert_allclose(constant(step), rise, rtol=1e-6)
        np.testing.assert_allclose(cosine(step), rise * (1 + np.cos(angle)) / 2, rtol=1e-5)
    none = OptimizerConfig(warmup=0).schedule(steps, default_rate=0.5)
    assert float(none(0)) == float(none(steps)) == 0.5


def test_the_optimiser_is_that_of_optax():
    """AdamW with optax's own parts, three steps of it."""
    params = {"kernel": np.arange(6.0).reshape(2, 3), "bias": np.ones(3)}
    config = OptimizerConfig(learning_rate=1e-2, warmup=2, weight_decay=0.3, clip=0.5)
    truth = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(
            optax.linear_schedule(5e-3, 1e-2, 1),
            weight_decay=0.3,
            mask={"kernel": True, "bias": False},
        ),
    )
    results = []
    for optimizer in (config.build(10), truth):

        @jax.jit
        def three(weights, optimizer=optimizer):
            state = optimizer.init(weights)
            for i in range(3):
                grads = jax.tree.map(lambda x, i=i: jnp.sin(x * (i + 1)), params)
                updates, state = optimizer.update(grads, state, weights)
                weights = optax.apply_updates(weights, updates)
            return weights

        results.append(three(params))
    for a, b in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_defaults_are_those_of_the_caller():
    params = {"kernel": np.ones((2, 2), np.float32)}
    one = OptimizerConfig(warmup=0, clip=float("inf")).build(10, 0.1, 0.5)
    other = OptimizerConfig(
        warmup=0, clip=float("inf"), learning_rate=0.1, weight_decay=0.5, optimizer="adamw"
    ).build(10, 7.0, 7.0)
    grads = {"kernel": np.arange(4.0, dtype=np.float32).reshape(2, 2)}
    updates = [
        np.asarray(jax.jit(lambda g, p, x=x: x.update(g, x.init(p), p)[0]["kernel"])(grads, params))
        for x in (one, other)
    ]
    np.testing.assert_array_equal(*updates)
    assert np.abs(updates[0]).max() > 0


def test_denoising_takes_the_options(objective):
    config = TrainConfig(compute="bfloat16", remat="dots")
    loss = config.denoising(
        LossConfig(weight="p2", times="uniform"),
        ScaledLinear(),
        Velocity(),
        objective.null_text,
        dropout=0.25,
    )
    assert (loss.weight, loss.times) == (P2(), UniformTimes())
    assert (loss.policy, loss.remat, loss.dropout) == (Policy("bfloat16"), "dots", 0.25)
