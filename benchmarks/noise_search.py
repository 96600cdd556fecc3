"""One more step or one more draw? The best of several noises, chosen by a verifier, at equal cost.

    python benchmarks/noise_search.py runs/c016 --classifier runs/classifier.safetensors

For each caption of a labelled data set the model draws images from several noises, and keeps the
one that a verifier likes best (Ma et al. 2025, section 3). The verifier is the caption matcher on
VGG16's features, and the scores are of another network, a classifier (`train_classifier.py`): their
Frechet distance, and the share of images that it puts in their own class. Draws and steps share a
budget of evaluations; the verifier's own cost is printed beside it.
"""

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import equildm as eqd
from equildm.features import Classifier, pool_features
from equildm.interop import load_classifier, load_vgg16
from equildm.metrics import (
    CaptionMatcher,
    collect_statistics,
    fit_caption_matcher,
)
from equildm.study import frechet_spread, FrechetReference, leave_out_images


@dataclasses.dataclass(frozen=True)
class Config:
    """What is sampled."""

    model: tyro.conf.Positional[Path]
    """A run folder, or a folder that `save_pretrained` wrote."""
    classifier: Path
    """Safetensors of train_classifier.py."""
    data: str = "fashion-mnist"
    """The labelled data that the model was trained on."""
    count: int = 1000
    """Images of each cell of the table."""
    real: int = 10_000
    """Real images that the distance is to; a quarter of them fit the verifier."""
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Steps of DDIM."""
    budgets: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Evaluations of the network for an image that is kept."""
    guidance_scale: float = 1.0
    """Of the guidance; 1 takes one evaluation a step."""


def main(c: Config) -> None:
    """Prints the table."""
    model = eqd.load_pretrained(c.model)
    classifier = load_classifier(c.classifier)
    source = eqd.open_source(c.data)
    chosen = np.random.default_rng(0).permutation(len(source))[: c.real]
    crop = eqd.Crop(model.config.image_size)
    images = np.stack([crop(source.image(i)) for i in chosen])
    labels = [source.caption(i) for i in chosen]
    reference = FrechetReference(collect_statistics(classifier, images))
    quarter = c.real // 4
    matcher = fit_caption_matcher(
        images[:quarter], labels[:quarter], load_vgg16(), model.text_encoder
    )
    captions = [classifier.classes[i % len(classifier.classes)] for i in range(c.count)]
    print(f"{c.count} images of each cell; FID to {c.real} real images by {classifier.description}")
    print("evaluations | steps x draws: FID ± standard error, own class")
    for budget in c.budgets:
        cells = []
        for steps in (n for n in c.steps if n <= budget and budget % n == 0):
            best = _best(model, captions, matcher, steps, budget // steps, c.guidance_scale)
            value, error, share = _scores(classifier, reference, best, captions)
            cells.append(f"{steps} x {budget // steps}: {value:.2f} ± {error:.2f}, {share:.1%}")
        print(f"{budget:2} | " + " | ".join(cells), flush=True)


def _best(
    model: eqd.LatentDiffusion,
    captions: list[str],
    matcher: CaptionMatcher,
    steps: int,
    draws: int,
    guidance_scale: float,
) -> np.ndarray:
    """The image of each caption that the verifier likes best, of so many draws."""
    text_to_image = eqd.TextToImage(model)
    vectors = matcher.caption_vectors(captions)
    best, likes = None, np.full(len(captions), -np.inf)
    for draw in range(draws):
        images = eqd.to_uint8(
            text_to_image(
                captions,
                steps=steps,
                solver="ddim",
                guidance_scale=guidance_scale,
                seed=draw,
                batch_size=250,
            )
        )
        cosine = (
            np.einsum("id,id->i", matcher.image_vectors(images), vectors)
            if draws > 1
            else np.zeros(len(images))
        )
        better = cosine > likes
        best = images if best is None else np.where(better[:, None, None, None], images, best)
        likes = np.maximum(likes, cosine)
    assert best is not None
    return best


def _scores(
    classifier: Classifier, reference: FrechetReference, images: np.ndarray, captions: list[str]
) -> tuple[float, float, float]:
    """The distance, its standard error, and the share of images in their own class."""
    truth = np.array([classifier.classes.index(caption) for caption in captions])
    features = pool_features(classifier, images, batch=250)
    value, spread = frechet_spread(features, reference, leave_out_images(truth, 40))
    logits = jax.vmap(classifier.linear)(jnp.asarray(features))
    share = float(np.mean(np.argmax(np.asarray(logits), axis=1) == truth))
    return value, float(np.sqrt(np.mean(spread**2))), share


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
