"""What a model learned of one subject, and what it forgot of the subject's class.

Each model makes images of some prompts twice from the same noise: with the rare token that means
the subject, and without it.

    evaluator = SubjectEvaluator(subject, prompts, images_of_the_start_without_token)
    scores = evaluator(images_with_token, images_without_token)
    print(scores["class moved"].mean, scores["class moved"].interval)
"""

from collections.abc import Mapping, Sequence
from typing import final, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from ..data import Subject
from ..features import pool_features
from ..interop import load_vgg16
from .bootstrap import interval
from .pair_distance import PairDistance

Images: TypeAlias = UInt8[np.ndarray, "count height width 3"]
Features: TypeAlias = Float[np.ndarray, "count features"]


class GroupedValues(NamedTuple):
    """One number for each image or pair of images, and the prompt that it belongs to."""

    values: Float[np.ndarray, "count"]
    groups: Int[np.ndarray, "count"]

    @property
    def mean(self) -> float:
        """The mean over images."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean, by the bootstrap over prompts."""
        return interval(self.values, self.groups)

    def minus(self, other: "GroupedValues") -> "GroupedValues":
        """The paired differences to values of the same images."""
        return GroupedValues(self.values - other.values, self.groups)


class DepthFeatures:
    """Images to VGG16's mean features at five depths, where each depth has the same length.

    The result has length 1, so that inner products are the mean cosine over the depths.
    """

    def __init__(self) -> None:
        self._vgg = load_vgg16()

    def __call__(self, images: Images) -> Features:
        depths = []
        for tap in range(len(self._vgg.channels)):
            features = pool_features(self._vgg, images, taps=(tap,))
            depths.append(features / np.linalg.norm(features, axis=1, keepdims=True))
        return np.concatenate(depths, 1) / len(depths) ** 0.5


@final
class SubjectEvaluator:
    """Scores a model beside the model that it started from.

    **Arguments:**

    - `subject`: the images that a model is trained on, with their captions.
    - `prompts`: what the images that are scored show. Those that are captions of `subject` count as
        known, the others as unseen.
    - `start`: images of the start without the token, the same number for each prompt, in the order
        of the prompts. The images that are scored are made from the same noise.
    - `unseen`: how the subject looks in captions that no model is trained on, if that is known.

    **Raises** `ValueError` for a number of images that the prompts do not divide.
    """

    def __init__(
        self,
        subject: Subject,
        prompts: Sequence[str],
        start: Images,
        unseen: Subject | None = None,
    ):
        self._count, rest = divmod(len(start), len(prompts))
        if rest or not self._count:
            raise ValueError(
                f"Every prompt has as many images, received {len(start)} images of {len(prompts)} "
                "prompts. Make the same number for each."
            )
        self._features, self._distance = DepthFeatures(), PairDistance()
        self._looks = _by_caption(subject) | ({} if unseen is None else _by_caption(unseen))
        self._prompts, self._start = tuple(prompts), start
        self._subject = self._features(subject.images)
        self._start_features = self._features(start)
        self._groups = np.repeat(np.arange(len(prompts)), self._count)
        known = np.array([prompt in subject.captions for prompt in prompts])
        self._known = known[self._groups]

    def __call__(self, with_token: Images, without_token: Images) -> dict[str, GroupedValues]:
        """The scores by name; scores that no image has are left out.

        - `subject`: mean cosine to the subject's images.
        - `shown`: whether an image is nearer to the subject's of its prompt than to the start's.
        - `bare ...`: the same of images without the token.
        - `caption kept`: whether the start's images of the same prompt are the nearest, with the
            token.
        - `class moved`: distance to the start's image of the same noise, without the token.
        - `class diversity`: distance between images of one prompt, without the token.
        """
        known, groups = self._known, self._groups
        sets = {"": with_token, "bare ": without_token}
        features = {prefix: self._features(images) for prefix, images in sets.items()}
        scores = {}
        for prefix in sets:
            alike = (features[prefix] @ self._subject.T).mean(1)
            name = prefix or "subject, "
            scores[f"{name}known captions"] = GroupedValues(alike[known], groups[known])
            scores[f"{name}unseen captions"] = GroupedValues(alike[~known], groups[~known])
        for prefix, images in sets.items():
            shown = self._shown(images)
            scores[f"shown, {prefix}known captions"] = self._where(known, shown)
            scores[f"shown, {prefix}unseen captions"] = self._where(~known, shown)
        scores["caption kept"] = GroupedValues(self._kept(features[""]), groups)
        scores["class moved"] = GroupedValues(self._distance(without_token, self._start), groups)
        scores["class diversity"] = self._diversity(without_token)
        return {name: score for name, score in scores.items() if len(score.values)}

    def _shown(self, images: Images) -> Float[np.ndarray, "count"]:
        """1.0 or 0.0; NaN where it is not known how the subject looks."""
        shown = np.full(len(images), np.nan)
        for i, prompt in enumerate(self._prompts):
            here = slice(i * self._count, (i + 1) * self._count)
            if prompt in self._looks:
                to_subject, to_start = (
                    np.mean([self._distance(images[here], self._repeat(one)) for one in others], 0)
                    for others in (self._looks[prompt], self._start[here])
                )
                shown[here] = to_subject < to_start
        return shown

    def _repeat(self, image: UInt8[np.ndarray, "height width 3"]) -> Images:
        return np.stack([image] * self._count)

    def _where(
        self, chosen: Bool[np.ndarray, "count"], values: Float[np.ndarray, "count"]
    ) -> GroupedValues:
        chosen = chosen & np.isfinite(values)
        return GroupedValues(values[chosen], self._groups[chosen])

    def _kept(self, features: Features) -> Float[np.ndarray, "count"]:
        """1.0 for images nearest to the mean of the start's images of the same prompt."""
        means = self._start_features.reshape(len(self._prompts), self._count, -1).mean(1)
        directions = means / np.linalg.norm(means, axis=1, keepdims=True)
        nearest = np.argmax(features @ directions.T, axis=1)
        return (nearest == self._groups).astype(np.float64)

    def _diversity(self, images: Images) -> GroupedValues:
        """The distance of every two images of one prompt."""
        first, second = np.triu_indices(self._count, 1)
        places = np.arange(len(images)).reshape(-1, self._count)
        one, other = places[:, first].T.ravel(), places[:, second].T.ravel()
        if not len(one):
            return GroupedValues(np.zeros(0), one)
        return GroupedValues(self._distance(images[one], images[other]), self._groups[one])


def subject_summary(scores: Mapping[str, GroupedValues]) -> dict[str, float | tuple[float, float]]:
    """For a JSON document: each mean by its name, and its interval by `"... interval"`."""
    table: dict[str, float | tuple[float, float]] = {}
    for name, score in scores.items():
        table[name] = round(score.mean, 4)
        table[f"{name} interval"] = score.interval
    return table


def _by_caption(subject: Subject) -> dict[str, Images]:
    captions = np.array(subject.captions)
    return {name: subject.images[captions == name] for name in dict.fromkeys(subject.captions)}
