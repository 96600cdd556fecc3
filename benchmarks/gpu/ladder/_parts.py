"""What the phases of the ladder share: options, models, files."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro
from jaxtyping import PyTree

import equildm as eqd
from equildm.denoise import AbstractBackboneConfig, DiTConfig, UNetConfig
from equildm.pipeline import LatentDiffusion
from equildm.runtime import make_mesh, replacing

from ._data import EmbeddedCaptions, Images, read_images

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training at which the averages are saved."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is trained and sampled."""

    phase: Annotated[Literal["all", "train", "sweep", "distill"], tyro.conf.Positional]
    """Training and sweep, or one of them; or students of trained widths, with their scores."""
    kit: Path
    """Folder that `pack.py` wrote."""
    folder: Path
    """Where everything goes."""
    seconds: float = 1e9
    """No run and no point is begun that would end later than this."""
    backbone: Literal["unet", "dit"] = "unet"
    """Kind of the networks."""
    flow: bool = False
    """Whether they learn rectified flow in place of Stable Diffusion's schedule and v."""
    widths: tuple[int, ...] = (16, 24, 32, 48, 64)
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
    image_seed: int = 0
    """Seed of the images. Another one samples every point afresh, in rows of its own."""
    shares: tuple[float, ...] = SHARES
    """Shares of the training whose averages are sampled."""
    samplers: tuple[str, ...] = ("ddim", "dpm++2m", "ddpm")
    """Samplers of the sweep."""
    scales: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    """Guidance scales of the sweep."""
    budget: float = float("inf")
    """GFLOP an image, guidance counted twice, above which no point is sampled. The fair test's nine
    budgets end at 25 evaluations of the largest width."""
    methods: tuple[Literal["progressive", "codi"], ...] = ("progressive", "codi")
    """Distillations."""
    distill_steps: int = 1200
    """Updates of a distillation, all its stages together."""
    distill_rates: tuple[float, ...] = (5e-4,)
    """Learning rates of the distillations."""
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

    @property
    def vae(self) -> eqd.VAEConfig:
        """The sizes of the VAE: 8x8 latents of 4 channels from 32x32 pixels."""
        width = self.config.vae_width
        return eqd.VAEConfig(
            width, multipliers=(1, 2, 2), depth=1, latent_channels=4, groups=8, scale=1.0
        )

    def sizes(self, width: int) -> AbstractBackboneConfig:
        """Of a network. Networks of one kind differ in nothing but the width.

        UNets have three levels: a fourth one would be a single pixel of a latent of 8x8. DiTs have
        six blocks on 16 patches.
        """
        text = self.text_encoder.width
        if self.config.backbone == "dit":
            return DiTConfig(width, 6, width // 32, context_width=text, qk_norm=True)
        return UNetConfig(
            width,
            context_width=text,
            multipliers=(1, 2, 2),
            depths=(1, 1, 1),
            transformer_depths=(0, 1, 0),
            heads=4,
            groups=8,
        )

    def model(self, width: int, vae: eqd.VAE, seed: int) -> LatentDiffusion:
        """A model with fresh weights."""
        flow = eqd.NoiseConfig("rectified-flow", "flow")
        return eqd.new_model(
            self.sizes(width),
            vae,
            self.text_encoder,
            image_size=self.config.size,
            noise=flow if self.config.flow else eqd.NoiseConfig(),
            seed=seed,
            mesh=make_mesh(""),
        )

    def name(self, width: int, seed: int) -> str:
        """The name of a run."""
        letter = {"unet": "c", "dit": "d"}[self.config.backbone]
        parts = f"{letter}{width:03d}", "-flow" * self.config.flow, f"-seed{seed}" * (seed > 0)
        return "".join(parts)

    def late(self, seconds: float = 0.0) -> bool:
        """Whether something of so many seconds would end too late."""
        return time.perf_counter() - self.began + seconds > self.config.seconds

    def log(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        print(f"{time.perf_counter() - self.began:6.1f} s  {text}", flush=True)

    @property
    def vae_file(self) -> Path:
        """The VAE's weights."""
        return self.config.folder / "vae.eqx"

    @property
    def vae_scale(self) -> Path:
        """The scale and shift of its latents."""
        return self.config.folder / "vae.json"

    def path(self, run: str, step: int) -> Path:
        """The file of a checkpoint's averages, in float16."""
        return self.config.folder / f"{run}_{step:06d}.eqx"

    def write(self, run: str, step: int, network: PyTree) -> None:
        """Saves a checkpoint's averages, whole or not at all."""
        with replacing(self.path(run, step)) as path:
            eqx.tree_serialise_leaves(path, _in(jnp.float16, network))

    def read(self, run: str, step: int, like: PyTree) -> PyTree:
        """A checkpoint's averages, in float32; `like` is a network of the same shapes."""
        stored = eqx.tree_deserialise_leaves(self.path(run, step), _in(jnp.float16, like))
        return _in(jnp.float32, stored)


def _in(dtype: Any, tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree)


def read_vae(ladder: Ladder) -> eqd.VAE:
    """The VAE that was trained, with its scale."""
    shape = ladder.vae.build(key=jax.random.key(0))
    vae = eqx.tree_deserialise_leaves(ladder.vae_file, shape)
    return vae.with_scale(**json.loads(ladder.vae_scale.read_text()))
