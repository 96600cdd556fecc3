"""Loading and saving the 866M UNet of Stable Diffusion 2, or all of it, beside diffusers.

    python benchmarks/load_weights.py                       # writes 5.2 GB of weights first
    python benchmarks/load_weights.py --folder /tmp/unets   # or finds them there, written once
    python benchmarks/load_weights.py --mapped --dtypes float32
    python benchmarks/load_weights.py --mapped --dtypes float32 --pipeline

Both libraries read the same folder to float32 on the CPU, in turns, each time in a fresh process.
Imports are not timed, and the files are in the page cache. diffusers maps a float32 file and has
read nothing when it returns, so `touched` also counts the time to sum every weight once. Memory is
the peak of a process: resident memory counts the pages of a mapped file, anonymous memory does not.
A ratio is diffusers' figure over ours: above 1 ours is faster, or takes less.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import tyro
from tokenizers import pre_tokenizers

from benchmarks._peer import compare, Peer, Timing
from equildm.denoise import preset
from equildm.interop import save_unet, Scheduler
from equildm.latents import VAEConfig
from equildm.noise import ScaledLinear, Velocity
from equildm.pretrained import save_pretrained, stable_diffusion
from equildm.text import CLIPConfig, CLIPText, read_tokenizer

WORKER = Path(__file__).parent / "peers" / "load_worker.py"
COLUMNS = ("seconds", "touched", "peak_mb", "anonymous_mb", "saving")


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    width: int = 320
    """Width of the UNet: 320 is the 866M one."""
    dtypes: tuple[str, ...] = ("float32", "float16")
    """Types of the weight files."""
    folder: Path | None = None
    """Folder of the weight files; by default a temporary one."""
    rounds: int = 5
    """Number of times that each library loads."""
    saves: bool = True
    """Whether both libraries also save, once a round."""
    mapped: bool = False
    """Whether equildm leaves the weights in the file, as diffusers does with float32."""
    pipeline: bool = False
    """Whether to load the whole pipeline: the VAE, the text encoder and its tokenizer as well."""

    def place(self, folder: Path, dtype: str) -> Path:
        """Where the weights of a type lie."""
        return folder / f"{dtype}{'-pipeline' * self.pipeline}"


def make(folder: Path, c: Config) -> None:
    """Writes the folders that do not exist yet."""
    heads = tuple(c.width * i // 64 for i in (1, 2, 4, 4))
    config = preset(c.width, heads=heads, linear_projections=True)
    last = "model_index.json" if c.pipeline else "config.json"
    missing = [dtype for dtype in c.dtypes if not (c.place(folder, dtype) / last).exists()]
    if not missing:
        return
    network = config.build(key=jax.random.key(0))
    if not c.pipeline:
        for dtype in missing:
            save_unet(c.place(folder, dtype), network, config, dtype=dtype)
        return
    vae = VAEConfig().build(key=jax.random.key(1))
    tokenizer = read_tokenizer(_vocabulary(folder / "tokenizer"), "clip")
    sizes = CLIPConfig(vocabulary=49408, width=1024, depth=23, heads=16, activation="gelu")
    text_encoder = CLIPText(sizes.build(key=jax.random.key(2)), tokenizer)
    scheduler = Scheduler(ScaledLinear(), Velocity())
    model = stable_diffusion(network, config, vae, text_encoder, scheduler)
    for dtype in missing:
        save_pretrained(c.place(folder, dtype), model, layout="diffusers", dtype=dtype)


def _vocabulary(folder: Path) -> Path:
    """A vocabulary of 49408 ids as CLIP's: letters, merges of two of them, and the two marks."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(a, b) for a in letters for b in letters][: 49408 - 514]
    ends = [f"{letter}</w>" for letter in letters]
    tokens = [*letters, *ends, *map("".join, pairs), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    merges = ["#version: 0.2", *map(" ".join, pairs)]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n")
    return folder


def fresh_process(library: str, source: Path, saved: Path | None, c: Config) -> dict[str, float]:
    """The figures of one fresh process, by the names in `COLUMNS`."""
    python = sys.executable if library == "equildm" else None
    dtype = "mapped" if c.mapped else "float32"
    options = {"library": library, "dtype": dtype, "pipeline": c.pipeline}
    with Peer(WORKER, options, python=python) as worker:
        figures = worker("load", folder=str(source))
        if saved is not None:
            figures["saving"] = worker("save", folder=str(saved))["seconds"]
            shutil.rmtree(saved)
    return figures


def main(c: Config) -> None:
    """Times every file."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = c.folder or Path(scratch)
        make(folder, c)
        for dtype in c.dtypes:
            what = "pipeline" if c.pipeline else "UNet"
            print(f"{what} of c = {c.width}, {dtype} file, {c.rounds} rounds", flush=True)
            figures: dict[str, list[dict[str, float]]] = {"equildm": [], "diffusers": []}
            for i in range(-1, c.rounds):
                for library in list(figures)[:: 1 if i % 2 == 0 else -1]:
                    saved = folder / "saved" if c.saves else None
                    taken = fresh_process(library, c.place(folder, dtype), saved, c)
                    if i >= 0:  # The first round brings the file into the page cache.
                        figures[library].append(taken)
            for name in COLUMNS[: None if c.saves else -1]:
                ours, theirs, ratio, low, high = compare(
                    *(Timing(tuple(one[name] for one in taken)) for taken in figures.values())
                )
                print(
                    f"  {name:13} ours {ours.median:8.2f}  diffusers {theirs.median:8.2f}  ratio "
                    f"{ratio:5.2f} ({low:.2f} to {high:.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
