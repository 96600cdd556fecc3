"""What runs of dreambooth.py learned of their subject, and what they forgot of its class.

Each model makes pictures of captions with the rare word and without it, from the same noise:

- subject fidelity: how alike pictures with the rare word are to the subject's own, by VGG16's
  features at five depths (cosine, 1 is equal). Beside it the same for captions without the word,
  which should not look like the subject; and in how many it is the subject that is shown: they
  are more alike to the subject's pictures than to the start's of the same captions, without it;
- prompt fidelity: of how many pictures with the word the start's pictures of the same caption
  without it are nearer than those of any other caption;
- prior: how far (LPIPS) pictures without the word have moved from the start's, and how diverse
  those of one caption are among themselves.

    python recipes/compare_subjects.py runs/emoji runs/subject runs/subject-no-prior
"""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import parts
import tyro
from dreambooth import Config as DreamBooth, made, spoken, subject_of
from scores import interval

from equildm.data import to_unit
from equildm.data.tinted import UNSEEN
from equildm.features import pool_features
from equildm.interop import load_lpips, load_vgg16
from equildm.runtime import enable_compile_cache, picture_grid, Run, save_png, say, write_atomic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What runs of dreambooth.py learned of their subject, and what they forgot of its class."""

    start: Annotated[Path, tyro.conf.Positional]
    """Run folder that they started from."""
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders of dreambooth.py, of one subject."""
    count: int = 4
    """Pictures of each caption."""
    unseen: tuple[str, ...] = tuple(f"woman {job}" for job in UNSEEN)
    """Captions that the subject has no picture of; {} is where the rare word goes."""
    out: Path = Path("runs/subjects")
    """Folder for the table and the pictures."""


def main(config: Config) -> None:
    if not config.runs:
        raise ValueError("compare_subjects.py needs a run of dreambooth.py after the start.")
    enable_compile_cache()
    trained = Run.open(config.runs[0]).load_config(DreamBooth)
    model = parts.load_model(Run.open(config.start))
    subject, captions = subject_of(trained, model.size)
    known, unseen = list(dict.fromkeys(captions)), list(config.unseen)
    features, distance = Features(), Distances()
    own = features(subject)

    every = [*known, *unseen]
    groups = np.repeat(np.arange(len(every)), config.count)
    seen = groups < len(known)

    results, rows = {}, []
    first: np.ndarray | None = None
    moved: dict[str, np.ndarray] = {}
    for path in (config.start, *config.runs):
        run = Run.open(path)
        model = parts.load_model(run)
        network, step = parts.load_network(run, model)
        make = partial(made, parts.pipeline(run, model, network), trained, model, seed=11)
        with_word, without = (
            make([spoken(prompt, token) for prompt in every for _ in range(config.count)])
            for token in (trained.token, "")
        )
        if first is None:
            first, looks = without, features(without)
        alike = {
            name: Alike.of(features(images), own, looks[seen])
            for name, images in (("word", with_word), ("bare", without))
        }
        moved[str(path)] = distance(without, first)
        values = {
            "subject, known captions": (alike["word"].subject[seen], groups[seen]),
            "subject, unseen captions": (alike["word"].subject[~seen], groups[~seen]),
            "bare known captions": (alike["bare"].subject[seen], groups[seen]),
            "bare unseen captions": (alike["bare"].subject[~seen], groups[~seen]),
            "subject shown, known captions": (alike["word"].shown[seen], groups[seen]),
            "subject shown, unseen captions": (alike["word"].shown[~seen], groups[~seen]),
            "subject shown without the word": (alike["bare"].shown, groups),
            "caption kept": (retrieved(features(with_word), looks, config.count), groups),
            "class moved": (moved[str(path)], groups),
            "class diversity": diversity(without, config.count, distance),
        }
        if path in config.runs[1:]:
            base = str(config.runs[0])
            values[f"class moved over {base}"] = (moved[str(path)] - moved[base], groups)
        results[str(path)] = scores = summary(values) | {"step": step}
        say(f"{path}, step {step}:")
        for name in values:
            if name in scores:
                low, high = scores[f"{name} interval"]
                say(f"    {name:32s}{scores[name]:.3f} [{low:.3f}, {high:.3f}]")
        starts = [*range(min(3, len(known))), *(len(known) + i for i in range(min(3, len(unseen))))]
        rows += [images[i * config.count] for images in (with_word, without) for i in starts]

    document = {
        "config": {"count": config.count, "captions": every, "token": trained.token},
        "interval": "95 %, bootstrap over captions",
        "chance of caption kept": 1 / len(every),
        "scores": results,
    }
    config.out.mkdir(parents=True, exist_ok=True)
    write_atomic(config.out / "scores.json", json.dumps(document, indent=2) + "\n")
    shown = [*known[:3], *unseen[:3]]
    labels = [spoken(prompt, token) for token in (trained.token, "") for prompt in shown]
    labels, columns = labels * len(results), len(labels)
    save_png(config.out / "pictures.png", picture_grid(np.stack(rows), labels, columns=columns))
    print(f"Written to {config.out}; each row is a run.")


class Features:
    """Pictures to VGG16's mean features at five depths, each depth of length 1."""

    def __init__(self) -> None:
        self._vgg = load_vgg16()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        depths = []
        for tap in range(len(self._vgg.channels)):
            found = pool_features(self._vgg, images, taps=(tap,))
            depths.append(found / np.linalg.norm(found, axis=1, keepdims=True))
        return np.concatenate(depths, 1) / len(depths) ** 0.5


class Distances:
    """LPIPS (AlexNet) of pictures in pairs."""

    def __init__(self) -> None:
        self._compare = eqx.filter_jit(eqx.filter_vmap(load_lpips("alex")))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(self._compare(jnp.asarray(to_unit(a)), jnp.asarray(to_unit(b))))


class Alike(NamedTuple):
    """What each picture looks like."""

    subject: np.ndarray
    """Mean cosine to the subject's own pictures."""
    shown: np.ndarray
    """1.0 where that is more than the mean cosine to the start's pictures of the same captions
    without the word, else 0.0."""

    @staticmethod
    def of(made: np.ndarray, subject: np.ndarray, others: np.ndarray) -> "Alike":
        """From features."""
        nearness = (made @ subject.T).mean(1)
        return Alike(nearness, (nearness > (made @ others.T).mean(1)).astype(np.float64))


def retrieved(made: np.ndarray, reference: np.ndarray, count: int) -> np.ndarray:
    """1.0 for pictures nearest to the mean of the reference's pictures of the same caption."""
    means = reference.reshape(-1, count, reference.shape[1]).mean(1)
    nearest = np.argmax(made @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T, axis=1)
    return (nearest == np.repeat(np.arange(len(means)), count)).astype(np.float64)


def diversity(images: np.ndarray, count: int, distance: Any) -> tuple[np.ndarray, np.ndarray]:
    """Distances of every two pictures of one caption, and which caption."""
    one, other = (
        np.concatenate([np.arange(len(images)).reshape(-1, count)[:, i] for i in places])
        for places in np.triu_indices(count, 1)
    )
    return distance(images[one], images[other]), one // count


def summary(values: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Means with intervals over captions, of what there is."""
    row: dict[str, Any] = {}
    for name, (found, groups) in values.items():
        if len(found):
            row[name] = round(float(np.mean(found)), 4)
            row[f"{name} interval"] = interval(found, groups)
    return row


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
