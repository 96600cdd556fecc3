"""Which model is best at each sampling budget: the paper's question, answered on your own data.

Trains a ladder of widths, identical but for that, with checkpoints on the way; distils each;
samples all of it in every way of a grid; and writes a report with the paper's figures and the
answer. Each phase goes on where it was, however it was stopped, and any number of processes, on
machines that share the folder, may run the same command at once: none does what another has done
or is doing. By default: widths 16 and 32 on emoji.

    python recipes/scaling_study.py runs/study                        # everything
    python recipes/scaling_study.py runs/study sweep --steps 2 4 8 16 32 50
    python recipes/scaling_study.py runs/study report --counting twice
    python recipes/scaling_study.py runs/mine sweep --runs runs/emoji runs/emoji-lcm

docs/study.md is the guide.
"""

import collections
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import distill
import jax
import numpy as np
import pretrain
import tyro
from PIL import Image
from study_grid import Config, is_complete
from study_sweep import sweep

from equildm.runtime import (
    enable_compile_cache,
    exit_on_sigterm,
    from_json,
    to_json,
    write_atomic,
)
from equildm.study import (
    Claims,
    read_table,
    Row,
    RowFiles,
    share_work,
    training_flops,
    write_report,
    write_table,
)

FIXED = ("split", "count", "groups", "real", "inception", "resize")
"""Options that decide what scores mean: they stay as they were."""


def main(config: Config) -> None:
    config.check()
    remember(config)
    exit_on_sigterm()
    enable_compile_cache()
    if config.phase in ("all", "train") and not config.runs:
        train(config, config.pretraining(), pretrain.main)
    if config.phase in ("all", "distill") and not config.runs:
        train(config, config.distillation(), distill.main)
    if config.phase in ("all", "sweep"):
        sweep(config)
    if config.phase in ("all", "report"):
        report(config)


def train(config: Config, runs: Sequence[Any], recipe: Any) -> None:
    """Runs a recipe for each configuration whose run is not complete."""
    by_name = {run.run.name: run for run in runs}

    def begin(name: str) -> None:
        print(f"{name}:", flush=True)
        recipe(by_name[name])
        jax.clear_caches()  # the next width compiles everything anew

    with Claims(config.folder / "claims", stale=config.stale) as claims:
        share_work(
            list(by_name),
            claims=claims,
            is_done=lambda name: is_complete(by_name[name].run, by_name[name].steps),
            begin=begin,
            wait=5.0,
        )


def report(config: Config) -> None:
    """Puts the table together and writes the page."""
    rows = RowFiles(config.folder / "rows").read()
    if not rows:
        raise ValueError(f"{config.folder} holds no row yet: run the phase sweep first.")
    write_table(config.folder / "table.parquet", rows)
    rows = read_table(config.folder / "table.parquet")
    page = write_report(
        config.folder / "report",
        rows,
        title=f"Scaling study: {config.folder.name}",
        about=[what_it_took(rows)],
        shown=lambda row: strip(config.folder, row),
        counting=config.counting,
        budgets=config.budgets,
    )
    print(f"{len(rows)} rows in {config.folder / 'table.parquet'}, report in {page}.")


def what_it_took(rows: Sequence[Row]) -> str:
    """Training, distillation and sampling in operations, pictures and time."""
    trained, distilled = [r for r in rows if not r.method], [r for r in rows if r.method]
    said = [f"Trained {taught(trained)}."] if trained else []
    if distilled:
        said.append(f"Distilled {taught(distilled)}, the teachers' evaluations left out.")
    made = sum(row.count for row in rows)
    sampled = sum(1e9 * row.gflops * row.evaluations * row.branches * row.count for row in rows)
    hours: dict[str, float] = collections.defaultdict(float)
    for row in rows:
        hours[row.device] += row.seconds * row.count / 3600
    times = " and ".join(f"{time:.2g} hours of {device}" for device, time in hours.items())
    return " ".join([*said, f"Sampled {made:,} pictures, {sampled:.2g} operations, in {times}."])


def taught(rows: Sequence[Row]) -> str:
    """How long each run learned, and the operations of its own network."""
    last: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (row.width, row.run, row.train_step)):
        last[row.run] = row
    lengths = []
    for row in last.values():
        model = f"c = {row.width}" + (f" by {row.method}" if row.method else "")
        lengths.append(f"{model}: {row.train_step:,} steps")
    total = sum(training_flops(row.gflops, row.batch, row.train_step) for row in last.values())
    return f"{', '.join(lengths)}, {total:.2g} operations in all"


def strip(folder: Path, row: Row) -> np.ndarray | None:
    """The pictures of a row that were kept."""
    path = folder / "pictures" / f"{row.point.name}.png"
    if not path.exists():
        return None
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return np.stack(np.split(pixels, pixels.shape[1] // pixels.shape[0], axis=1))


def remember(config: Config) -> None:
    """Keeps the options in the folder, and refuses to change what scores mean."""
    before = remembered(config.folder)
    for name in FIXED if before is not None and (config.folder / "rows").exists() else ():
        old, new = getattr(before, name), getattr(config, name)
        if old != new:
            raise ValueError(
                f"The rows of {config.folder} are of {name}={old}, received {new}. Rows of another "
                "are not comparable: use another folder."
            )
    config.folder.mkdir(parents=True, exist_ok=True)
    kept = dataclasses.replace(config, phase="all")
    write_atomic(config.folder / "study.json", json.dumps(to_json(kept), indent=2) + "\n")


def remembered(folder: Path) -> Config | None:
    """The options of the last call, with this folder's name."""
    file = folder / "study.json"
    if not file.is_file():
        return None
    kept = from_json(Config, json.loads(file.read_text(encoding="utf-8")), str(file))
    return dataclasses.replace(kept, folder=folder)


def parse(arguments: Sequence[str]) -> Config:
    """The options that are given, and for the others those that their folder remembers."""
    given = tyro.cli(Config, description=__doc__, args=arguments)
    kept = remembered(given.folder)
    if kept is None:
        return given
    return tyro.cli(Config, description=__doc__, args=arguments, default=kept)


if __name__ == "__main__":
    main(parse(sys.argv[1:]))
