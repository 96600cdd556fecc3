"""The GPU benchmarks in one command, for a machine that is lent for minutes.

    python benchmarks/gpu/kit.py --kit .kit --out results --seconds 560

`pack.py` makes the kit, whose wheels are installed first. (a) A training step of c = 64, 128 and
320 at 64x64x4 and (b) 50 guided steps at batch 1 and 16, both beside diffusers with torch.compile
where it is installed, and (c) the ladder of the fair test. Each has a share of the seconds, and
what it prints is in a file of its own, also where it is cut off.
"""

import dataclasses
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import tyro

ROOT = Path(__file__).resolve().parents[2]
Part = Literal["step", "sample-1", "sample-16", "ladder"]
SHARES: dict[Part, float] = {"step": 0.25, "sample-1": 0.1, "sample-16": 0.1, "ladder": 0.55}
"""Of the seconds, for each part."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is run."""

    kit: Path
    """Folder that pack.py wrote."""
    out: Path
    """Folder of the results."""
    seconds: float = 560.0
    """For all parts together."""
    parts: tuple[Part, ...] = ("step", "sample-1", "sample-16", "ladder")
    """The parts, in order."""
    device: Literal["cpu", "gpu"] = "gpu"
    """cpu tries the commands on small sizes."""


def command(part: Part, c: Config, seconds: float) -> list[str]:
    """The words of a part's command."""
    small = c.device == "cpu"
    peer = [] if importlib.util.find_spec("diffusers") else ["--no-peer"]
    match part:
        case "step":
            cases = ["--cases", "32x2x8"] if small else []
            script = ["benchmarks/train_step.py", "--device", c.device, *cases, *peer]
        case "ladder":
            folder = ["--kit", f"{c.kit.resolve()}", "--folder", f"{c.out.resolve() / 'ladder'}"]
            script = ["-m", "benchmarks.gpu.ladder", "all", *folder, "--seconds", f"{seconds:.0f}"]
            if small:
                script += ["--widths", "16", "--second-seeds", "--limit", "600", "--count", "100"]
                script += ["--steps", "400", "--batch-size", "2", "--vae-steps", "20"]
                script += ["--vae-width", "16", "--vae-batch-size", "4"]
        case _:
            batch = part.rpartition("-")[2]
            sizes = ["--width", "32", "--size", "8", "--steps", "2"] if small else []
            script = ["benchmarks/gpu/sample.py", "--batch", batch, *sizes, *peer]
    return [sys.executable, *script]


def main(c: Config) -> None:
    """Runs the parts one after the other. What one leaves of its seconds, the next ones have."""
    c.out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(c.kit.resolve()), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "EQUILDM_PEER_PYTHON": os.environ.get("EQUILDM_PEER_PYTHON", sys.executable),
    }
    began = time.perf_counter()
    for number, part in enumerate(c.parts):
        left = c.seconds - (time.perf_counter() - began)
        rest = sum(SHARES[name] for name in c.parts[number:])
        seconds = left * SHARES[part] / rest
        with (c.out / f"{part}.txt").open("w") as file:
            try:
                result = subprocess.run(
                    command(part, c, seconds),
                    cwd=ROOT,
                    env=environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                )
                end = f"exit code {result.returncode}"
            except subprocess.TimeoutExpired:
                end = f"cut off after {seconds:.0f} s"
        print(f"{part}: {end}, see {file.name}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
