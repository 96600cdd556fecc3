"""Grids: the noise levels that a sampler steps through.

A grid is a float64 numpy array of strictly decreasing levels `s_0 > s_1 > .. > s_N`: N steps. It
ends at `final`, by default 0 (clean). Pass a grid to a compiled sampler as an argument. `pad` gives
grids of different numbers of steps one shape, so that they share a compilation.

`leading`, `trailing` and `linspace` are the spacings of the public schedulers (Lin et al. 2023,
table 2). Those differ in whether time 0 belongs to the grid, hence `endpoint`: true as in the
public DDIM, DDPM and Euler schedulers, false as in the multistep ones (DPM-Solver++, UniPC), where
the final level takes the place of time 0.
"""

from .by_level import (
    ALIGN_YOUR_STEPS as ALIGN_YOUR_STEPS,
    ALIGN_YOUR_STEPS_VIDEO as ALIGN_YOUR_STEPS_VIDEO,
    ALIGN_YOUR_STEPS_XL as ALIGN_YOUR_STEPS_XL,
    between as between,
    exponential as exponential,
    FAR as FAR,
    karras as karras,
    polyexponential as polyexponential,
    table as table,
    uniform_lambda as uniform_lambda,
)
from .by_time import (
    beta as beta,
    leading as leading,
    linspace as linspace,
    shifted as shifted,
    trailing as trailing,
)
from .check import check_levels as check_levels, Levels as Levels, pad as pad
