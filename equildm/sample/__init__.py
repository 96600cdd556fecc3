"""Noise to latent: a denoiser as a differential equation, samplers as its solvers."""

from .along import StepAlong as StepAlong
from .encoding import encode as encode
from .inpaint import Inpainted as Inpainted
from .likelihood import bits_per_dimension as bits_per_dimension, log_likelihood as log_likelihood
from .randomness import example_noise as example_noise, slerp as slerp
from .recolour import recoloured as recoloured
from .sampling import (
    default_time as default_time,
    levy_area as levy_area,
    needs_key as needs_key,
    sample as sample,
    sample_from as sample_from,
    solve as solve,
    tail as tail,
)
from .solvers import (
    AbstractFlowSolver as AbstractFlowSolver,
    AbstractNoisySolver as AbstractNoisySolver,
    Ancestral as Ancestral,
    ChurnedHeun as ChurnedHeun,
    Consistency as Consistency,
    DDIM as DDIM,
    DPMpp2M as DPMpp2M,
    DPMpp2S as DPMpp2S,
    DPMpp3M as DPMpp3M,
    Heun as Heun,
    SDEDPMpp2M as SDEDPMpp2M,
    SOLVERS as SOLVERS,
    UniPC as UniPC,
)
from .terms import (
    DenoisingTerm as DenoisingTerm,
    probability_flow as probability_flow,
    reverse_sde as reverse_sde,
    StepNoise as StepNoise,
)
from .text_to_image import TextToImage as TextToImage
from .tiles import TiledDenoiser as TiledDenoiser
from .trajectories import Trajectory as Trajectory, trajectory as trajectory
from .upscale import Upscaler as Upscaler
from .variable import AbstractTime as AbstractTime, HalfLogSNR as HalfLogSNR, Level as Level
