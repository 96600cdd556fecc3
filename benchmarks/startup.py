"""How long a start takes: from launching `recipes/pretrain.py` to its first step.

    python benchmarks/startup.py

`first`: nothing is cached. Python compiles its modules, and images and captions are encoded.
`cold`: these are cached, the compiled programs are not. `warm`: both are cached. Each start is a
process of its own on the default preset, and is stopped as soon as its first step is in
`metrics.jsonl`.
"""

import dataclasses
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    rounds: int = 3
    """Number of times that each kind of start is timed; `first` is timed once."""
    options: tuple[str, ...] = ()
    """Further options of the recipe."""


def launch(folder: Path, options: tuple[str, ...]) -> float:
    """Seconds from launch to the first step's line."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = [
        *(sys.executable, str(ROOT / "recipes" / "pretrain.py"), "--run", str(run)),
        *("--cache", str(folder / "latents"), "--log-every", "1", "--prompts", *options),
    ]
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "programs"),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "",  # as Python does unless told otherwise
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    metrics = run / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        if process.poll() is not None:
            assert process.stderr is not None
            raise RuntimeError(process.stderr.read().decode()[-2000:])
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return seconds


def main(config: Config) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"first {launch(folder, config.options):6.1f} s", flush=True)
        for kind in ("cold", "warm"):
            seconds = []
            for _ in range(config.rounds):
                if kind == "cold":
                    shutil.rmtree(folder / "programs", ignore_errors=True)
                seconds.append(launch(folder, config.options))
            listed = ", ".join(f"{s:.1f}" for s in seconds)
            print(f"{kind:5} {statistics.median(seconds):6.1f} s  ({listed})", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
