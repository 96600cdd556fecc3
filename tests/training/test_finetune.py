"""Trained parts of networks: divided and joined, with objectives of their own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import called
from small_models import moved_weights

from equildm.denoise import DiTConfig, UNetConfig, widen_input
from equildm.nn import Linear, merge_lora
from equildm.runtime import Checkpoints, from_json, Run, to_json
from equildm.training import (
    AbstractObjective,
    AbstractTrainedPart,
    AllWeights,
    FineTuneConfig,
    LoRAConfig,
    MatchingWeights,
    TrainConfig,
)


class Attention(eqx.Module):
    to_q: Linear
    to_out: Linear


class Attending(eqx.Module):
    """The network of the tests with an attention's projections in front."""

    attention: Attention
    network: eqx.Module

    def __call__(self, x, t, text):
        return self.network(self.attention.to_out(self.attention.to_q(x)), t, text)


@pytest.fixture
def attending(network):
    q, out = (Linear(2, 2, key=jax.random.key(i)) for i in range(2))
    return Attending(Attention(q, out), network)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


class Squares(AbstractObjective):
    """A loss that compiles at once: other tests train parts with the loss of denoising."""

    def __call__(self, model, batch, keys):
        t = jax.vmap(jax.random.uniform)(keys)
        return jnp.sum(jax.vmap(model)(batch.latents, t, batch.text) ** 2), {}


PARTS = [AllWeights(), MatchingWeights(("*attention*", "network.text.*")), LoRAConfig(2)]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_join_is_the_inverse_of_split(part, attending, make_batch):
    trained, frozen = part.split(attending, key=jax.random.key(0))
    same(part.join(trained, frozen), attending)

    # The objective of the part is that of the network, also after the part has changed.
    shifted = lambda x: jax.device_put(np.asarray(x) + np.float32(0.1))
    trained = jax.tree.map(lambda x: shifted(x) if eqx.is_inexact_array(x) else x, trained)
    batch, keys = make_batch(), jax.random.split(jax.random.key(1), 8)
    loss, _ = called(part.objective(Squares(), frozen), trained, batch, keys)
    expected, _ = called(Squares(), part.join(trained, frozen), batch, keys)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    before, _ = called(Squares(), attending, batch, keys)
    assert abs(float(loss) - float(before)) > 1e-3

    # Shapes are divided like arrays, as a run folder is read.
    shapes = eqx.filter_eval_shape(part.split, attending, key=jax.random.key(0))
    assert shapes == eqx.filter_eval_shape(lambda: (trained, frozen))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_part_is_plain_values(part):
    assert from_json(AbstractTrainedPart, to_json(part)) == part


def test_options_name_the_part(attending):
    assert FineTuneConfig().part == AllWeights()
    assert FineTuneConfig(lora=3).part == LoRAConfig(3)
    config = FineTuneConfig(trainable=("network.*",), groups=("network.text.*=0.1", "*=0.5"))
    assert config.part == MatchingWeights(("network.*",))
    assert config.factors == {"network.text.*": 0.1, "*": 0.5}

    trainable = config.split(attending, seed=0)
    assert trainable.model.attention.to_q.weight is None
    same(trainable.network(trainable.model), attending)
    adapters = FineTuneConfig(lora=3).split(attending, seed=4)
    same(adapters.model, LoRAConfig(3).split(attending, key=jax.random.key(4))[0])
    merged = adapters.network(jax.tree.map(jnp.ones_like, adapters.model))
    same(merged, merge_lora(attending, jax.tree.map(jnp.ones_like, adapters.model)))


def test_a_resumed_run_has_the_rest_of_its_own(attending, tmp_path):
    """The start may have trained on since the run began."""
    config = FineTuneConfig(trainable=("network.*",))
    run = Run.create(tmp_path / "run", config, "test")
    first = config.split(attending, seed=0, run=run)
    same(first.network(first.model), attending)
    with Checkpoints(run.base) as base:
        base.save(0, {"model": eqx.filter(first.frozen, eqx.is_array)}, {})
    later = moved_weights(attending, 1.0, np.random.default_rng(0))
    resumed = config.split(later, seed=0, run=run)
    same(resumed.network(first.model), attending)


UNET = UNetConfig(
    8, context_width=5, multipliers=(1,), depths=(1,), transformer_depths=(1,), heads=2, groups=4
)


@pytest.mark.parametrize("config", [UNET, DiTConfig(16, 2, 2, context_width=5)])
def test_new_weights_are_trained(config):
    """What stays zero would ignore the second image without a word."""
    network = config.build(key=jax.random.key(0))
    wide = widen_input(network, 3)
    first = "conv_in" if isinstance(config, UNetConfig) else "embed"

    def split(**options):
        return FineTuneConfig(**options).split(wide, seed=0, start=network)

    split()
    split(trainable=("*attention*", f"network.{first}*", "projection*"))
    split(groups=("*=0.5", f"network.{first}*=0"))  # the first pattern counts
    for options in (
        {"lora": 2},
        {"trainable": ("*attention*", "projection.*")},
        {"groups": (f"network.{first}*=0", "*=0.5")},
    ):
        with pytest.raises(ValueError, match=rf"leave network\.{first}.* as zero"):
            split(**options)
    part = FineTuneConfig(trainable=("*attention*", f"network.{first}*"))
    with pytest.raises(ValueError, match=r"leave projection\.weight as zero"):
        part.split(wide, seed=0, start=network)
    part.split(wide, seed=0, start=network, unused=("projection.weight",))
    # A start that has the weights already has trained them.
    FineTuneConfig(lora=2).split(wide, seed=0, start=wide)


def test_groups_multiply_the_rate(network):
    def updates(groups):
        optimizer = FineTuneConfig(groups=groups).optimizer(TrainConfig(), 1e-2)
        grads = jax.tree.map(jnp.ones_like, network)
        return optimizer.update(grads, optimizer.init(network), network)[0]

    plain, grouped = jax.jit(lambda: (updates(()), updates(("text.*=0.1",))))()
    np.testing.assert_allclose(grouped.text.weight, 0.1 * np.asarray(plain.text.weight), rtol=1e-6)
    np.testing.assert_array_equal(grouped.inwards.weight, plain.inwards.weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora": 0}, "rank is at least 1, received 0"),
        ({"lora": 4, "trainable": ("text.*",)}, "received --lora 4 and --trainable text"),
        ({"trainable": ()}, "no pattern for --trainable"),
        ({"start": "none", "lora": 2}, "Fresh weights are all trained"),
        ({"start": "none", "trainable": ("text.*",)}, "Fresh weights are all trained"),
        ({"groups": ("text.*",)}, r"received 'text\.\*'"),
        ({"groups": ("=0.1",)}, "received '=0.1'"),
        ({"groups": ("text.*=-1",)}, r"received 'text\.\*=-1'"),
        ({"groups": ("text.*=nan",)}, r"received 'text\.\*=nan'"),
        ({"groups": ("text.*=inf",)}, r"received 'text\.\*=inf'"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FineTuneConfig(**options)


@pytest.mark.parametrize(
    "options",
    [{"trainable": ("text.*", "attention")}, {"groups": ("attention=0.1",)}],
)
def test_patterns_that_match_nothing_are_refused(network, options):
    with pytest.raises(ValueError, match=r"received 'attention'.*inwards\.weight"):
        FineTuneConfig(**options).split(network, seed=0)
