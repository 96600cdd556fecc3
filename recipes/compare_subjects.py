"""What runs of dreambooth.py learned of their subject, and what they forgot of its class.

Each model makes pictures of captions with the rare word and without it, from the same noise:

- subject fidelity: how alike pictures with the rare word are to the subject's own, by VGG16's
  features at five depths (cosine, 1 is equal). Beside it the same for captions without the word,
  which should not look like the subject;
- subject shown: how many pictures are nearer (LPIPS) to the subject's own of the same caption than
  to the start's of it without the word. How the default subject looks in unseen captions is known;
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
from typing import Annotated, Any

import equinox as eqx
import jax.numpy as jnp
import models
import networks
import numpy as np
import tyro
from dreambooth import Config as DreamBooth, made, spoken, subject_of
from scores import interval

from equildm.data import Crop, TintedEmoji, to_unit
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
    model = models.load_model(Run.open(config.start))
    subject, captions = subject_of(trained, model.size)
    known, unseen = list(dict.fromkeys(captions)), list(config.unseen)
    features, distance = Features(), Distances()
    own = features(subject)
    looks = subject_by_caption(trained, model.size, subject, captions)

    every = [*known, *unseen]
    groups = np.repeat(np.arange(len(every)), config.count)
    seen = groups < len(known)

    results, rows = {}, []
    first: np.ndarray | None = None
    moved: dict[str, np.ndarray] = {}
    for path in (config.start, *config.runs):
        run = Run.open(path)
        model = models.load_model(run)
        network, step = networks.load_network(run, model)
        make = partial(made, models.pipeline(run, model, network), trained, model, seed=11)
        with_word, without = (
            make([spoken(prompt, token) for prompt in every for _ in range(config.count)])
            for token in (trained.token, "")
        )
        if first is None:
            first = without
            bare = features(first)
        alike = {
            name: (features(images) @ own.T).mean(1)
            for name, images in (("word", with_word), ("bare", without))
        }
        shown = {
            name: subject_shown(images, first, every, looks, distance)
            for name, images in (("word", with_word), ("bare", without))
        }
        moved[str(path)] = distance(without, first)
        values = {
            "subject, known captions": (alike["word"][seen], groups[seen]),
            "subject, unseen captions": (alike["word"][~seen], groups[~seen]),
            "bare known captions": (alike["bare"][seen], groups[seen]),
            "bare unseen captions": (alike["bare"][~seen], groups[~seen]),
            "shown, known captions": of_captions(shown["word"], seen, groups),
            "shown, unseen captions": of_captions(shown["word"], ~seen, groups),
            "shown, bare known captions": of_captions(shown["bare"], seen, groups),
            "shown, bare unseen captions": of_captions(shown["bare"], ~seen, groups),
            "caption kept": (retrieved(features(with_word), bare, config.count), groups),
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
                say(f"    {name:32s} {scores[name]:.3f} [{low:.3f}, {high:.3f}]")
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
    some = [*known[:3], *unseen[:3]]
    labels = [spoken(prompt, trained.token) for prompt in some] + [
        spoken(prompt) for prompt in some
    ]
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


def subject_by_caption(
    trained: DreamBooth, size: int, own: np.ndarray, captions: list[str]
) -> dict[str, np.ndarray]:
    """How the subject looks in each caption that this is known of."""
    pairs = list(zip(captions, own, strict=True))
    if trained.data == "tinted":
        unseen, crop = TintedEmoji(UNSEEN), Crop(size)
        pairs += [(unseen.caption(i), crop(unseen.image(i))) for i in range(len(unseen))]
    return {name: np.stack([x for y, x in pairs if y == name]) for name, _ in pairs}


def subject_shown(
    images: np.ndarray,
    bare: np.ndarray,
    captions: list[str],
    looks: dict[str, np.ndarray],
    distance: Any,
) -> np.ndarray:
    """1.0 for pictures nearer to the subject than to the bare pictures of their caption, else 0.0;
    not a number where it is not known how the subject looks."""
    shown = np.full(len(images), np.nan)
    count = len(images) // len(captions)
    for i, caption in enumerate(captions):
        here = slice(i * count, (i + 1) * count)
        if caption in looks:
            nearness = [
                np.mean([distance(images[here], np.stack([one] * count)) for one in others], 0)
                for others in (looks[caption], bare[here])
            ]
            shown[here] = nearness[0] < nearness[1]
    return shown


def of_captions(
    values: np.ndarray, which: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values of some captions, where there are."""
    which = which & np.isfinite(values)
    return values[which], groups[which]


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
