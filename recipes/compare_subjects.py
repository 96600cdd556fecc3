"""What runs of dreambooth.py learned of their subject, and what they forgot of its class.

Each model makes pictures of captions with the rare word and without it, from the same noise:

- subject fidelity: how alike pictures with the rare word are to the subject's own, by VGG16's
  features at five depths (cosine, 1 is equal). Beside it the same for captions without the word,
  which should not look like the subject;
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
import jax
import jax.numpy as jnp
import numpy as np
import parts
import tyro
from dreambooth import Config as DreamBooth, made, spoken, subject_of

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

    results, rows, first = {}, [], None
    for path in (config.start, *config.runs):
        run = Run.open(path)
        model = parts.load_model(run)
        network, step = parts.load_network(run, model)
        make = partial(made, parts.pipeline(run, model, network), trained, model, seed=11)
        with_word, without = (
            {
                kind: make([spoken(p, token) for p in prompts for _ in range(config.count)])
                for kind, prompts in (("known", known), ("unseen", unseen))
            }
            for token in (trained.token, "")
        )
        first = without if first is None else first
        every = [*known, *unseen]
        results[str(path)] = scores = {
            "step": step,
            "subject, known captions": alike(features(with_word["known"]), own),
            "subject, unseen captions": alike(features(with_word["unseen"]), own),
            "bare known captions": alike(features(without["known"]), own),
            "bare unseen captions": alike(features(without["unseen"]), own),
            "caption kept": retrieved(
                features(np.concatenate([with_word["known"], with_word["unseen"]])),
                features(np.concatenate([first["known"], first["unseen"]])),
                config.count,
            ),
            "class moved": float(
                np.mean([distance(without[kind], first[kind]).mean() for kind in first])
            ),
            "class diversity": diversity(without, config.count, distance),
        }
        say(f"{path}: " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if k != "step"))
        for kind, prompts in (("known", known), ("unseen", unseen)):
            some = [i * config.count for i in range(min(3, len(prompts)))]
            rows += [with_word[kind][i] for i in some] + [without[kind][i] for i in some]

    document = {
        "config": {"count": config.count, "captions": every, "token": trained.token},
        "chance of caption kept": 1 / len(every),
        "scores": results,
    }
    config.out.mkdir(parents=True, exist_ok=True)
    write_atomic(config.out / "scores.json", json.dumps(document, indent=2) + "\n")
    columns = 2 * (min(3, len(known)) + min(3, len(unseen)))
    labels = [
        spoken(prompt, token)
        for prompts in (known, unseen)
        for token in (trained.token, "")
        for prompt in prompts[:3]
    ] * len(results)
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
        self._compare = eqx.filter_jit(jax.vmap(load_lpips("alex")))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(self._compare(jnp.asarray(to_unit(a)), jnp.asarray(to_unit(b))))


def alike(made: np.ndarray, own: np.ndarray) -> float:
    """Mean cosine of every pair."""
    return float(np.mean(made @ own.T))


def retrieved(made: np.ndarray, reference: np.ndarray, count: int) -> float:
    """Share of pictures nearest to the mean of the reference's pictures of the same caption."""
    means = reference.reshape(-1, count, reference.shape[1]).mean(1)
    nearest = np.argmax(made @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T, axis=1)
    return float(np.mean(nearest == np.repeat(np.arange(len(means)), count)))


def diversity(pictures: dict[str, np.ndarray], count: int, distance: Any) -> float:
    """Mean distance of two pictures of one caption."""
    found = []
    for images in pictures.values():
        grouped = images.reshape(-1, count, *images.shape[1:])
        for shift in range(1, count):
            found.append(
                distance(
                    grouped[:, shift:].reshape(-1, *images.shape[1:]),
                    grouped[:, :-shift].reshape(-1, *images.shape[1:]),
                ).mean()
            )
    return float(np.mean(found)) if found else 0.0


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
