"""The programs of a plan: the training step and the sampler, on shapes instead of arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jaxtyping import Array, PyTree

from .._types import Condition, Metrics, Network
from ..data import LatentBatch
from ..denoise import convert_weights, Guided, input_shapes, network_shapes, Preconditioned
from ..noise import grids, LogitNormalTimes, SquaredCosine, Uniform, Velocity
from ..runtime import abstract, batch_sharding, count_flops, Policy, replicated
from ..runtime.fsdp import on_mesh, sharded_vmap
from ..sampling import DPMpp2M, sample
from ..training import (
    DenoisingObjective,
    EMAS,
    make_step,
    OptimizerConfig,
    rematerialise,
    TrainState,
)
from .case import PlanCase


class AbstractProgram(NamedTuple):
    """A function and the shapes that it is compiled for.

    **Fields:**

    - `function`: from arrays to arrays.
    - `args`: its arguments as `jax.ShapeDtypeStruct`s with shardings.
    - `donate`: numbers of the arguments whose buffers are donated to the results.
    """

    function: Callable[..., PyTree]
    args: tuple[PyTree, ...]
    donate: tuple[int, ...]


def abstract_program(
    case: PlanCase, mesh: Mesh | AbstractMesh, *, unrolled: bool = False
) -> AbstractProgram:
    """The program of a case, as a run has it.

    **Arguments:**

    - `case`: the program, the model and the batch.
    - `mesh`: arranges the devices of the slice.
    - `unrolled`: writes the blocks of a transformer out, see `PlanCase.unrolled`.
    """
    network = network_shapes(case.unrolled if unrolled else case.network)
    program = _training if case.program == "train" else _sampling
    return program(case, mesh, network)


def model_flops(case: PlanCase) -> float:
    """Operations that the model requires for the batch: three forward passes an example to train,
    two an example and step to sample with guidance. Nothing computed again or padded counts."""
    call = lambda network, *inputs: network(*inputs)
    inputs = input_shapes(case.network, case.side, case.tokens)
    forward = count_flops(call, network_shapes(case.network), *inputs).total
    passes = 3 if case.program == "train" else 2 * case.sampling_steps
    return float(passes * forward * case.batch_size)


def _training(case: PlanCase, mesh: Mesh | AbstractMesh, network: Network) -> AbstractProgram:
    """The step of `pretrain.py`: batches in float16, arithmetic in bfloat16, clipping, averages."""
    optimizer = OptimizerConfig(case.optimizer).build(steps=1)
    ema = EMAS[case.ema]
    latents, text, null_text = _inputs(case)
    objective = DenoisingObjective(
        SquaredCosine(),
        Velocity(),
        Uniform(),
        LogitNormalTimes(),
        null_text=null_text,
        policy=Policy("bfloat16"),
        remat=case.remat,
    )
    state = eqx.filter_eval_shape(
        lambda network: TrainState.create(network, optimizer, ema), network
    )
    state, state_static = eqx.partition(state, _is_shape)
    objective, objective_static = eqx.partition(objective, _is_shape)
    state = abstract(state, mesh)
    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    batch = _stored(eqx.filter_eval_shape(LatentBatch, latents, text))

    def step(objective: PyTree, state: PyTree, batch: LatentBatch) -> tuple[PyTree, Metrics]:
        update = make_step(
            eqx.combine(objective, objective_static),
            optimizer,
            ema,
            key=jax.random.key(0),
            parts=case.parts,
            shardings=places,
        )
        state, metrics = update(eqx.combine(state, state_static), batch)
        return eqx.filter(state, eqx.is_array), metrics

    args = (_placed(objective, replicated(mesh)), state, _placed(batch, batch_sharding(mesh)))
    return AbstractProgram(step, args, donate=(1,))


def _sampling(case: PlanCase, mesh: Mesh | AbstractMesh, network: Network) -> AbstractProgram:
    """The sampler of `sample.py` up to the decoder, for one part of the batch: guided,
    DPM-Solver++(2M), bfloat16."""
    shapes, static = eqx.partition(network, _is_shape)
    latents, text, null_text = _inputs(case)
    levels = grids.trailing(SquaredCosine(), case.sampling_steps)

    def example(null_text: Condition, network: Network, noise: Array, text: Condition) -> Array:
        denoiser = Preconditioned(network, SquaredCosine(), Velocity(), compute="bfloat16")
        denoiser = convert_weights(denoiser)
        guided = Guided(denoiser, 7.5)
        return sample(guided, noise, levels, DPMpp2M(), condition=(text, null_text))

    def sampler(network: PyTree, null_text: Condition, noise: Array, text: Condition) -> Array:
        with on_mesh(mesh):
            blocks = rematerialise(eqx.combine(network, static), "none")
            return sharded_vmap(example, null_text, blocks, noise, text)

    args = (
        abstract(shapes, mesh),
        _placed(null_text, replicated(mesh)),
        *_placed((latents, text), batch_sharding(mesh)),
    )
    return AbstractProgram(sampler, args, donate=())


def _inputs(case: PlanCase) -> tuple[PyTree, PyTree, PyTree]:
    """Shapes of the program's latents, of their captions and of the empty caption."""
    batch = (case.program_batch_size,)
    latents, _, text = input_shapes(case.network, case.side, case.tokens, batch)
    return latents, text, input_shapes(case.network, case.side, case.tokens)[2]


def _stored(batch: PyTree) -> PyTree:
    """As the cache stores a batch, which the step converts."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float16) if x.dtype == jnp.float32 else x, batch
    )


def _placed(tree: PyTree, sharding: NamedSharding) -> PyTree:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding) if _is_shape(x) else x,
        tree,
    )


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)
