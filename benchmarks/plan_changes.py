"""What each part of the TPU's training step is worth: the same step compiled without it.

    pip install "equildm[tpu]"
    python benchmarks/plan_changes.py                       # 39M, a v5e of 4x4, 8 examples a chip
    python benchmarks/plan_changes.py --changes as-it-is remat-blocks

Compiled ahead of time by `recipes/plan_tpu.py`'s means for a slice that is not there; nothing
runs. Results are lines of `--out`, and what that file holds is not compiled again.
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, Literal
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipes"))

import jax
import tyro
from plan_tpu import Config as Plan, plan, planned, read

from equildm.runtime.topology import plan_on_this_host

Change = Literal[
    "as-it-is",
    "attention-of-any-device",
    "weights-kept",
    "split-by-the-compiler",
    "blocks-traced-alone",
    "remat-blocks",
    "remat-dots",
]
"""The step as it is, or without one thing:

- `attention-of-any-device`: blocks of queries (`nn.attend`) in place of the Pallas kernel.
- `weights-kept`: gathered weights stay until the backward pass.
- `split-by-the-compiler`: GSPMD places every collective, from the state's shardings.
- `blocks-traced-alone`: equal blocks do not share their trace.
- `remat-blocks`, `remat-dots`: as it is, with a policy of rematerialisation.
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compiled."""

    preset: str = "39M"
    """Size of the UNet."""
    topology: str = "v5e:4x4"
    """The slice; all of it on fsdp."""
    per_chip: int = 8
    """Examples a chip takes, in one part."""
    effort: Literal["O0", "O1", "O2"] = "O0"
    """Of the compiler."""
    changes: tuple[Change, ...] = get_args(Change)
    """In this order."""
    out: Path = Path("runs/plan_changes.jsonl")
    """Where results go."""


@contextlib.contextmanager
def undone(change: Change) -> Iterator[None]:
    """Without that part."""

    def everywhere(function: Any, constants: Any, network: Any, *examples: Any) -> Any:
        return jax.vmap(lambda *example: function(constants, network, *example))(*examples)

    patches: dict[str, tuple[str, Any]] = {
        "attention-of-any-device": ("equildm.nn.kernels._kernel", lambda *_: None),
        "weights-kept": ("equildm.train.remat.gathers", lambda _: False),
        "split-by-the-compiler": ("equildm.train.objective.over_examples", everywhere),
        "blocks-traced-alone": ("equildm.denoise.unet._once", lambda block, *xs: block(*xs)),
    }
    if change not in patches:
        yield
        return
    with mock.patch(*patches[change]):
        yield


def main(c: Config) -> None:
    """Compiles the step with each change."""
    plan_on_this_host()
    c.out.parent.mkdir(parents=True, exist_ok=True)
    chips = 1
    for side in c.topology.partition(":")[2].split("x"):
        chips *= int(side)
    for change in c.changes:
        remat: Any = change.removeprefix("remat-") if change.startswith("remat-") else "none"
        config = Plan(
            presets=(c.preset,),
            topologies=(c.topology,),
            batch=c.per_chip * chips,
            per_chip=c.per_chip,
            remat=remat,
            effort=c.effort,
        )
        (case,) = planned(config)
        key = {"change": change, **case.key()}
        result = next((line for line in read(c.out) if line["case"] == key), None)
        if result is None:
            jax.clear_caches()  # traces of blocks hold what they were made of
            with undone(change):
                result = plan(case, config) | {"case": key}
            with c.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
        print(described(result), flush=True)


def described(result: dict[str, Any]) -> str:
    """A line of the table."""
    cells = [result["case"]["change"], f"{result['memory'] / 2**30:.2f}"]
    if not result["fits"] and "collectives" not in result:
        return "| " + " | ".join([*cells, "does not fit"]) + " |"
    found = result["collectives"]
    gathers = found.get("all-gather", {"instructions": 0, "bytes": 0.0})
    reduces = sum(one["instructions"] for kind, one in found.items() if kind != "all-gather")
    cells += [
        f"{result['temporaries'] / 2**30:.2f}",
        f"{gathers['instructions']:,}, {gathers['bytes'] / 1e9:.2f} GB",
        f"{reduces:,}",
        f"{result['traffic'] / 1e9:.0f}",
        f"{result['compile']['trace_seconds']:.0f} + {result['compile']['compile_seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
