"""Parts of models, groups of rates, and the objectives of fine-tuning."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equildm._types import TextEmbedding
from equildm.data import LatentBatch, PriorBatch, RestorationBatch, SubjectLatents, to_unit
from equildm.latents import enlarged, VAEConfig
from equildm.noise import MinSNR
from equildm.runtime import count_parameters
from equildm.text import Captioned, SmallTextEncoder
from equildm.text.tokenizer import TokenBatch
from equildm.train import (
    adamw,
    check_patterns,
    DecayEMA,
    divided,
    make_step,
    matching,
    OnPart,
    PriorPreservation,
    rate_groups,
    SuperResolution,
    TrainState,
)


def run(objective, model, batch, optimizer, steps=3):
    step = make_step(objective, optimizer, DecayEMA(0.9), key=jax.random.key(1))
    state = TrainState.create(jax.tree.map(jnp.copy, model), optimizer, DecayEMA(0.9))
    for _ in range(steps):
        state, metrics = step(state, batch)
    return state, metrics


def test_only_the_part_learns_and_it_learns_as_in_the_whole(network, objective, make_batch):
    batch = make_batch()
    part, frozen = divided(network, matching("text.*"))
    size = count_parameters(network.text)
    assert count_parameters(part) == size
    optimizer = adamw(1e-2, clip=1e9)
    state, _ = run(OnPart(objective, frozen), part, batch, optimizer)
    assert count_parameters((state.optimizer, state.ema)) == 3 * size
    trained = eqx.combine(state.model, frozen)
    np.testing.assert_array_equal(trained.inwards.weight, network.inwards.weight)
    assert float(jnp.abs(trained.text.weight - network.text.weight).max()) > 1e-3

    # The same through factors of the learning rate: 0 for the rest.
    groups = optax.chain(optimizer, rate_groups({"text.*": 1.0, "*": 0.0}))
    whole, _ = run(objective, network, batch, groups)
    np.testing.assert_allclose(whole.model.text.weight, trained.text.weight, rtol=1e-5)
    np.testing.assert_array_equal(whole.model.inwards.weight, network.inwards.weight)


def test_shapes_are_divided_as_their_arrays(network):
    """As a run's folder is read: the shapes of both parts, then their arrays."""
    where = matching("text.*")
    shapes = eqx.filter_eval_shape(lambda network: network, network)
    for abstract, arrays in zip(divided(shapes, where), divided(network, where), strict=True):
        abstract = [x for x in jax.tree.leaves(abstract) if isinstance(x, jax.ShapeDtypeStruct)]
        assert [x.shape for x in abstract] == [
            x.shape for x in jax.tree.leaves(arrays) if eqx.is_array(x)
        ]


def test_a_factor_is_another_learning_rate(network, objective, make_batch):
    """Beside optax's own labels, with weight decay and a schedule."""
    batch = make_batch()

    def plain(factor):
        rate = optax.linear_schedule(factor * 1e-2, factor * 2e-2, 3)
        return optax.adamw(rate, weight_decay=0.1)

    labels = jax.tree_util.tree_map_with_path(
        lambda path, _: "slow" if "inwards" in jax.tree_util.keystr(path) else "plain", network
    )
    truth = optax.multi_transform({"slow": plain(0.1), "plain": plain(1.0)}, lambda _: labels)
    ours = optax.chain(plain(1.0), rate_groups({"inwards.*": 0.1}))
    models = [run(objective, network, batch, optimizer)[0].model for optimizer in (truth, ours)]
    for a, b in zip(*map(jax.tree.leaves, models), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7)


def test_patterns_that_fit_nothing_are_refused(network):
    for fails in (
        lambda: check_patterns(network, ["inwards.*", "attention"]),
        lambda: rate_groups({"attention": 0.5}).init(network),
        lambda: divided(network, matching("attention")),
    ):
        with pytest.raises(ValueError, match=r"inwards\.weight"):
            fails()
    with pytest.raises(ValueError, match="at least 0"):
        rate_groups({"*": -1.0})


def test_prior_preservation_is_its_formula(network, objective, make_batch):
    """Ruiz et al. 2023, equation 2, transcribed in float64 on the same times and noise."""
    objective = eqx.tree_at(lambda o: o.weight, objective, MinSNR())
    batch = PriorBatch(make_batch(0, 3), make_batch(1, 3))
    keys = jax.random.split(jax.random.key(5), 3)
    loss, metrics = eqx.filter_jit(PriorPreservation(objective, 0.7))(network, batch, keys)

    def transcribed(latent, tokens, key):
        time_key, noise_key, _ = jax.random.split(key, 3)
        t = objective.times(time_key, objective.schedule)
        s = float(objective.schedule.level(t))
        alpha, sigma = 1 / np.sqrt(1 + s**2), s / np.sqrt(1 + s**2)
        x0 = np.asarray(latent, np.float64)
        eps = np.asarray(jax.random.normal(noise_key, x0.shape, jnp.float32), np.float64)
        text = TextEmbedding(tokens, jnp.ones(4, bool))
        out = network(jnp.asarray(alpha * x0 + sigma * eps, jnp.float32), t, text)
        snr = (alpha / sigma) ** 2
        weight = min(snr, 5.0) / (snr + 1)
        return weight * np.mean((np.asarray(out, np.float64) - (alpha * eps - sigma * x0)) ** 2)

    pairs = [jax.random.split(key, 2) for key in keys]
    subject, prior = (
        np.mean(
            [transcribed(half.latents[i], half.text.tokens[i], pairs[i][side]) for i in range(3)]
        )
        for side, half in enumerate(batch)
    )
    np.testing.assert_allclose(metrics["subject"], subject, rtol=2e-5)
    np.testing.assert_allclose(metrics["prior"], prior, rtol=2e-5)
    np.testing.assert_allclose(loss, subject + 0.7 * prior, rtol=2e-5)
    with pytest.raises(ValueError, match="at least 0"):
        PriorPreservation(objective, -1.0)


def test_pairs_are_all_pairs_once_an_epoch(make_batch):
    host = jax.tree.map(np.asarray, (make_batch(0, 3), make_batch(1, 5)))
    data = SubjectLatents(*host)
    assert len(data) == 15
    found = data.gather(np.arange(15))
    pairs = {(a.tobytes(), b.tobytes()) for a, b in zip(found.subject.latents, found.prior.latents)}
    assert len(pairs) == 15
    alone = SubjectLatents(host[0])
    assert isinstance(alone.gather([0, 4]), LatentBatch) and len(alone) == 3 * 64
    with pytest.raises(ValueError, match="at least one"):
        SubjectLatents(jax.tree.map(lambda leaf: leaf[:0], host[0]))


def test_a_text_encoder_is_trained_with_its_network(network, objective, make_batch):
    encoder = SmallTextEncoder(width=3, depth=1, heads=1, length=4, key=jax.random.key(3))
    both = Captioned(network, encoder)
    words = encoder.tokenize(["a red disc", "", "a blue square", "two"])
    null = jax.tree.map(lambda leaf: jnp.asarray(leaf[1]), words)
    assert isinstance(null, TokenBatch)
    embedded = jax.jit(jax.vmap(encoder))(jnp.asarray(words.ids), jnp.asarray(words.mask))
    latents = make_batch(0, 4).latents
    keys = jax.random.split(jax.random.key(7), 4)
    of_text = eqx.tree_at(
        lambda o: o.null_text, objective, jax.tree.map(lambda leaf: leaf[1], embedded)
    )
    expected, _ = eqx.filter_jit(of_text)(network, LatentBatch(latents, embedded), keys)
    of_ids = eqx.tree_at(lambda o: o.null_text, objective, null)
    batch = jax.tree.map(jnp.asarray, LatentBatch(latents, words))
    value_and_grad = eqx.filter_jit(eqx.filter_value_and_grad(of_ids, has_aux=True))
    (loss, _), grads = value_and_grad(both, batch, keys)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(grads.network))
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(grads.text)) > 0


class Beside(eqx.Module):
    """Sees a picture's latent, the level and the caption, each in its own way."""

    network: eqx.Module
    of_picture: jax.Array = eqx.field(converter=jnp.asarray)
    of_level: jax.Array = eqx.field(converter=jnp.asarray)

    def __call__(self, x, t, condition):
        given = self.of_picture * condition.picture + self.of_level * condition.level
        return self.network(x, t, condition.text) + given


def pictures():
    config = VAEConfig(
        width=4, multipliers=(1, 1), depth=1, latent_channels=2, groups=2, scale=0.5, shift=0.1
    )
    vae = config.build(key=jax.random.key(0))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    low = rng.integers(0, 256, (3, 4, 4, 3), np.uint8)
    text = TextEmbedding(
        jnp.asarray(rng.standard_normal((3, 4, 3)), jnp.float32), jnp.ones((3, 4), bool)
    )
    return vae, RestorationBatch(jnp.asarray(images), jnp.asarray(low), text)


def test_super_resolution_is_the_loss_of_the_latents_beside_the_small_pictures(network, objective):
    vae, batch = pictures()
    keys = jax.random.split(jax.random.key(2), 3)

    @jax.jit
    def latent(image):
        return (vae.encode(image).mode() - 0.1) * 0.5

    @eqx.filter_jit
    def example(given, i, key):
        shown = lambda x, t, text: network(x, t, text) + given
        text = jax.tree.map(lambda leaf: leaf[i], batch.text)
        return objective.example(shown, clean[i], text, key)

    clean = jax.vmap(latent)(to_unit(batch.images))
    small = jax.vmap(lambda low: latent(enlarged(to_unit(low), (8, 8))))(batch.low)
    inner = jnp.stack([jax.random.split(key, 3)[2] for key in keys])

    # Blind to the picture, it is the loss of the latents.
    task = SuperResolution(objective, vae, augmentation=0.1)
    augmented, exact = eqx.filter_jit(task), eqx.filter_jit(SuperResolution(objective, vae, 0.0))
    blind, _ = augmented(Beside(network, 0.0, 0.0), batch, keys)
    expected, _ = eqx.filter_jit(objective)(network, LatentBatch(clean, batch.text), inner)
    np.testing.assert_allclose(blind, expected, rtol=1e-5)

    # Seeing it as it is.
    for level in (0.0, 1.0):
        seen, _ = exact(Beside(network, 0.3, level), batch, keys)
        truth = [example(0.3 * small[i], jnp.asarray(i), inner[i]) for i in range(3)]
        np.testing.assert_allclose(seen, np.mean(truth), rtol=1e-5)

    # Noised to a time that the network is told.
    schedule = objective.schedule
    truth = []
    for i, key in enumerate(keys):
        level_key, noise_key, rest = jax.random.split(key, 3)
        level = jax.random.uniform(level_key) * 0.1 * 1000
        noise = jax.random.normal(noise_key, small[i].shape)
        noised = schedule.alpha(level) * small[i] + schedule.sigma(level) * noise
        given = 0.3 * noised + 0.01 * level
        truth.append(example(given, jnp.asarray(i), rest))
    told, _ = augmented(Beside(network, 0.3, 0.01), batch, keys)
    np.testing.assert_allclose(told, np.mean(truth), rtol=1e-5)
    with pytest.raises(ValueError, match="share of the schedule"):
        SuperResolution(objective, vae, 1.0)
    with pytest.raises(ValueError, match="whole factor"):
        enlarged(to_unit(batch.images[0]), (12, 16))
