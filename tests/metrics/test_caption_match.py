"""R-precision: of vectors whose ranks are known, and of images whose captions are known."""

import jax
import numpy as np
import pytest

from equildm.features import AlexNet
from equildm.metrics import caption_match, fit_caption_matcher, retrieval
from equildm.text import embed, sentence_embedding, SmallTextEncoder

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 200, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "orange": (255, 150, 0),
}


def test_ranks_and_means():
    """Image 0 is its caption, image 1 comes second, image 2 third of three."""
    captions = np.eye(3)
    images = np.array([[1.0, 0.0, 0.0], [0.9, 0.5, 0.0], [0.6, 0.5, 0.1]])
    out = retrieval("test", images, np.arange(3), captions, np.random.default_rng(0))
    assert out.rank1 == pytest.approx(1 / 3) and out.mrr == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert (out.candidates, out.chance, out.images) == (3, 1 / 3, 3)
    assert out.rank1_interval[0] <= out.rank1 <= out.rank1_interval[1]


def test_random_vectors_score_chance_within_the_interval():
    random = np.random.default_rng(0)
    images, captions = random.normal(size=(3000, 8)), random.normal(size=(500, 8))
    out = retrieval("test", images, random.integers(0, 500, 3000), captions, random)
    assert out.candidates == 100 and out.chance == 0.01
    assert out.rank1_interval[0] < 0.01 < out.rank1_interval[1]
    harmonic = np.sum(1 / np.arange(1, 101)) / 100
    assert out.mrr_interval[0] < harmonic < out.mrr_interval[1]


@pytest.mark.parametrize("images", ["any", "the captions'"])
def test_captions_that_nothing_tells_apart_score_chance(images):
    """Not what the last bits of equal inner products give."""
    random = np.random.default_rng(0)
    vector, *others = random.normal(size=(201, 384)) / 384**0.5
    captions = np.tile(vector, (200, 1))
    shown = np.array(others) if images == "any" else captions
    out = retrieval("test", shown, np.arange(200), captions, random)
    assert out.rank1 == pytest.approx(out.chance) and out.mrr == pytest.approx(1 / 50.5)


def test_a_shared_first_rank_counts_as_its_share():
    captions = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    images = np.array([[1.0, 0.0], [0.0, 1.0]])
    out = retrieval("test", images, np.array([0, 2]), captions, np.random.default_rng(0))
    assert out.rank1 == 0.75 and out.mrr == pytest.approx((1 / 1.5 + 1) / 2)


def test_pictures_of_nothing_rank_nowhere():
    with pytest.raises(ValueError, match="received 1 images and 0 captions that are not"):
        retrieval(
            "test", np.full((1, 2), np.nan), np.zeros(1, int), np.eye(2), np.random.default_rng(0)
        )


def test_intervals_count_captions_not_pictures():
    """Eight copies of each image add no evidence."""
    random = np.random.default_rng(0)
    captions = np.eye(40)
    images = captions + random.normal(0, 0.5, (40, 40))
    once = retrieval("test", images, np.arange(40), captions, np.random.default_rng(1))
    copies = retrieval(
        "test", np.repeat(images, 8, 0), np.repeat(np.arange(40), 8), captions, random
    )

    def width(out):
        return out.rank1_interval[1] - out.rank1_interval[0]

    assert 0.1 < once.rank1 < 0.9
    assert width(copies) == pytest.approx(width(once), rel=0.3)


def test_one_caption_cannot_be_ranked():
    with pytest.raises(ValueError, match="two distinct captions to choose from, received 1 and 1"):
        retrieval(
            "test", np.ones((1, 2)), np.zeros(1, int), np.ones((1, 2)), np.random.default_rng(0)
        )


@pytest.fixture(scope="module")
def matcher_and_images():
    """Plain colours with noise, random frozen networks: random features tell colours apart."""
    random = np.random.default_rng(0)
    names = list(COLOURS) * 8
    images = [
        np.clip(np.full((32, 32, 3), COLOURS[name]) + random.normal(0, 8, (32, 32, 3)), 0, 255)
        .round()
        .astype(np.uint8)
        for name in names
    ]
    captions = [f"a {name} image" for name in names]
    vgg = AlexNet(key=jax.random.key(0))
    text = SmallTextEncoder(width=32, depth=1, max_tokens=24, key=jax.random.key(1))
    matcher = fit_caption_matcher(iter(images[:40]), captions[:40], vgg, text)
    return matcher, images[40:], captions[40:]


def test_held_out_images_match_their_captions(matcher_and_images):
    matcher, images, captions = matcher_and_images
    out = caption_match(matcher, images, captions, [], jax.random.key(0))
    assert out.name == "AlexNet-SmallTextEncoder R-precision"
    assert (out.candidates, out.images) == (8, 24)
    assert out.rank1 > 0.8 and out.rank1_interval[0] > out.chance
    assert "chance 12.5%" in str(out)
    again = caption_match(matcher, iter(images), captions, [], jax.random.key(0))
    assert again == out
    turned = caption_match(matcher, images, captions[1:] + captions[:1], [], jax.random.key(0))
    assert turned.rank1 < 0.2


def test_the_pool_adds_candidates(matcher_and_images):
    matcher, images, captions = matcher_and_images
    out = caption_match(matcher, images[:1], captions[:1], captions, jax.random.key(0))
    assert (out.candidates, out.images) == (8, 1)
    with pytest.raises(ValueError, match="two distinct captions"):
        caption_match(matcher, images[:1], captions[:1], [], jax.random.key(0))


def test_the_fit_is_ridge_regression(matcher_and_images):
    """The map's gradient of `|X W - Y|^2 / n + 0.3 |W|^2` is 0."""
    matcher, _, _ = matcher_and_images
    random = np.random.default_rng(0)
    images = list(random.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8))
    captions = [f"image {i}" for i in range(6)]
    out = fit_caption_matcher(images, captions, matcher.vgg, matcher.text)
    from equildm.features import pool_features

    features = np.sqrt(pool_features(matcher.vgg, images, taps=(2, 3, 4)).astype(float))
    x = (features - out.mean) / out.deviation
    sentences = sentence_embedding(embed(matcher.text, captions))
    y = np.asarray(sentences, float) - out.caption_mean
    gradient = x.T @ (x @ out.weight - y) / 6 + 0.3 * out.weight
    assert np.abs(gradient).max() < 1e-12


def test_refuses_unequal_lengths(matcher_and_images):
    matcher, images, captions = matcher_and_images
    with pytest.raises(ValueError, match="received 3 images and 2 captions"):
        fit_caption_matcher(images[:3], captions[:2], matcher.vgg, matcher.text)
    with pytest.raises(ValueError, match="received 3 images and 2 captions"):
        caption_match(matcher, images[:3], captions[:2], [], jax.random.key(0))
