"""Prints the paper's table 1 beside this library's family.

Parameters and operations are counted on abstract shapes: no weight is allocated, and the 5B row
takes seconds. `--xla` also compiles each forward pass and prints XLA's own count.

    python recipes/table1.py
    python recipes/table1.py --xla --sizes 39M 83M
"""

import dataclasses
import math

from rich.console import Console
from rich.table import Table

import equildm as eqd

PAPER = {model.size: (model.gflops, model.cost) for model in eqd.study.TABLE_1}
"""GFLOPs and normalised cost as the paper prints them. Its 25.3 contradicts its 0.07."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Prints the paper's table 1 beside this library's family."""

    sizes: tuple[str, ...] = tuple(eqd.SIZES)
    """Rows of the table: quick, tiny, mini, small, 39M .. 5B, or a UNet's widths."""
    backbone: eqd.BackboneName = "unet"
    """Kind of the network; the paper's are UNets."""
    side: int = 64
    """Side of the latent."""
    tokens: int = 77
    """Tokens of the caption."""
    context_width: int = 1024
    """Width of a token."""
    xla: bool = False
    """Also compile each forward pass (half a minute and more a row) and print XLA's count."""


COLUMNS = ("size", "c", "params (M)", "GFLOPs", "unpadded", "cost", "paper GFLOPs", "paper cost")
XLA_COLUMNS = ("XLA GFLOPs", "as XLA counts", "ratio")
NOTE = """\
GFLOPs: 2 x multiply-accumulates of one evaluation. Unpadded: without the taps of
convolutions that fall on padding. Cost: over the 866M model's. XLA leaves those taps
out, counts the loop over attention's blocks of queries once, and adds elementwise
operations; "as XLA counts" is our count by these rules.
The paper's 25.3 for 39M does not fit its own cost of 0.07 (0.07 x 789.3 = 55)."""


def main(config: Config) -> None:
    if config.xla:
        eqd.enable_compile_cache()
    table = Table(title=f"{config.side}x{config.side}x4 latents, {config.tokens} tokens")
    for column in (*COLUMNS, *(XLA_COLUMNS if config.xla else ())):
        table.add_column(column, justify="right")
    call = lambda network, *inputs: network(*inputs)

    baseline = eqd.count_flops(call, *evaluation(config, "866M", "unet")).total
    for size in config.sizes:
        network, *inputs = evaluation(config, size, config.backbone)
        total = eqd.count_flops(call, network, *inputs).total
        unpadded = eqd.count_flops(call, network, *inputs, padded_taps=False).total
        gflops, cost = PAPER.get(size if config.backbone == "unet" else "", (math.nan, math.nan))
        row = [
            size,
            str(eqd.BACKBONES[config.backbone](size).width),
            f"{eqd.count_parameters(network) / 1e6:.2f}",
            f"{total / 1e9:.1f}",
            f"{unpadded / 1e9:.1f}",
            f"{total / baseline:.3f}",
            f"{gflops:.1f}",
            f"{cost:.2f}",
        ]
        if config.xla:
            xla = eqd.xla_flops(call, network, *inputs)
            counted = eqd.count_flops(call, network, *inputs, padded_taps=False, loops_once=True)
            ours = counted.total + counted.elementwise
            row += [f"{xla / 1e9:.1f}", f"{ours / 1e9:.1f}", f"{xla / ours:.3f}"]
        table.add_row(*row)
    console = Console(width=110)
    console.print(table)
    console.print(NOTE)


def evaluation(config: Config, size: str, backbone: eqd.BackboneName) -> tuple:
    """The shapes of a network and of its inputs."""
    sizes = eqd.BACKBONES[backbone](size, context_width=config.context_width)
    return (eqd.network_shapes(sizes), *eqd.input_shapes(sizes, config.side, config.tokens))


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
