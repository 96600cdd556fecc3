"""The fair test of the paper's headline in a quarter of an hour of one GPU: ladder and sweep.

A VAE and UNets of several widths, identical but for width and a learning rate that is chosen for
each beforehand, are trained on Fashion-MNIST with ten captions; then all are sampled and scored.
`pack.py` packs what is needed. Each phase goes on where it was stopped.

    python -m benchmarks.gpu.ladder all --kit .kit --folder /tmp/ladder --seconds 560
    python -m benchmarks.gpu.ladder sweep --kit .kit --folder /tmp/ladder --seconds 120
"""

import dataclasses
import json
import os
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # scores are computed in threads of their own

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import equildm as eqd
from equildm.features import pool_features
from equildm.interop import load_classifier, load_lpips
from equildm.pipeline import LatentDiffusion
from equildm.runtime import make_mesh
from equildm.study import (
    frechet_spread,
    FrechetReference,
    leave_out_images,
    Point,
    Reference,
    Scorer,
    StudyFolder,
)
from equildm.training import EMAS, VAEObjective

from ._data import EmbeddedCaptions, encode, Examples, examples_of, Images, read_images
from ._sweep import Sweep, ways
from ._train import CHUNK, order_of, Training

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training at which the averages are saved."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is trained and sampled."""

    phase: Annotated[Literal["all", "train", "sweep"], tyro.conf.Positional]
    """Both, or one after the other."""
    kit: Path
    """Folder that `pack.py` wrote."""
    folder: Path
    """Where everything goes."""
    seconds: float = 1e9
    """No run and no point is begun that would end later than this."""
    widths: tuple[int, ...] = (16, 32, 24, 48, 64)
    """Widths, in the order in which they are trained."""
    second_seeds: tuple[int, ...] = (16, 32)
    """Widths that are trained twice."""
    steps: int = 4000
    """Training steps of each width."""
    batch_size: int = 512
    """Examples of a step."""
    rates: tuple[float, ...] = (4e-4, 1e-3, 2.5e-3)
    """Learning rates to choose from, in 5 % of the steps."""
    vae_steps: int = 4000
    """Training steps of the VAE."""
    vae_width: int = 48
    """Channels of the VAE."""
    vae_batch_size: int = 256
    """Images of a step of the VAE."""
    count: int = 5000
    """Images of each point."""
    size: int = 32
    """Side of the images."""
    limit: int | None = None
    """Number of images to use, for a trial; by default all."""


@dataclasses.dataclass(frozen=True)
class Ladder:
    """The parts that the phases share."""

    config: Config
    began: float = dataclasses.field(default_factory=time.perf_counter)

    @property
    def text_encoder(self) -> EmbeddedCaptions:
        """The ten captions and the empty one."""
        return EmbeddedCaptions(self.config.kit / "captions.npz")

    def images(self) -> Images:
        """The images of both splits."""
        captions, source = self.text_encoder.captions, f"fashion-mnist:{self.config.kit}"
        return read_images(source, captions, self.config.size, self.config.limit)

    def vae(self) -> eqd.VAEConfig:
        """The sizes of the VAE: 8x8 latents of 4 channels from 32x32 pixels."""
        width = self.config.vae_width
        return eqd.VAEConfig(
            width, multipliers=(1, 2, 2), depth=1, latent_channels=4, groups=8, scale=1.0
        )

    def model(self, width: int, vae: eqd.VAE, seed: int) -> LatentDiffusion:
        """A model with fresh weights. Widths differ in nothing else."""
        text_encoder = self.text_encoder
        unet = eqd.preset(width, context_width=text_encoder.width, groups=8)
        size, noise = self.config.size, eqd.NoiseConfig()
        mesh = make_mesh("")
        return eqd.new_model(
            unet, vae, text_encoder, image_size=size, noise=noise, seed=seed, mesh=mesh
        )

    def late(self, seconds: float = 0.0) -> bool:
        """Whether something of so many seconds would end too late."""
        return time.perf_counter() - self.began + seconds > self.config.seconds

    def log(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        print(f"{time.perf_counter() - self.began:6.1f} s  {text}", flush=True)

    def path(self, run: str, step: int) -> Path:
        """The file of a checkpoint's averages, in float16."""
        return self.config.folder / f"{run}_{step:06d}.eqx"


def half(tree: Any) -> Any:
    """The arrays in float16, as they are stored and sampled."""
    return jax.tree.map(lambda x: x.astype(jnp.float16) if eqx.is_inexact_array(x) else x, tree)


def single(tree: Any) -> Any:
    """The arrays in float32."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, tree)


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
            for sampler in ("ddim", "dpm++2m", "ddpm")
            for width in c.widths
        }

    def _warm(self, width: int, sampler: str) -> None:
        point = Point("warm", 0, sampler, 1, 2.0)
        jax.block_until_ready(self.sweep.sample(self.models[width], point))


def train(ladder: Ladder, images: Images) -> Sampling | None:
    """The VAE, the rates and the widths. Returns the sampling, which compiles meanwhile."""
    c = ladder.config
    c.folder.mkdir(parents=True, exist_ok=True)
    threads, text_encoder = ThreadPoolExecutor(8), ladder.text_encoder
    fresh = ladder.vae().build(key=jax.random.key(0))
    null = text_encoder.null()
    loss = eqd.LossConfig()
    options = eqd.TrainConfig(steps=c.steps, batch_size=c.batch_size)
    template = ladder.model(c.widths[0], fresh, 0)
    objective = options.denoising(loss, template.schedule, template.prediction, null, dropout=0.1)
    count = len(images.training)
    latents = jax.ShapeDtypeStruct((count, *template.config.latent_shape), jnp.float32)
    shapes = jax.eval_shape(
        lambda x: examples_of(x, images.training_captions, text_encoder), latents
    )

    def program(width: int) -> Training:
        training = Training(objective, EMAS["power"], shapes, Examples.batch, warmup=100)
        training.compile(ladder.model(width, fresh, 0).network, c.batch_size)
        ladder.log(f"c = {width}: compiled")
        return training

    vae_file = c.folder / "vae.eqx"
    compiling = {width: threads.submit(program, width) for width in c.widths}
    if not (c.folder / "vae.json").exists():
        vae = train_vae(ladder, fresh, images)
        mean, deviation = eqd.latent_statistics(vae, eqd.to_unit(images.training[:2048]))
        eqx.tree_serialise_leaves(vae_file, vae)
        (c.folder / "vae.json").write_text(json.dumps({"scale": 1 / deviation, "shift": mean}))
    vae = read_vae(ladder)
    examples = examples_of(encode(vae, images.training), images.training_captions, text_encoder)
    held_out = examples_of(encode(vae, images.held_out), images.held_out_captions, text_encoder)
    ladder.log(f"encoded, latents of deviation {float(jnp.std(examples.latents)):.3f}")
    held_out_batch = jax.jit(held_out.batch)(jnp.arange(2048))
    sampling = Sampling(ladder, vae, images) if c.phase == "all" else None
    keys = jax.random.split(jax.random.key(7), 2048)
    measured = jax.jit(lambda network: objective(network, held_out_batch, keys)[0])

    log = c.folder / "training.json"
    record: dict[str, Any] = json.loads(log.read_text()) if log.exists() else {}
    runs = [(w, 0) for w in c.widths[:-1]] + [(w, 1) for w in c.second_seeds]
    runs += [(w, 0) for w in c.widths[-1:]]
    for width, seed in runs:
        run = name_of(width, seed)
        if run in record and "losses" in record[run]:
            continue
        training = compiling[width].result()
        training.place(examples)
        search = record.setdefault(f"rates {width}", {})
        began = time.perf_counter()
        for rate in c.rates:
            if str(rate) in search:
                continue
            order = order_of(count, c.batch_size, max(c.steps // 20, CHUNK), seed=5)
            start = training.start(ladder.model(width, vae, 0).network)
            *_, (state, _) = training.run(start, order, rate, jax.random.key(5))
            search[str(rate)] = float(measured(state.average()))
            ladder.log(f"c = {width}, rate {rate:g}: held-out loss {search[str(rate)]:.5f}")
        finite = {rate: loss for rate, loss in search.items() if np.isfinite(loss)}
        rate = float(min(finite, key=finite.__getitem__))
        trial = (time.perf_counter() - began) / len(c.rates)
        if ladder.late(max(20.0 * trial, 0.0)):
            ladder.log(f"{run}: no time left")
            continue
        began = time.perf_counter()
        order = order_of(count, c.batch_size, c.steps, seed=seed)
        start = training.start(ladder.model(width, vae, seed).network)
        losses, held = [], {}
        done = 0
        for state, chunk in training.run(start, order, rate, jax.random.key(seed + 1)):
            done += len(chunk)
            losses.append(chunk)
            if done in {round(share * c.steps) for share in SHARES}:
                average = state.average()
                held[done] = float(measured(average))
                eqx.tree_serialise_leaves(ladder.path(run, done), half(average))
        means = [round(float(jnp.mean(part)), 6) for part in losses]
        seconds = time.perf_counter() - began
        record[run] = {"rate": rate, "losses": means, "held_out": held, "seconds": seconds}
        log.write_text(json.dumps(record))
        ladder.log(f"{run}: rate {rate:g}, {c.steps} steps in {seconds:.1f} s, held out {held}")
    return sampling


def train_vae(ladder: Ladder, vae: eqd.VAE, images: Images) -> eqd.VAE:
    """The VAE: L1, LPIPS of AlexNet, KL."""
    c = ladder.config
    objective = VAEObjective(
        load_lpips("alex"),
        perceptual_weight=0.1,
        kl_weight=1e-4,
        perceptual_share=0.25,
        policy=eqd.TrainConfig().policy,
    )
    pixels = jnp.asarray(images.training)
    training = Training(
        objective,
        EMAS["decay-0.995"],
        pixels,
        lambda pixels, index: eqd.ImageBatch(pixels[index]),
        warmup=100,
        cosine=c.vae_steps,
    )
    training.compile(vae, c.vae_batch_size)
    ladder.log("VAE: compiled")
    order = order_of(len(images.training), c.vae_batch_size, c.vae_steps, seed=0)
    trained = training.run(training.start(vae), order, 2e-3, jax.random.key(1))
    state = None
    for number, (state, losses) in enumerate(trained):  # noqa: B007
        if number % 25 == 24:
            ladder.log(f"VAE: loss {float(jnp.mean(losses)):.4f}")
    assert state is not None
    return state.average()


def read_vae(ladder: Ladder) -> eqd.VAE:
    """The VAE that was trained, with its scale."""
    shape = ladder.vae().build(key=jax.random.key(0))
    vae = eqx.tree_deserialise_leaves(ladder.config.folder / "vae.eqx", shape)
    return vae.with_scale(**json.loads((ladder.config.folder / "vae.json").read_text()))


def name_of(width: int, seed: int) -> str:
    """The name of a run."""
    return f"c{width:03d}" + (f"-seed{seed}" if seed else "")


def sweep(ladder: Ladder, sampling: Sampling) -> None:
    """Every point of every checkpoint, the most telling first."""
    c, models = ladder.config, sampling.models
    runs = [(w, s) for s in (0, 1) for w in (c.widths if s == 0 else c.second_seeds)]
    runs = [(w, s) for w, s in runs if ladder.path(name_of(w, s), c.steps).exists()]
    work: list[tuple[float, int, Point, int]] = []
    for order, (width, seed) in enumerate(runs):
        for share in SHARES:
            step = round(share * c.steps)
            if not ladder.path(name_of(width, seed), step).exists():
                continue
            for priority, sampler, steps, scales in ways(share == 1.0):
                turn = priority + (3.5 if seed else 0.0)
                for scale in scales:
                    for n in steps:
                        point = Point(name_of(width, seed), step, sampler, n, scale)
                        if not sampling.sweep.is_done(point):
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
            like = half(models[width].network)
            network = single(eqx.tree_deserialise_leaves(ladder.path(*opened), like))
            model = dataclasses.replace(models[width], network=network)
        if (turn, point.run, point.train_step) != last:
            last = (turn, point.run, point.train_step)
            ladder.log(f"turn {turn}: {point.name}, {len(work) - number} points to go")
        sampling.sweep.run(model, point, c.batch_size)
    sampling.sweep.finish()
    with tarfile.open(c.folder / "study.tar.gz", "w:gz") as archive:
        archive.add(sampling.folder.path, "study")
    rows = {row.point.name: row for row in sampling.folder.rows().read()}
    for run in (name_of(width, seed) for width, seed in runs):
        line = [
            rows[p.name].fid if p.name in rows else float("nan")
            for p in (Point(run, c.steps, "ddim", n, 1.0) for n in (1, 2, 4, 8, 16, 50))
        ]
        ladder.log(f"{run} ddim w = 1, 1 2 4 8 16 50 steps: {[round(x, 2) for x in line]}")


def main(config: Config) -> None:
    """One phase."""
    ladder = Ladder(config)
    ladder.log(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
    eqd.enable_compile_cache()
    images = ladder.images()
    ladder.log(f"{len(images.training)} images")
    sampling = train(ladder, images) if config.phase != "sweep" else None
    if config.phase != "train":
        sweep(ladder, sampling or Sampling(ladder, read_vae(ladder), images))
    ladder.log("end")
    sys.stdout.flush()
    os._exit(0)  # no thread that still compiles is waited for


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
