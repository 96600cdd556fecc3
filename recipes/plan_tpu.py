"""Plans training and sampling on TPUs that are not here.

Compiles the true training step and the true sampler for a described slice, on this machine's
processor and with nothing allocated, and says what a chip would need: memory against what it has,
arithmetic, traffic, what goes over the links, and how fast a step can be at best.

    pip install "equildm[tpu]"
    python recipes/plan_tpu.py --presets 39M --topologies v5e:4x4 --per-chip 8
    python recipes/plan_tpu.py --presets 866M 2B --topologies v5p:4x4x4 --meshes fsdp=64
    python recipes/plan_tpu.py --presets 5B --topologies v5e:4x4 --what sample --batch 16

Every result is a line of `--out`, written when it is there. What that file holds is not compiled
again, so that a stopped plan goes on.
"""

import dataclasses
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import tyro
from planned import abstract_sampling, abstract_training, model_flops, Planned
from plans import markdown, table

from equildm.denoise import preset
from equildm.runtime import make_mesh, parse_mesh, write_atomic
from equildm.runtime.ahead import compile_ahead, DoesNotFit, Program
from equildm.runtime.collectives import summary
from equildm.runtime.roofline import roofline
from equildm.runtime.target import compiling_for
from equildm.runtime.topology import Chip, describe_devices, parse_topology, plan_on_this_host


@dataclasses.dataclass(frozen=True)
class Config:
    """Plans training and sampling on TPUs that are not here."""

    presets: tuple[str, ...] = ("39M",)
    """Sizes of the UNet: tiny, mini, small, 39M .. 5B, or widths."""
    topologies: tuple[str, ...] = ("v5e:4x4",)
    """Slices: v5e:AxB, v5p:AxBxC, v6e:AxB."""
    meshes: tuple[str, ...] = ("",)
    """Devices by axis, such as data=4,fsdp=4; by default all on fsdp. The best is marked."""
    what: tuple[Literal["train", "sample"], ...] = ("train",)
    """The training step, or a guided sampler."""
    batch: int = 2048
    """Examples an update (train), or pictures at a time (sample), over all chips."""
    per_chip: int = 0
    """Examples that a chip takes at once, the rest one after the other; 0 searches the most."""
    remat: Literal["none", "blocks", "dots"] = "blocks"
    """Activations to compute again in the backward pass."""
    optimizer: Literal["adamw", "adamw-bf16", "adafactor"] = "adamw"
    """AdamW, with its first moment in bfloat16, or Adafactor."""
    ema: Literal["power", "decay"] = "power"
    """Averages of the weights: two, or one."""
    side: int = 64
    """Side of the latent."""
    tokens: int = 77
    """Tokens of a caption."""
    context_width: int = 1024
    """Width of a token."""
    sampler_steps: int = 50
    """Steps of the sampler, DPM-Solver++(2M)."""
    steps: int = 500_000
    """Updates of a whole training."""
    effort: Literal["O0", "O1", "O2"] = "O1"
    """Of the compiler: O2 is what a run takes, and takes four times as long."""
    out: Path = Path("runs/plans.jsonl")
    """Where results go."""
    report: Path | None = None
    """File for a table, in Markdown, of all that --out holds."""
    text: Path | None = None
    """Folder for the compiled programs' text."""


def main(config: Config) -> None:
    cases = planned(config)
    plan_on_this_host()
    config.out.parent.mkdir(parents=True, exist_ok=True)
    known = read(config.out)
    results = []
    for case in cases:
        for attempt in attempts(case, config.per_chip):
            result = next((line for line in known if line["case"] == attempt.key()), None)
            if result is None:
                print(f"Compiling {attempt.title()} ...", flush=True)
                result = plan(attempt, config)
                known.append(result)
                with config.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
            results.append(result)
            if result["fits"]:
                break
    table(results, config.steps)
    if config.report is not None:
        config.report.write_text(markdown(known, config.steps), encoding="utf-8")


def planned(config: Config) -> list[Planned]:
    """Every case that is asked for, checked before anything is compiled."""
    for name in ("presets", "topologies", "meshes", "what"):
        if not getattr(config, name):
            raise ValueError(f"--{name} takes at least one value, received none.")
    if config.steps < 1:
        raise ValueError(f"--steps is at least 1, received {config.steps}.")
    cases = []
    for name in config.presets:
        unet = preset(name, context_width=config.context_width)
        for topology in config.topologies:
            _, shape = parse_topology(topology)
            for mesh in config.meshes:
                sizes = parse_mesh(mesh) or {"fsdp": math.prod(shape)}
                if math.prod(sizes.values()) != math.prod(shape):
                    raise ValueError(
                        f"A mesh uses every chip of {topology} once, {math.prod(shape)} in all; "
                        f"received {mesh!r}. Change the sizes."
                    )
                for what in config.what:
                    cases.append(
                        Planned(
                            what=what,
                            preset=name,
                            unet=unet,
                            topology=topology,
                            mesh=",".join(f"{axis}={size}" for axis, size in sizes.items()),
                            batch=config.batch,
                            per_chip=config.per_chip,
                            remat=config.remat,
                            optimizer=config.optimizer,
                            ema=config.ema,
                            side=config.side,
                            tokens=config.tokens,
                            sampler_steps=config.sampler_steps,
                            effort=config.effort,
                        )
                    )
                    cases[-1].check()
    return cases


def attempts(case: Planned, per_chip: int) -> list[Planned]:
    """Cases to compile until one fits: so many examples a chip, or the most first, then fewer."""
    if per_chip:
        return [case]
    each = case.batch // case.parallel
    sizes = [size for size in range(min(each, LARGEST), 0, -1) if each % size == 0]
    return [dataclasses.replace(case, per_chip=size) for size in sizes]


LARGEST = 128
"""Examples a chip takes at once, where it is left to the search."""


def read(path: Path) -> list[dict[str, Any]]:
    """The results that are there. The last line may be half of one, after a kill."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        write_atomic(path, "".join(lines[:-1]))
        del lines[-1]
    return [json.loads(line) for line in lines]


def plan(case: Planned, config: Config) -> dict[str, Any]:
    """Compiles a case and works out what it says."""
    chip, shape = parse_topology(case.topology)
    mesh = make_mesh(case.mesh, devices=describe_devices(case.topology))
    result: dict[str, Any] = {
        "case": case.key(),
        "chips": math.prod(shape),
        "per_chip": case.per_chip,
        "parts": case.parts,
        "limit": chip.hbm,
        "versions": {name: version(name) for name in ("jax", "libtpu")},
    }
    with compiling_for("tpu"):
        make = abstract_training if case.what == "train" else abstract_sampling
        function, args, donate, expected = make(case, mesh)
        try:
            program = compile_ahead(
                function,
                *args,
                donate=donate,
                turns=case.parts if case.what == "train" else 1,
                effort=case.effort,
                text=writer(case, config.text),
            )
        except DoesNotFit as error:
            return result | {"fits": False, "memory": error.needed, "limit": error.limit}
    model = model_flops(case) / result["chips"]
    return result | {"model_flops": model, "expected": expected} | facts(case, program, chip, model)


def facts(case: Planned, program: Program, chip: Chip, model: float) -> dict[str, Any]:
    """The numbers of a compiled program, of one chip and one update; of a sampler, one of its steps
    for one part of the batch, and the bound of all."""
    chips = math.prod(parse_topology(case.topology)[1])
    received = sum(one.received for one in program.collectives)
    if case.what == "train":
        # XLA counts the loop over parts of the batch once. What the optimiser reads and writes, the
        # state twice, is outside.
        outside = min(2.0 * program.arguments, program.traffic)
        traffic = outside + (program.traffic - outside) * case.parts
        turns, executed = 1, program.executed.total / chips
    else:
        # The loop has no length in the traced program, so that its share of padding counts.
        traffic, turns = program.traffic, case.sampler_steps * case.parts
        executed = model / turns * program.executed.total / program.flops.total
    bound = roofline(flops=executed, traffic=traffic, received=received, chip=chip)
    return {
        "fits": program.memory <= chip.hbm,
        "memory": program.memory,
        "arguments": program.arguments,
        "temporaries": program.temporaries,
        "flops": program.flops.total / chips,
        "executed_flops": executed,
        "traffic": traffic,
        "received": received,
        "collectives": summary(program.collectives),
        "bound": dataclasses.asdict(bound) | {"seconds": bound.seconds * turns, "by": bound.limit},
        "mfu": bound.utilisation(model / turns, chip),
        "compile": {
            "trace_seconds": program.trace_seconds,
            "compile_seconds": program.compile_seconds,
            "wall_seconds": program.wall_seconds,
        },
    }


def writer(case: Planned, folder: Path | None) -> Any:
    """Keeps a program's text, where a folder is given."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"{case.name()}.hlo").write_text


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except (ValueError, ImportError) as error:
        raise SystemExit(f"{error}") from None
