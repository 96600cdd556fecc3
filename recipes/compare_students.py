"""Compares a teacher with its distilled students at equal numbers of sampling steps.

For each number of steps and each guidance weight, one picture of each caption: VGG16-FID, caption
match and time per picture. As in the paper (section 3.3.1), a model's weight at a number of steps
is the one of the best FID. Scores are kept as they come, so that a comparison that was stopped goes
on where it was.

    python recipes/compare_students.py runs/emoji runs/emoji-codi runs/emoji-lcm
    python recipes/compare_students.py runs/emoji runs/emoji-* --cfg 2 3 5 --out docs/distillation
"""

import csv
import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import choices
import matplotlib
import models
import numpy as np
import tyro
from judge import Judge
from sources import open_run, Source

from equildm.denoise import EmbeddedGuidance
from equildm.noise import grids
from equildm.runtime import (
    enable_compile_cache,
    picture_grid,
    Progress,
    Run,
    save_png,
    to_uint8,
    write_atomic,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Compares a teacher with its distilled students at equal numbers of sampling steps."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, the teacher's first."""
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 50)
    """Numbers of sampling steps."""
    cfg: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0)
    """Guidance weights; a student of one fixed weight has its own."""
    teacher_solvers: tuple[str, ...] = ("ddim", "dpm++2m")
    """Samplers of the teacher; students have their own."""
    split: Literal["held-out", "training"] = "held-out"
    """Which captions."""
    count: int = 256
    """How many of them, at most."""
    seed: int = 0
    """Of the pictures' noise and of the captions drawn beside the true one."""
    batch: int = 32
    """Pictures made at a time."""
    out: Path = Path("runs/students")
    """Folder for scores, table, plot and pictures."""


class Score(NamedTuple):
    """Of the pictures of one model in one number of steps with one guidance weight."""

    model: str
    sampler: str
    steps: int
    evaluations: int
    """Of the network, for one picture."""
    cfg: float
    fid: float
    rank1: float
    """Share of pictures whose own caption is found among 99 others."""
    seconds: float
    """For one picture, in batches, decoding included."""


def main(config: Config) -> None:
    enable_compile_cache()
    config.out.mkdir(parents=True, exist_ok=True)
    file = config.out / "scores.json"
    options: Any = {"split_name": config.split, "count": config.count, "seed": config.seed}
    scores = read(file, options)
    known = {(s.model, s.sampler, s.steps, s.cfg) for s in scores}
    todo = [job for job in jobs(config) if job[:1] + job[2:] not in known]
    if todo:
        judge = Judge(Run.open(config.runs[0]), **options)
        with Progress(len(todo), label="comparing", unit="points") as progress:
            opened: tuple[Any, Source | None] = None, None
            for number, (name, path, sampler, steps, cfg) in enumerate(todo, start=1):
                distilled = models.load_model(Run.open(path)).distilled
                which = path, distilled and distilled.stage(steps)
                if opened[0] != which:
                    opened = which, open_run(path, steps=steps)
                assert opened[1] is not None
                scores.append(score(config, judge, opened[1], name, sampler, steps, cfg))
                rows = [s._asdict() for s in scores]
                write_atomic(file, json.dumps({"options": options, "scores": rows}) + "\n")
                progress.update(number)

    best = best_of(scores)
    with (config.out / "students.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([Score._fields, *best])
    text = table(best, config.steps)
    write_atomic(config.out / "students.md", text)
    plot(best, config.out / "students.png")
    save_pictures(config, best)
    print(text)


def read(file: Path, options: dict[str, Any]) -> list[Score]:
    """The scores so far, which must be of the same captions and noise."""
    if not file.exists():
        return []
    written = json.loads(file.read_text(encoding="utf-8"))
    if written["options"] != options:
        raise ValueError(
            f"The scores in {file} are of {written['options']}, asked for {options}. Pass another "
            "--out."
        )
    return [Score(**row) for row in written["scores"]]


def jobs(config: Config) -> list[tuple[str, Path, str, int, float]]:
    """Model, run folder, sampler, steps and weight of every point."""
    found = []
    for number, path in enumerate(config.runs):
        distilled = models.load_model(Run.open(path)).distilled
        if (distilled is None) != (number == 0):
            raise ValueError(f"Give the teacher first and its students after it; {path} is not so.")
        samplers = config.teacher_solvers if distilled is None else (distilled.sampler,)
        fixed = distilled is not None and distilled.weight == 1
        for steps in config.steps:
            for sampler in samplers:
                for cfg in (1.0,) if fixed else config.cfg:
                    found.append((path.name, path, sampler, steps, cfg))
    return found


def score(
    config: Config, judge: Judge, source: Source, name: str, sampler: str, steps: int, cfg: float
) -> Score:
    """Makes the pictures twice, the first batch to compile, and scores them."""
    images, seconds = np.empty(0), 0.0
    for captions in (judge.captions[: config.batch], judge.captions):
        began = time.perf_counter()
        images = make(config, source, captions, sampler, steps, cfg)
        seconds = time.perf_counter() - began
    made = to_uint8(images)
    told = source.make.guidance is EmbeddedGuidance
    return Score(
        name,
        sampler,
        steps,
        steps * (1 if told or cfg in (0, 1) else 2),
        cfg,
        judge.distance(made),
        judge.match(made, judge.captions).rank1,
        seconds / len(made),
    )


def make(
    config: Config, source: Source, captions: Any, sampler: str, steps: int, cfg: float
) -> np.ndarray:
    """Pictures of captions. All numbers of steps share a compiled sampler."""
    levels = grids.pad(source.levels(steps, sampler, None), max(config.steps) + 1)
    return source.make(
        captions,
        levels=levels,
        solver=choices.solver(sampler),
        weight=cfg,
        seed=config.seed,
        batch=config.batch,
    )


def best_of(scores: list[Score]) -> list[Score]:
    """For each model, sampler and number of steps, the guidance weight of the lowest FID."""
    best: dict[Any, Score] = {}
    for s in scores:
        key = (s.model, s.sampler, s.steps)
        if key not in best or s.fid < best[key].fid:
            best[key] = s
    return list(best.values())


def curves(best: list[Score]) -> dict[str, dict[int, Score]]:
    """By model and sampler, then by steps. The first is the teacher's by its first sampler."""
    found: dict[str, dict[int, Score]] = {}
    for s in best:
        found.setdefault(f"{s.model} ({s.sampler})", {})[s.steps] = s
    return found


def as_good_as(teacher: dict[int, Score], fid: float) -> float:
    """The steps in which the teacher has that FID, between its own in log steps; inf for none."""
    steps = sorted(teacher)
    fids = [teacher[n].fid for n in steps]
    for (a, fid_a), (b, fid_b) in zip(
        zip(steps, fids, strict=True), zip(steps[1:], fids[1:], strict=False), strict=False
    ):
        if fid_b <= fid < fid_a:
            return float(a * (b / a) ** ((fid_a - fid) / (fid_a - fid_b)))
    return 1.0 if fid >= fids[0] else np.inf


def table(best: list[Score], steps: tuple[int, ...]) -> str:
    """Markdown: scores by steps, and how many steps of the teacher four of a student are worth."""
    found = curves(best)
    lines = ["VGG16-FID / caption match / milliseconds per picture / guidance weight", ""]
    lines += ["| model | " + " | ".join(f"{n} steps" for n in steps) + " |"]
    lines += ["|---" * (len(steps) + 1) + "|"]
    for name, curve in found.items():
        cells = [
            f"{s.fid:.0f} / {s.rank1:.0%} / {1e3 * s.seconds:.1f} / {s.cfg:g}" if s else "-"
            for s in (curve.get(n) for n in steps)
        ]
        lines += [f"| {name} | " + " | ".join(cells) + " |"]
    (_, teacher), *students = found.items()
    lines += ["", "| student | FID in 4 steps | teacher's in 4 | steps of the teacher for it |"]
    lines += ["|---" * 4 + "|"]
    for name, curve in students:
        if 4 in curve and 4 in teacher:
            worth = as_good_as(teacher, curve[4].fid)
            said = f"more than {max(teacher)}" if worth == np.inf else f"{worth:.1f}"
            lines += [f"| {name} | {curve[4].fid:.0f} | {teacher[4].fid:.0f} | {said} |"]
    return "\n".join(lines) + "\n"


def plot(best: list[Score], out: Path) -> None:
    """FID over steps, FID over network evaluations, caption match over steps."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    for number, (name, curve) in enumerate(curves(best).items()):
        rows = [curve[n] for n in sorted(curve)]
        style: Any = {"marker": "osv^D<>Pp*"[number % 10], "markersize": 4, "label": name}
        axes[0].plot([s.steps for s in rows], [s.fid for s in rows], **style)
        axes[1].plot([s.evaluations for s in rows], [s.fid for s in rows], **style)
        axes[2].plot([s.steps for s in rows], [s.rank1 for s in rows], **style)
    for axis, x, y in zip(
        axes,
        ("sampling steps", "network evaluations", "sampling steps"),
        ("VGG16-FID", "VGG16-FID", "caption match"),
        strict=True,
    ):
        axis.set(xscale="log", xlabel=x, ylabel=y)
        axis.grid(alpha=0.3, which="both")
    axes[0].legend(fontsize="small")
    figure.savefig(out, dpi=110)


def save_pictures(config: Config, best: list[Score]) -> None:
    """One caption: a row for each model, a column for each number of steps."""
    by_name = {path.name: path for path in config.runs}
    rows = [curve for curve in curves(best).values() if set(config.steps) <= set(curve)]
    images, labels = [], []
    for curve in rows:
        for steps in config.steps:
            s = curve[steps]
            source = open_run(by_name[s.model], steps=steps)
            images.append(make(config, source, ["cat face"], s.sampler, steps, s.cfg)[0])
            labels.append(f"{s.model} {steps}")
    grid = picture_grid(to_uint8(np.stack(images)), labels, columns=len(config.steps))
    save_png(config.out / "pictures.png", grid)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
