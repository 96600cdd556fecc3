"""What a training tells of itself, and that telling it changes nothing."""

import dataclasses
import json
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equildm.runtime import copied, device_limits, make_mesh, read_metrics, Run
from equildm.training import (
    AbstractMovingObjective,
    make_step,
    MonitorConfig,
    OptimizerConfig,
    PowerEMA,
    ScheduledOptimizer,
    train,
    TrainState,
)
from equildm.training.step_timer import last_first_step

from .test_trainer import CONFIG, Examples


@pytest.fixture
def examples(make_batch):
    return Examples(jax.tree.map(np.asarray, make_batch(size=12)))


@pytest.fixture
def run_training(network, objective, examples, make_batch, tmp_path):
    held_out = jax.tree.map(np.asarray, make_batch(seed=7, size=6))

    def run_training(name, config, *, held_out=held_out, objective=objective, **options):
        run = Run.create(tmp_path / name, config, "test", resume=True, may_change=("steps",))
        state = train(
            copied(network),
            objective,
            examples,
            config.optimizer.build(config.steps),
            config,
            run=run,
            mesh=make_mesh(),
            held_out=held_out,
            **options,
        )
        return state, run.path / "metrics.jsonl"

    return run_training


def test_the_training_is_the_same_without_validation(run_training):
    """Equal bits, with and without; validations at their steps and at the end."""
    config = dataclasses.replace(CONFIG, monitor=MonitorConfig(validate_every=4))
    with_it, metrics = run_training("with", config)
    without, plain = run_training("without", config, held_out=None)
    for a, b in zip(jax.tree.leaves(with_it), jax.tree.leaves(without), strict=True):
        np.testing.assert_array_equal(a, b)
    lines, plain_lines = read_metrics(metrics), read_metrics(plain)
    assert [m["step"] for m in lines if "validation_loss" in m] == [4, 8, 10]
    assert [{k: v for k, v in m.items() if "validation" not in k} for m in lines] == plain_lines
    assert lines[3]["validation_loss"] > lines[9]["validation_loss"]


def test_a_resumed_run_has_the_same_lines(run_training, tmp_path):
    """Byte by byte: what a clock tells is in another file."""
    monitor = MonitorConfig(validate_every=2)
    config = dataclasses.replace(CONFIG, save_every=2, monitor=monitor)
    _, complete = run_training("complete", config)
    run_training("parts", dataclasses.replace(config, steps=4))
    with open(tmp_path / "parts" / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "loss": 0.1}\n{"step": 6, "lo')  # as of a launch that was killed
    _, parts = run_training("parts", config)
    assert parts.read_bytes() == complete.read_bytes()


def test_the_learning_rate_is_that_of_the_schedule(run_training):
    optimizer = OptimizerConfig(learning_rate=1e-2, warmup=4, decay="cosine")
    _, metrics = run_training("run", dataclasses.replace(CONFIG, optimizer=optimizer))
    rates = [line["learning_rate"] for line in read_metrics(metrics)]
    schedule = optimizer.schedule(CONFIG.steps)
    np.testing.assert_allclose(rates, jax.jit(jax.vmap(schedule))(np.arange(10)), rtol=1e-6)
    assert rates[3] == pytest.approx(1e-2) and rates[0] == pytest.approx(2.5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "adamw-bf16", "adafactor"])
def test_logging_the_rate_changes_no_bit(network, objective, make_batch, name):
    """And a step that fails makes no update: its rate is that of the next one."""
    optimizer = OptimizerConfig(optimizer=name, warmup=10).build(100)
    plain = optax.GradientTransformation(optimizer.init, optimizer.update)
    batch = make_batch()
    broken = batch._replace(latents=batch.latents * jnp.nan)
    states, rates = [], []
    for transformation in (optimizer, plain):
        ema = PowerEMA()
        model = copied(network)
        state = TrainState.create(model, transformation, ema)
        step = make_step(objective, transformation, ema, key=jax.random.key(0))
        for examples in (batch, broken, batch):
            state, metrics = step(state, examples)
            rates += [float(metrics["learning_rate"])] if "learning_rate" in metrics else []
        states.append(state)
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(rates, [1e-5, 2e-5, 2e-5], rtol=1e-6)


def test_a_rate_needs_a_count():
    optimizer = ScheduledOptimizer(optax.sgd(0.1), optax.constant_schedule(0.1))
    with pytest.raises(ValueError, match="counts its updates"):
        optimizer.rate(optimizer.init({"x": jnp.ones(2)}))


def test_timing_is_in_a_file_of_its_own(run_training, tmp_path, monkeypatch):
    """Examples a second and memory; the utilisation where the device's peak is known."""
    monkeypatch.setattr(device_limits, "PEAK_FLOPS", {"cpu": 1e12})
    run_training("run", dataclasses.replace(CONFIG, log_every=2))
    first, *lines = read_metrics(tmp_path / "run" / "timing.jsonl")
    assert first["step"] == 1 and first["first_step_seconds"] > 0
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    for line in lines:
        assert line["examples_per_second"] > 0 and 0 < line["mfu"] < 1
        assert 10e6 < line["host_bytes"] < 100e9
    assert last_first_step(tmp_path / "run" / "timing.jsonl") == first["first_step_seconds"]


def test_trackers_of_a_training(run_training, tmp_path):
    """A function gets what TensorBoard would; `none` leaves no folder of it."""
    calls = []
    monitor = MonitorConfig(trackers=("none",), validate_every=5)
    run_training(
        "run",
        dataclasses.replace(CONFIG, monitor=monitor),
        trackers=[lambda step, values: calls.append((step, dict(values)))],
    )
    assert not (tmp_path / "run" / "tensorboard").exists()
    names = {name for _, values in calls for name in values}
    assert {"loss", "learning_rate", "validation_loss_ema", "examples_per_second"} <= names
    steps = [step for step, _ in calls]
    assert steps == sorted(steps)


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_a_resumed_training_is_one_run_of_weights_and_biases(run_training, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = dataclasses.replace(CONFIG, monitor=MonitorConfig(trackers=("wandb",)))
    folder = tmp_path / "run"
    run_training("run", dataclasses.replace(config, steps=4))
    identity = (folder / "wandb.json").read_text()
    run_training("run", config)
    assert (folder / "wandb.json").read_text() == identity
    launches = list((folder / "wandb").glob(f"offline-run-*-{json.loads(identity)['id']}"))
    assert len(launches) == 2 and not (folder / "tensorboard").exists()


class Moving(AbstractMovingObjective):
    """Moves."""

    def at(self, state):
        raise AssertionError


def test_a_moving_loss_has_no_validation(run_training):
    with pytest.raises(ValueError, match="for a Moving, which moves"):
        run_training("run", CONFIG, objective=Moving())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ('{"step": 8, "examples_per_second": 4.0}\n', None),
        ('{"step": 1, "first_step_seconds": 4.5}\n{"step": 8}\n', 4.5),
        ('{"step": 1, "first_step_seconds": 4.5}\n{"step": 9, "first_step_seconds": 2}\n', 2.0),
        ('{"step": 1, "first_step_seconds": 4.', None),
    ],
)
def test_the_time_of_the_first_step(tmp_path, text, seconds):
    file = tmp_path / "timing.jsonl"
    assert last_first_step(file) is None
    file.write_text(text)
    assert last_first_step(file) == seconds


def test_the_time_before_the_first_step_is_told(run_training, capsys):
    run_training("run", dataclasses.replace(CONFIG, steps=3))
    assert "training 0/3 steps, compiling the first step\n" in capsys.readouterr().err
    run_training("run", dataclasses.replace(CONFIG, steps=6))
    assert "training 3/6 steps, compiling, 0:00:0" in capsys.readouterr().err
