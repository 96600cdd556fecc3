"""Scores of a subject, against their definitions, with features and a distance of a few lines."""

import numpy as np
import pytest

from equildm.data import Subject
from equildm.metrics import GroupedValues, subject as module, subject_summary, SubjectEvaluator

PROMPTS = ("cat", "dog", "bird")
COUNT = 2


def means(images):
    """The mean of each channel and a constant, at unit length."""
    features = np.concatenate([images.mean((1, 2)), np.full((len(images), 1), 50.0)], 1)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def distance(a, b):
    return np.abs(a.astype(float) - b.astype(float)).mean((1, 2, 3))


@pytest.fixture(autouse=True)
def simple(monkeypatch):
    monkeypatch.setattr(module, "DepthFeatures", lambda: means)
    monkeypatch.setattr(module, "PairDistance", lambda: distance)


def images(seed):
    """Three prompts of distinct colours with a little noise."""
    count = len(PROMPTS) * COUNT
    colours = np.repeat(np.eye(3)[np.arange(count) // COUNT % 3], 16, 0).reshape(count, 4, 4, 3)
    noise = np.random.default_rng(seed).integers(0, 40, (count, 4, 4, 3))
    return (colours * 200 + noise).astype(np.uint8)


@pytest.fixture
def subject():
    """Known as a cat and as a dog, each in one image."""
    return Subject(255 - images(5)[::COUNT][:2], ("cat", "dog"))


def test_the_start_has_moved_nothing(subject):
    start = images(0)
    scores = SubjectEvaluator(subject, PROMPTS, start)(start, start)
    assert scores["class moved"].mean == 0
    assert scores["caption kept"].mean == 1
    assert scores["shown, known captions"].mean == 0
    assert "shown, unseen captions" not in scores  # how the subject looks as a bird is not known
    diversity = distance(start[::COUNT], start[1::COUNT])
    np.testing.assert_allclose(np.sort(scores["class diversity"].values), np.sort(diversity))


def test_a_model_that_shows_the_subject_everywhere(subject):
    start, unseen = images(0), Subject(np.full((1, 4, 4, 3), 255, np.uint8), ("bird",))
    shown = np.repeat(np.concatenate([subject.images, unseen.images]), COUNT, 0).reshape(
        start.shape
    )
    evaluator = SubjectEvaluator(subject, PROMPTS, start, unseen)
    scores = evaluator(shown, start)
    assert scores["shown, known captions"].mean == scores["shown, unseen captions"].mean == 1
    assert scores["shown, bare known captions"].mean == 0
    # The mean cosine to the two images, of the four images of known prompts.
    cosines = means(shown[:4]) @ means(subject.images).T
    np.testing.assert_allclose(scores["subject, known captions"].values, cosines.mean(1))
    assert list(scores["subject, known captions"].groups) == [0, 0, 1, 1]
    assert scores["subject, known captions"].mean > scores["bare known captions"].mean


def test_distances_are_of_the_same_noise(subject):
    start, other = images(0), images(1)
    scores = SubjectEvaluator(subject, PROMPTS, start)(other, other)
    np.testing.assert_allclose(scores["class moved"].values, distance(other, start))
    swapped = other.reshape(3, COUNT, 4, 4, 3)[[1, 0, 2]].reshape(other.shape)
    captions_kept = SubjectEvaluator(subject, PROMPTS, start)(swapped, other)["caption kept"]
    np.testing.assert_array_equal(captions_kept.values, [0, 0, 0, 0, 1, 1])
    moved = scores["class moved"].minus(scores["class moved"])
    assert moved.mean == 0 and moved.interval == (0, 0)


def test_one_image_of_a_prompt_has_no_diversity(subject):
    start = images(0)[::COUNT]
    assert "class diversity" not in SubjectEvaluator(subject, PROMPTS, start)(start, start)


def test_images_that_are_no_multiple_are_refused(subject):
    with pytest.raises(ValueError, match="received 5 images of 3 prompts"):
        SubjectEvaluator(subject, PROMPTS, images(0)[:5])


def test_a_summary_has_means_and_intervals():
    values = GroupedValues(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))
    assert subject_summary({"x": values}) == {"x": 0.5, "x interval": values.interval}


def test_the_networks(monkeypatch):
    """VGG16's five depths weigh the same, and LPIPS is of pairs."""
    monkeypatch.undo()
    some = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    features = module.DepthFeatures()(some)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    sizes = np.cumsum([64, 128, 256, 512])
    for depth in np.split(features, sizes, axis=1):
        np.testing.assert_allclose(np.linalg.norm(depth, axis=1), 0.2**0.5, rtol=1e-5)
    distances = module.PairDistance()(some, some[[0, 0]])
    assert abs(distances[0]) < 1e-6 < distances[1]
