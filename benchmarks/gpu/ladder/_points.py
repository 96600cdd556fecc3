"""The sweep: every point of every checkpoint, the most telling first."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

import equildm as eqd
from equildm.features import pool_features
from equildm.interop import load_classifier
from equildm.study import (
    frechet_spread,
    FrechetReference,
    leave_out_images,
    Point,
    Reference,
    Scorer,
    StudyFolder,
    write_table,
)
from equildm.study.frontier import ROUNDING

from ._data import Images
from ._parts import Ladder
from ._sweep import price_of, Sweep, ways


class Sampling:
    """What is compiled and computed before the first point is sampled."""

    def __init__(self, ladder: Ladder, vae: eqd.VAE, images: Images):
        c, text_encoder = ladder.config, ladder.text_encoder
        captions = [text_encoder.captions[i % len(text_encoder.captions)] for i in range(c.count)]
        classifier = load_classifier(c.kit / "classifier.safetensors")
        reference = Reference.load(c.kit / "reference.npz")
        scorer = Scorer(reference, classifier, captions)
        numbers = np.random.default_rng(0).permutation(len(images.training))[: c.count]
        chosen = images.training[numbers]
        parts = [jnp.asarray(eqd.to_unit(part)) for part in np.array_split(chosen, 10)]
        decoded = eqd.to_uint8(np.concatenate([eqd.reconstruct(vae, part) for part in parts]))
        floors = {
            name: pool_features(classifier, values, batch=500)
            for name, values in {"real": chosen, "vae": decoded}.items()
        }
        exact = FrechetReference(reference.statistics)
        without = leave_out_images(images.training_captions[numbers], 40)
        text = {}
        for name, features in floors.items():
            value, spread = frechet_spread(features, exact, without)
            text[name] = {"fid": value, "error": float(np.sqrt(np.mean(spread**2)))}
        ladder.log(f"floors {text}")
        self.folder = StudyFolder(c.folder / "study")
        self.sweep = Sweep(self.folder, text_encoder, scorer, floors["real"])
        (self.folder.path / "floors.json").write_text(json.dumps(text))
        shown = np.concatenate([chosen[:40], decoded[:40]])
        eqd.save_png(self.folder.path / "vae.png", eqd.image_grid(shown, columns=10))
        self.models = {w: ladder.model(w, vae, 0) for w in c.widths}
        self._threads = ThreadPoolExecutor(8)
        self.programs = {
            (width, sampler): self._threads.submit(self._warm, width, sampler)
            for sampler in (c.samplers if c.phase != "distill" else ())
            for width in c.widths
        }

    def _warm(self, width: int, sampler: str) -> None:
        point = Point("warm", 0, sampler, 1, 2.0)
        jax.block_until_ready(self.sweep.sample(self.models[width], point))


def sweep(ladder: Ladder, sampling: Sampling) -> None:
    """Every point of every checkpoint, the most telling first."""
    c, models = ladder.config, sampling.models
    runs = [(w, s) for s in (0, 1) for w in (c.widths if s == 0 else c.second_seeds)]
    runs = [(w, s) for w, s in runs if ladder.path(ladder.name(w, s), c.steps).exists()]
    work: list[tuple[float, int, Point, int]] = []
    for order, (width, seed) in enumerate(runs):
        for share in c.shares:
            step = round(share * c.steps)
            if not ladder.path(ladder.name(width, seed), step).exists():
                continue
            for priority, sampler, steps, scales in ways(share == 1.0):
                turn = priority + (3.5 if seed else 0.0)
                if sampler not in c.samplers:
                    continue
                for scale in (scale for scale in scales if scale in c.scales):
                    for n in steps:
                        name = ladder.name(width, seed)
                        point = Point(name, step, sampler, n, scale, c.image_seed)
                        payable = price_of(models[width], point) <= c.budget * (1 + ROUNDING)
                        if payable and not sampling.sweep.is_done(point):
                            work.append((turn, order, point, width))
    work.sort(key=lambda item: (item[0], item[1], item[2].train_step))

    opened: tuple[str, int] | None = None
    last = None
    for number, (turn, _, point, width) in enumerate(work):
        if ladder.late(2.0):
            ladder.log(f"{len(work) - number} points left")
            break
        sampling.programs[width, point.sampler].result()
        if opened != (point.run, point.train_step):
            opened = (point.run, point.train_step)
            network = ladder.read(*opened, models[width].network)
            model = dataclasses.replace(models[width], network=network)
        if (turn, point.run, point.train_step) != last:
            last = (turn, point.run, point.train_step)
            ladder.log(f"turn {turn}: {point.name}, {len(work) - number} points to go")
        sampling.sweep.run(model, point, c.batch_size)
    sampling.sweep.finish()
    names = [ladder.name(width, seed) for width, seed in runs]
    rows = [r for r in sampling.folder.rows().read() if r.run in names and r.seed == c.image_seed]
    write_table(sampling.folder.path / f"table-{c.image_seed}.parquet", rows)
    plain = {
        (r.run, r.steps): round(r.fid, 2)
        for r in rows
        if (r.train_step, r.sampler, r.guidance) == (c.steps, "ddim", 1.0)
    }
    for name in names:
        line = [plain.get((name, steps)) for steps in (1, 2, 4, 8, 16, 50)]
        ladder.log(f"{name} ddim w = 1, 1 2 4 8 16 50 steps: {line}")
