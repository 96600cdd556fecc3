"""Sampling: a denoiser defines a differential equation, and a sampler is a solver for it."""

from .comparison import (
    compare_samplers as compare_samplers,
    problem_of as problem_of,
    SamplerComparison as SamplerComparison,
)
from .evaluations import (
    count_evaluations as count_evaluations,
    evaluations_on as evaluations_on,
    steps_within as steps_within,
)
from .inpaint import Inpainted as Inpainted
from .inversion import invert as invert
from .likelihood import bits_per_dimension as bits_per_dimension, log_likelihood as log_likelihood
from .randomness import example_noise as example_noise, slerp as slerp
from .restart import Restart as Restart, sample_with_restarts as sample_with_restarts
from .sampling import sample as sample, sample_from as sample_from, tail as tail
from .solve import (
    default_time as default_time,
    levy_area as levy_area,
    needs_key as needs_key,
    solve as solve,
)
from .solver_names import check_solvers as check_solvers, SolverName as SolverName
from .solvers import (
    AbstractFlowSolver as AbstractFlowSolver,
    AbstractNoisySolver as AbstractNoisySolver,
    Ancestral as Ancestral,
    ChurnedHeun as ChurnedHeun,
    Consistency as Consistency,
    DDIM as DDIM,
    DEIS as DEIS,
    DPM2 as DPM2,
    DPMpp2M as DPMpp2M,
    DPMpp2S as DPMpp2S,
    DPMpp3M as DPMpp3M,
    DPMppSDE as DPMppSDE,
    FlowHeun as FlowHeun,
    Heun as Heun,
    LMS as LMS,
    make_solver as make_solver,
    PLMS as PLMS,
    SDEDPMpp2M as SDEDPMpp2M,
    SDEDPMpp3M as SDEDPMpp3M,
    SOLVERS as SOLVERS,
    TCD as TCD,
    UniPC as UniPC,
)
from .step_grid import StepGrid as StepGrid
from .terms import (
    Denoiser as Denoiser,
    DenoisingTerm as DenoisingTerm,
    probability_flow as probability_flow,
    reverse_sde as reverse_sde,
    StepNoise as StepNoise,
)
from .tiles import TiledDenoiser as TiledDenoiser
from .time_variable import HalfLogSNR as HalfLogSNR, Level as Level, TimeVariable as TimeVariable
from .trajectories import Trajectory as Trajectory, trajectory as trajectory
