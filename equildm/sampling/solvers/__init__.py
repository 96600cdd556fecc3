"""Samplers as diffrax solvers, and by name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import diffrax

from ...noise import AbstractSchedule
from ...runtime.python_path import load_object
from .ancestral import Ancestral as Ancestral
from .base import (
    AbstractFlowSolver as AbstractFlowSolver,
    AbstractNoisySolver as AbstractNoisySolver,
)
from .consistency import Consistency as Consistency
from .ddim import DDIM as DDIM
from .deis import DEIS as DEIS
from .dpm_2 import DPM2 as DPM2
from .dpm_2m import DPMpp2M as DPMpp2M, SDEDPMpp2M as SDEDPMpp2M
from .dpm_2s import DPMpp2S as DPMpp2S
from .dpm_3m import DPMpp3M as DPMpp3M, SDEDPMpp3M as SDEDPMpp3M
from .dpm_sde import DPMppSDE as DPMppSDE
from .flow_heun import FlowHeun as FlowHeun
from .heun import ChurnedHeun as ChurnedHeun, Heun as Heun
from .lms import LMS as LMS
from .plms import PLMS as PLMS
from .tcd import TCD as TCD
from .unipc import UniPC as UniPC

Solver: TypeAlias = str | diffrax.AbstractSolver
"""A name in `SOLVERS`, the Python path of a solver of your own (`my_solver.py:MySolver`), or any
solver of this library's or diffrax's."""

SOLVERS: Mapping[str, Callable[[], diffrax.AbstractSolver]] = {
    "ddim": DDIM,
    "ddpm": Ancestral,
    "euler": diffrax.Euler,
    "euler-ancestral": Ancestral,
    "dpm++1": DDIM,
    "dpm++2m": DPMpp2M,
    "dpm++2s": DPMpp2S,
    "dpm++2s-ancestral": partial(Ancestral, solver=DPMpp2S()),
    "dpm++3m": DPMpp3M,
    "dpm++sde": DPMppSDE,
    "sde-dpm++2m": SDEDPMpp2M,
    "sde-dpm++3m": SDEDPMpp3M,
    "dpm2": DPM2,
    "dpm2-ancestral": partial(Ancestral, solver=DPM2()),
    "deis2": partial(DEIS, max_order=2),
    "deis3": DEIS,
    "heun": Heun,
    "flow-heun": FlowHeun,
    "heun-churned": ChurnedHeun,
    "lms": LMS,
    "plms": PLMS,
    "tcd": TCD,
    "unipc1": partial(UniPC, max_order=1),
    "unipc2": UniPC,
    "unipc3": partial(UniPC, max_order=3),
    "consistency": Consistency,
    "consistency-deterministic": DDIM,
    "tsit5": diffrax.Tsit5,
    "dopri5": diffrax.Dopri5,
    "sra1": diffrax.SRA1,
    "shark": diffrax.ShARK,
}
"""Name to constructor, for command lines. Some samplers have several names."""


def make_solver(solver: Solver, schedule: AbstractSchedule | None = None) -> diffrax.AbstractSolver:
    """The solver of that name in `SOLVERS`, with default options. A solver is returned unchanged.

    **Arguments:**

    - `solver`: a name, a Python path, or a solver.
    - `schedule`: of the model, whose times `tcd` splits; by default Stable Diffusion's.

    **Raises** `ValueError` for an unknown name, for a path where no solver is, and for a class.
    """
    if not isinstance(solver, str):
        if not isinstance(solver, diffrax.AbstractSolver):
            raise ValueError(f"A solver is an object such as DDIM(), received {solver!r}.")
        return solver
    if ":" in solver:
        own: diffrax.AbstractSolver = load_object(solver, diffrax.AbstractSolver)
        return own
    if solver not in SOLVERS:
        raise ValueError(f"A solver is one of {', '.join(SOLVERS)}; received {solver!r}.")
    return TCD(schedule) if solver == "tcd" else SOLVERS[solver]()
