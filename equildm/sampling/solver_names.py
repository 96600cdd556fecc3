"""The names of the solvers, which a command line shows without loading them."""

from typing import get_args, Literal

SolverName = Literal[
    "ddim",
    "ddpm",
    "euler",
    "euler-ancestral",
    "dpm++1",
    "dpm++2m",
    "dpm++2s",
    "dpm++2s-ancestral",
    "dpm++3m",
    "dpm++sde",
    "sde-dpm++2m",
    "sde-dpm++3m",
    "dpm2",
    "dpm2-ancestral",
    "deis2",
    "deis3",
    "heun",
    "flow-heun",
    "heun-churned",
    "lms",
    "plms",
    "tcd",
    "unipc1",
    "unipc2",
    "unipc3",
    "consistency",
    "consistency-deterministic",
    "tsit5",
    "dopri5",
    "sra1",
    "shark",
]


def check_solvers(*solvers: str | None, option: str = "solver") -> None:
    """**Raises** `ValueError` for a solver of no such name that is no Python path either."""
    names = get_args(SolverName)
    for solver in solvers:
        if solver is not None and solver not in names and ":" not in solver:
            raise ValueError(
                f"--{option} is one of {', '.join(names)}; received {solver!r}. One of your own is "
                "named by its file, such as my_solver.py:MySolver."
            )
