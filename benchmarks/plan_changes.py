"""The effect of each part of the TPU's training step: the same step compiled without it.

    pip install -e ".[tpu]"
    python benchmarks/plan_changes.py                       # 39M, a v5e of 4x4, 8 examples a chip
    python benchmarks/plan_changes.py --changes unchanged remat-blocks

The step is compiled ahead of time by `equildm.plan` for a slice that is not there; nothing runs.
Results are lines of `--out`, and what that file holds is not compiled again.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast, get_args, Literal
from unittest import mock

import jax
import tyro
from jaxtyping import PyTree

from equildm.plan import (
    append_result,
    Effort,
    parse_topology,
    plan_case,
    plan_on_this_host,
    PlanConfig,
    PlanResult,
    read_results,
)
from equildm.training import Remat

Change = Literal[
    "unchanged",
    "plain-attention",
    "keep-gathered-weights",
    "gspmd",
    "separate-traces",
    "remat-blocks",
    "remat-dots",
]
"""The step unchanged, or with one change:

- `plain-attention`: blocks of queries (`nn.attend`) instead of the Pallas kernel.
- `keep-gathered-weights`: gathered weights stay in memory until the backward pass.
- `gspmd`: GSPMD places every collective, from the state's shardings.
- `separate-traces`: blocks of equal shapes do not share their trace.
- `remat-blocks`, `remat-dots`: with a policy of rematerialisation.
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """The step and its changes."""

    preset: str = "39M"
    """Size of the UNet."""
    topology: str = "v5e:4x4"
    """The slice; all of it on fsdp."""
    per_chip: int = 8
    """Examples that a chip takes, in one part."""
    effort: Effort = "O0"
    """Optimisation level of the compiler."""
    changes: tuple[Change, ...] = get_args(Change)
    """Which ones, in this order."""
    out: Path = Path("runs/plan_changes.jsonl")
    """File for the results."""


@contextlib.contextmanager
def applied(change: Change) -> Iterator[None]:
    """What is traced inside has the change."""

    def everywhere(
        function: Callable[..., PyTree], constants: PyTree, network: PyTree, *examples: PyTree
    ) -> PyTree:
        return jax.vmap(lambda *example: function(constants, network, *example))(*examples)

    patches: dict[str, tuple[str, Callable[..., object]]] = {
        "plain-attention": ("equildm.nn.kernels._kernel", lambda *_: None),
        "keep-gathered-weights": ("equildm.training.remat.gathers", lambda _: False),
        "gspmd": ("equildm.training.objectives.denoising.sharded_vmap", everywhere),
        "separate-traces": ("equildm.denoise.blocks._once", lambda block, *xs: block(*xs)),
    }
    if change not in patches:
        yield
        return
    with mock.patch(*patches[change]):
        yield


def main(config: Config) -> None:
    """Compiles the step with each change."""
    plan_on_this_host()
    chips = math.prod(parse_topology(config.topology)[1])
    for change in config.changes:
        remat = change.removeprefix("remat-") if change.startswith("remat-") else "none"
        plan = PlanConfig(
            presets=(config.preset,),
            topologies=(config.topology,),
            batch_size=config.per_chip * chips,
            per_chip=config.per_chip,
            remat=cast(Remat, remat),
            effort=config.effort,
        )
        (case,) = plan.cases()
        key = {"change": change, **case.key()}
        saved = read_results(config.out)
        result = next((result for result in saved if result["case"] == key), None)
        if result is None:
            jax.clear_caches()  # the traces of blocks would hold the step without the change
            with applied(change):
                result = plan_case(case)
            result["case"] = key
            append_result(config.out, result)
        print(table_row(change, result), flush=True)


def table_row(change: Change, result: PlanResult) -> str:
    """A line of the table, in Markdown."""
    cells = [change, f"{result['memory'] / 2**30:.2f}"]
    if "collectives" not in result:
        return "| " + " | ".join([*cells, "does not fit"]) + " |"
    kinds = dict(result["collectives"])
    gathers = kinds.pop("all-gather", None)
    reduces = sum(kind["instructions"] for kind in kinds.values())
    cells += [
        f"{result['temporaries'] / 2**30:.2f}",
        f"{gathers['instructions']:,}, {gathers['bytes'] / 1e9:.2f} GB" if gathers else "0",
        f"{reduces:,}",
        f"{result['traffic'] / 1e9:.0f}",
        f"{result['compile']['trace_seconds']:.0f} + {result['compile']['compile_seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
