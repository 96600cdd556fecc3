"""Trains a small classifier whose features are those of FID and of the caption match.

    python benchmarks/train_classifier.py --data fashion-mnist --test fashion-mnist-test \
        --out classifier.safetensors
    python recipes/scaling_study.py STUDY --classifier classifier.safetensors ...

The captions of the data are the classes. AdamW with a cosine, on images that are mirrored and
shifted at random.
"""

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from equildm import log, to_unit
from equildm.data import AbstractSource, Crop, open_source, split
from equildm.features import Classifier
from equildm.interop import save_classifier
from equildm.training import adamw, learning_rate

SHIFT = 2
"""Largest shift in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained, and on what."""

    data: str = "fashion-mnist"
    """Images with the names of their classes as captions."""
    test: str | None = None
    """Others, for the accuracy; by default a twentieth of the data, that is not trained on."""
    out: Path = Path("classifier.safetensors")
    """The file that is written."""
    name: str = "fashion-classifier"
    """For the names of scores: fashion-classifier-FID."""
    size: int = 32
    """Side of the images in pixels."""
    steps: int = 3000
    """Training steps."""
    batch_size: int = 128
    """Images of a step."""
    peak_rate: float = 2e-3
    """Largest learning rate."""
    weight_decay: float = 0.02
    """Weight decay of the kernels."""
    seed: int = 0
    """Seed of the weights, the batches and the shifts."""


def main(config: Config) -> None:
    source = open_source(config.data)
    held_out: AbstractSource
    if config.test is None:
        source, held_out = split(source, 0.05, by="image")
    else:
        held_out = open_source(config.test)
    classes = tuple(dict.fromkeys(source.caption(i) for i in range(len(source))))
    images, labels = arrays(source, classes, config.size)

    random = np.random.default_rng(config.seed)
    key, shift_key = jax.random.split(jax.random.key(config.seed))
    rate = learning_rate(
        config.peak_rate, warmup=min(100, config.steps // 10), steps=config.steps, decay="cosine"
    )
    optimizer = adamw(rate, weight_decay=config.weight_decay)
    model = Classifier(config.name, classes, key=key)
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model: Classifier, state: optax.OptState, batch, labels, key: PRNGKeyArray):
        value, gradient = eqx.filter_value_and_grad(loss)(model, shifted(batch, key), labels)
        updates, state = optimizer.update(gradient, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state, value

    for number in range(1, config.steps + 1):
        chosen = random.integers(0, len(images), config.batch_size)
        step_key = jax.random.fold_in(shift_key, number)
        model, state, value = step(model, state, images[chosen], labels[chosen], step_key)
        if number % 250 == 0 or number == config.steps:
            log(f"step {number:5d}  loss {float(value):.3f}")
    save_classifier(config.out, model)
    share = accuracy(model, *arrays(held_out, classes, config.size))
    log(f"{model.description}: {share:.2%} of {len(held_out)} images right; in {config.out}")


def arrays(
    source: AbstractSource, classes: tuple[str, ...], size: int
) -> tuple[UInt8[np.ndarray, "images size size 3"], Int[np.ndarray, " images"]]:
    """All images as squares of `size` pixels, and the numbers of their classes."""
    crop, number = Crop(size), {name: i for i, name in enumerate(classes)}
    images = np.stack([crop(source.image(i)) for i in range(len(source))])
    return images, np.array([number[source.caption(i)] for i in range(len(source))])


def shifted(images: UInt8[Array, "batch size size 3"], key: PRNGKeyArray) -> Float[Array, "..."]:
    """Images in [-1, 1], each mirrored with probability 1/2 and shifted by up to `SHIFT` pixels."""

    def one(image: Array, key: PRNGKeyArray) -> Array:
        flip_key, place_key = jax.random.split(key)
        image = jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)
        wide = jnp.pad(image, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
        row, column = jax.random.randint(place_key, (2,), 0, 2 * SHIFT + 1)
        return jax.lax.dynamic_slice(wide, (row, column, 0), image.shape)

    return to_unit(jax.vmap(one)(images, jax.random.split(key, len(images))))


def loss(model: Classifier, images: Array, labels: Array) -> Float[Array, ""]:
    """The mean cross entropy."""
    logits = jax.vmap(model.logits)(images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def accuracy(model: Classifier, images: np.ndarray, labels: np.ndarray, batch: int = 500) -> float:
    """The share of images whose class has the largest logit."""
    classify = eqx.filter_jit(lambda x: jnp.argmax(jax.vmap(model.logits)(to_unit(x)), axis=-1))
    starts = range(0, len(images), batch)
    answers = np.concatenate([np.asarray(classify(images[i : i + batch])) for i in starts])
    return float(np.mean(answers == labels))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
