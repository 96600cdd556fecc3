"""Loading and saving the 866M UNet of Stable Diffusion 2 beside diffusers: seconds and memory.

    python benchmarks/load_weights.py                       # writes 5.2 GB of weights first
    python benchmarks/load_weights.py --folder /tmp/unets   # or finds them there, written once
    python benchmarks/load_weights.py --mapped --dtypes float32

Both libraries read the same folder to float32 on the CPU, in turns, each time in a fresh process.
Imports are not timed, and the files are in the page cache. diffusers maps a float32 file and has
read nothing when it returns, so `touched` also counts the time to sum every weight once. Memory is
the peak of a process: resident memory counts the pages of a mapped file, anonymous memory does not.
A ratio is diffusers' figure over ours: above 1 ours is faster, or takes less.
"""

import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import tyro

from benchmarks._peer import compare, Peer, Timing
from equildm.denoise import preset
from equildm.interop import save_unet

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


def make(folder: Path, c: Config) -> None:
    """Writes the folders that do not exist yet."""
    heads = tuple(c.width * i // 64 for i in (1, 2, 4, 4))
    config = preset(c.width, heads=heads, linear_projections=True)
    missing = [dtype for dtype in c.dtypes if not (folder / dtype / "config.json").exists()]
    if not missing:
        return
    network = config.build(key=jax.random.key(0))
    for dtype in missing:
        save_unet(folder / dtype, network, config, dtype=dtype)


def fresh_process(
    library: str, source: Path, saved: Path | None, *, mapped: bool
) -> dict[str, float]:
    """The figures of one fresh process, by the names in `COLUMNS`."""
    python = sys.executable if library == "equildm" else None
    dtype = "mapped" if mapped else "float32"
    with Peer(WORKER, {"library": library, "dtype": dtype}, python=python) as worker:
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
            print(f"c = {c.width}, {dtype} file, {c.rounds} rounds", flush=True)
            figures: dict[str, list[dict[str, float]]] = {"equildm": [], "diffusers": []}
            for i in range(-1, c.rounds):
                for library in list(figures)[:: 1 if i % 2 == 0 else -1]:
                    saved = folder / "saved" if c.saves else None
                    taken = fresh_process(library, folder / dtype, saved, mapped=c.mapped)
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
