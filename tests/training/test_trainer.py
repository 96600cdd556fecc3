"""A training from Python: into a run folder, stopped, and resumed on the same curve."""

import dataclasses

import jax
import numpy as np
import pytest
from fixed_examples import Examples
from helpers import trees_equal
from run_folders import losses

from equildm.runtime import Checkpoints, copied, Locks, make_mesh, read_metrics, Run
from equildm.training import (
    DecayEMA,
    Diverged,
    OptimizerConfig,
    put_frozen,
    train,
    TrainConfig,
)

CONFIG = TrainConfig(
    steps=10,
    batch_size=4,
    optimizer=OptimizerConfig(warmup=2, learning_rate=1e-2),
    ema="decay-0.95",
    log_every=1,
    save_every=3,
    preview_every=5,
    snapshots=4,
)


@pytest.fixture
def trained(network, objective, make_batch, tmp_path):
    dataset = Examples(jax.tree.map(np.asarray, make_batch(size=12)))

    def trained(name, config, *, dataset=dataset, **options):
        path = tmp_path / name
        may_change = ("steps", "optimizer", "bad_steps")
        run = Run.create(path, config, "test", resume=path.exists(), may_change=may_change)
        model = copied(network)
        optimizer = config.optimizer.build(config.steps)
        mesh = make_mesh()
        return train(model, objective, dataset, optimizer, config, run=run, mesh=mesh, **options)

    return trained


def test_a_resumed_training_has_the_same_curve(trained, tmp_path):
    previews = []

    def preview(state):
        previews.append(int(state.step))
        return np.zeros((2, 2, 3), np.uint8)

    complete = trained("complete", CONFIG, preview=preview)
    assert int(complete.step) == 10 and previews == [5, 10]
    assert sorted(file.name for file in (tmp_path / "complete" / "samples").iterdir()) == [
        "step_00000005.png",
        "step_00000010.png",
    ]
    assert Checkpoints(tmp_path / "complete" / "averages").steps() == [4, 8]
    curve = losses(tmp_path / "complete")
    assert list(curve) == list(range(1, 11)) and np.mean([*curve.values()][5:]) < curve[1]

    trained("parts", dataclasses.replace(CONFIG, steps=4))
    assert Checkpoints(tmp_path / "parts" / "checkpoints").latest() == 4
    resumed = trained("parts", CONFIG)
    assert losses(tmp_path / "parts") == curve
    for a, b in zip(jax.tree.leaves(complete), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_that_fails_is_skipped_and_counted(trained, make_batch, tmp_path):
    """One example that is not a number: in each of four epochs of three steps one step fails."""
    batch = jax.tree.map(np.asarray, make_batch(size=12))
    latents = batch.latents.copy()
    latents[5] = np.nan
    dataset = Examples(batch._replace(latents=latents))
    config = dataclasses.replace(CONFIG, steps=12, bad_steps=4)
    state = trained("four", config, dataset=dataset)
    finite = [line["finite"] for line in read_metrics(tmp_path / "four" / "metrics.jsonl")]
    assert finite.count(0) == 4 and all(sum(finite[i : i + 3]) == 2 for i in (0, 3, 6, 9))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.model))

    config = dataclasses.replace(CONFIG, steps=12, bad_steps=1, save_every=1)
    with pytest.raises(Diverged, match=r"after 1 that were skipped. Step . is saved. Use a lower"):
        trained("one", config, dataset=dataset)
    # As the error says: on with another rate, from a state that is good.
    slower = OptimizerConfig(warmup=4, learning_rate=1e-3, clip=0.5)
    state = trained(
        "one", dataclasses.replace(config, bad_steps=4, optimizer=slower), dataset=dataset
    )
    assert int(state.step) == 12


def test_a_run_goes_on_as_it_began(trained, make_batch, tmp_path):
    """With its own data and averages, and in one launch at a time."""
    examples = Examples(jax.tree.map(np.asarray, make_batch(size=12)), "twelve")
    trained("run", dataclasses.replace(CONFIG, steps=3), dataset=examples)
    with pytest.raises(ValueError, match=r"with the data that it began with, .* of step 3 in "):
        trained("run", CONFIG, dataset=dataclasses.replace(examples, fingerprint="others"))
    with pytest.raises(ValueError, match=r"received decay_0\.5 .* has decay_0\.95\. Use"):
        trained("run", CONFIG, dataset=examples, ema=DecayEMA(0.5))
    with (
        Locks(tmp_path / "run" / "locks") as other,
        pytest.raises(ValueError, match=r"One launch at a time trains a run, received .*run "),
    ):
        assert other.acquire("training")
        trained("run", CONFIG, dataset=examples)
    assert int(trained("run", CONFIG, dataset=examples, ema=DecayEMA(0.95)).step) == 10


def test_averages_may_be_any(trained):
    state = trained("any", dataclasses.replace(CONFIG, steps=2), ema=DecayEMA(0.5))
    named = trained("named", dataclasses.replace(CONFIG, steps=2))
    assert trees_equal(state.model, named.model)
    # Warmed up alike, to 2 / 11 after the first step and 3 / 12 after the second.
    assert trees_equal(state.ema, named.ema)


def test_a_frozen_array_that_occurs_twice_is_moved_once():
    array = np.ones((2, 3), np.float32)
    first, second, name = put_frozen((array, array, "name"), make_mesh())
    assert first is second and isinstance(first, jax.Array) and name == "name"


@dataclasses.dataclass(frozen=True)
class TwoShapes(Examples):
    """The same examples, of which every second batch is cut to half its width."""

    def parts(self, batch_size, of, seed):
        def cut(number, batch):
            width = 4 - 2 * (number % 2)
            return batch._replace(latents=batch.latents[:, :, :width])

        return super().parts(batch_size, of, seed).map_with_index(cut)


def test_compiling_for_another_shape_is_said_and_no_rate(trained, make_batch, tmp_path, capsys):
    dataset = TwoShapes(jax.tree.map(np.asarray, make_batch(size=12)))
    trained("shapes", CONFIG, dataset=dataset)
    lines = capsys.readouterr().err.splitlines()
    assert sum("compiling for another shape of images" in line for line in lines) == 1
    first, *timing = read_metrics(tmp_path / "shapes" / "timing.jsonl")
    assert first["step"] == 1 and min(line["step"] for line in timing) > 2
