"""The fair test of the paper's headline in a quarter of an hour of one GPU: ladder and sweep.

A VAE and UNets of several widths, identical but for width and a learning rate that is chosen for
each beforehand, are trained on Fashion-MNIST with ten captions; then all are sampled and scored.
`pack.py` packs what is needed. Each phase goes on where it was stopped.

    export OPENBLAS_NUM_THREADS=1  # scores are computed in threads of their own
    python -m benchmarks.gpu.ladder all --kit .kit --folder /tmp/ladder --seconds 560
    python -m benchmarks.gpu.ladder sweep --kit .kit --folder /tmp/ladder --seconds 120
    python -m benchmarks.gpu.ladder distill --kit .kit --folder /tmp/ladder --seconds 300
"""

import os
import sys

import jax
import tyro

import equildm as eqd
from equildm.runtime.freed_memory import keep_freed_memory

from ._parts import Config, Ladder, read_vae
from ._points import Sampling, sweep
from ._students import distil, sample_students
from ._vae import train_vae
from ._widths import train_widths, Widths

FLAGS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"
"""Kernels are not tried out on the GPU. Where they were, five programs took six minutes to compile
beside a training."""


def main(config: Config) -> None:
    """The phases."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS}"
    keep_freed_memory()  # on a CPU, as `TrainConfig.launch` does
    ladder = Ladder(config)
    ladder.log(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
    config.folder.mkdir(parents=True, exist_ok=True)
    eqd.enable_compile_cache()
    images = ladder.images()
    ladder.log(f"{len(images.training)} images")
    widths = Widths(ladder, images) if config.phase in ("all", "train") else None
    if widths is not None and not ladder.vae_scale.exists():
        train_vae(ladder, images)
    vae = read_vae(ladder)
    if config.phase == "distill":
        distil(ladder, vae, images)
    sampling = Sampling(ladder, vae, images) if config.phase != "train" else None
    if widths is not None:
        train_widths(ladder, widths, vae, images)
    if sampling is not None and config.phase == "distill":
        sample_students(ladder, sampling, vae)
    elif sampling is not None:
        sweep(ladder, sampling)
    ladder.log("end")
    sys.stdout.flush()
    os._exit(0)  # no thread that still compiles is waited for


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
