"""A run's data as scores need it: captions to sample, their real pictures, and what is usable."""

import functools
import json
from collections.abc import Iterable, Sequence
from typing import Literal

import jax
import models
import numpy as np
from pretrain import Config as Pretrain

from equildm.data import AbstractSource, Crop, HeldPictures, open_source, Skips, split, Subset
from equildm.features import pool_features
from equildm.interop import load_minilm, load_vgg16
from equildm.metrics import (
    caption_match,
    CaptionMatch,
    CaptionMatcher,
    FeatureStatistics,
    fit_caption_matcher,
    frechet_distance,
)
from equildm.runtime import from_json, Run

SplitName = Literal["held-out", "training"]


class Judge:
    """Scores pictures of some captions of a run's data.

    **Fields:**

    - `captions`: what to make pictures of.
    - `real`: the pictures that belong to them.
    """

    def __init__(self, run: Run, *, split_name: SplitName, count: int, seed: int):
        """**Arguments:** the run, and as in evaluate.py's `Config`."""
        trained, model = data_config(run), models.load_model(run)
        training, held_out = split(HeldPictures(open_source(trained.data)), trained.held_out)
        asked = asked_of(split_name, training, held_out)
        chosen = usable(asked, np.random.default_rng(seed).permutation(len(asked)), count)
        self.captions = [asked.caption(i) for i in chosen]
        self.real = pictures(asked, chosen, model.size)
        self._training, self._model, self._vgg = training, model, load_vgg16()
        self._key = jax.random.key(seed)

    @functools.cached_property
    def _matcher(self) -> CaptionMatcher:
        real = pictures(self._training, self._fitted, self._model.size)
        text = load_minilm(length=self._model.caption_length)
        return fit_caption_matcher(real, self._names, self._vgg, text)

    @functools.cached_property
    def _fitted(self) -> list[int]:
        return usable(self._training, range(len(self._training)), len(self._training))

    @functools.cached_property
    def _names(self) -> list[str]:
        return [self._training.caption(i) for i in self._fitted]

    @functools.cached_property
    def _statistics(self) -> FeatureStatistics:
        return self._of(self.real)

    def match(self, images: np.ndarray, captions: Sequence[str]) -> CaptionMatch:
        """How often a picture's own caption is found among others."""
        return caption_match(self._matcher, images, captions, self._names, self._key)

    def distance(self, images: np.ndarray) -> float:
        """VGG16-FID to the real pictures."""
        return frechet_distance(self._of(images), self._statistics)

    def _of(self, images: np.ndarray) -> FeatureStatistics:
        return FeatureStatistics.of("VGG16", pool_features(self._vgg, images))


def data_config(run: Run) -> Pretrain:
    """What a run, or the teacher of a distilled run, was trained on."""
    if run.recipe != "distill":
        return run.load_config(Pretrain)
    document = json.loads((run.path / "teacher.json").read_text(encoding="utf-8"))
    return from_json(Pretrain, document["config"])


def asked_of(name: SplitName, training: Subset, held_out: Subset) -> Subset:
    """The split of that name, which must hold something."""
    asked = held_out if name == "held-out" else training
    if not len(asked):
        raise ValueError(
            f"There are no {name} captions: train with --held-out above 0, or pass --split "
            f"{'training' if name == 'held-out' else 'held-out'}."
        )
    return asked


def usable(source: AbstractSource, indices: Iterable[int], count: int) -> list[int]:
    """The first `count` of these samples that have a caption and a picture. The log names those
    that were skipped, and counts them."""
    skips = Skips(source)
    found: list[int] = []
    for index in indices:
        if len(found) == count:
            break
        if skips.attempt(int(index), source.__getitem__) is not None:
            found.append(int(index))
    skips.summarise()
    skips.require(len(found))
    return found


def pictures(source: AbstractSource, indices: Sequence[int], size: int) -> np.ndarray:
    """Real pictures, cropped in the middle."""
    crop = Crop(size)
    return np.stack([crop(source.image(i)) for i in indices])
