"""What `plan_tpu.py` compiles: the training step and the sampler on arrays that are not there."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import choices
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh
from training import OPTIMIZERS

from equildm import TextEmbedding
from equildm.data import LatentBatch
from equildm.denoise import Guided, Preconditioned, UNetConfig
from equildm.noise import grids, MinSNR, ScaledLinear, UniformTimes, Velocity
from equildm.runtime import (
    abstract,
    batch_sharding,
    check_batch,
    count_flops,
    parse_mesh,
    Policy,
    replicated,
)
from equildm.runtime._leaves import named
from equildm.runtime.ahead import Effort
from equildm.runtime.inside import on_mesh, over_examples
from equildm.runtime.mesh import AXES
from equildm.runtime.sharding import partition
from equildm.sample import DPMpp2M, sample
from equildm.train import (
    LatentDiffusion,
    learning_rate,
    make_step,
    rematerialise,
    TrainState,
)

Abstract = tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...], dict[str, Any]]
"""A function, its arguments, which of them it may overwrite, and what `_expected` says."""


@dataclasses.dataclass(frozen=True)
class Planned:
    """One case. Equal cases make equal programs."""

    what: Literal["train", "sample"]
    preset: str
    unet: UNetConfig
    topology: str
    mesh: str
    batch: int
    per_chip: int
    remat: Literal["none", "blocks", "dots"]
    optimizer: str
    ema: str
    side: int
    tokens: int
    sampler_steps: int
    effort: Effort

    @property
    def parallel(self) -> int:
        """Devices that the batch is split over."""
        sizes = parse_mesh(self.mesh)
        return sizes.get("data", 1) * sizes.get("fsdp", 1)

    @property
    def parts(self) -> int:
        """Slices of the batch taken one after the other."""
        return self.batch // (self.parallel * max(self.per_chip, 1))

    def check(self) -> None:
        """Refuses what cannot be compiled."""
        sides = 2 ** (len(self.unet.multipliers) - 1)
        for name, value in (("side", self.side / sides), ("tokens", self.tokens),
                            ("sampler-steps", self.sampler_steps)):  # fmt: skip
            if value < 1 or value != int(value):
                raise ValueError(
                    f"--{name} is positive, and a latent's side a multiple of {sides}; received "
                    f"{getattr(self, name.replace('-', '_'))}."
                )
        if self.per_chip < 0:
            raise ValueError(
                f"--per-chip is a number of examples, or 0 to search; received {self.per_chip}."
            )
        sizes = parse_mesh(self.mesh)
        mesh = AbstractMesh(tuple(sizes.get(axis, 1) for axis in AXES), AXES)
        check_batch(self.batch, mesh)
        if self.per_chip and self.batch % (self.parallel * self.per_chip):
            each = self.batch // self.parallel
            raise ValueError(
                f"A batch of {self.batch} over {self.parallel} chips is {each} a chip, which must "
                f"be a multiple of --per-chip, received {self.per_chip}."
            )

    def key(self) -> dict[str, Any]:
        """The case in words that JSON holds."""
        words = {**dataclasses.asdict(self), "context_width": self.unet.context_width}
        del words["unet"]
        return words

    def name(self) -> str:
        """For a file."""
        return "_".join(
            str(value).replace(":", "-").replace(",", "-")
            for name, value in self.key().items()
            if name in ("what", "preset", "topology", "mesh", "per_chip", "remat", "optimizer")
        )

    def title(self) -> str:
        """For a line that is read."""
        return (
            f"{self.preset} {self.what}, {self.topology}, {self.mesh}, {self.per_chip} a chip x "
            f"{self.parts}, remat {self.remat}, {self.optimizer}"
        )


def abstract_training(case: Planned, mesh: Mesh) -> Abstract:
    """The step of `pretrain.py`: bfloat16, clipped AdamW, averages, accumulation."""
    optimizer = OPTIMIZERS[case.optimizer](learning_rate(1e-4, warmup=10_000))
    ema = choices.EMAS[case.ema]
    objective = LatentDiffusion(
        ScaledLinear(),
        Velocity(),
        MinSNR(),
        UniformTimes(),
        null_text=_text(case, ()),
        policy=Policy("bfloat16"),
        remat=case.remat,
    )
    network = _network(case)
    state = eqx.filter_eval_shape(
        lambda network: TrainState.create(network, optimizer, ema), network
    )
    state, state_static = eqx.partition(state, _is_shape)
    objective, objective_static = eqx.partition(objective, _is_shape)
    placed = abstract(state, mesh)
    places = jax.tree.map(lambda leaf: leaf.sharding, placed)
    batch = LatentBatch(_latents(case), _text(case, (case.batch,)))  # type: ignore[arg-type]

    def step(objective: Any, state: Any, batch: Any) -> Any:
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

    args = (_on(objective, replicated(mesh)), placed, _on(batch, batch_sharding(mesh)))
    return step, args, (1,), _expected(case, network, mesh)


def abstract_sampling(case: Planned, mesh: Mesh) -> Abstract:
    """The sampler of `sample.py` up to the decoder: guided, DPM-Solver++(2M), bfloat16."""
    case = dataclasses.replace(case, batch=case.parallel * case.per_chip)  # one part of it
    network = _network(case)
    arrays, static = eqx.partition(network, _is_shape)
    levels = grids.trailing(ScaledLinear(), case.sampler_steps)

    def one(null: Any, network: Any, noise: Any, text: Any) -> Any:
        denoiser = Preconditioned(network, ScaledLinear(), Velocity(), compute="bfloat16")
        guided = Guided(denoiser, 7.5)
        return sample(guided, noise, levels, DPMpp2M(), condition=(text, null))

    def sampler(arrays: Any, null: Any, noise: Any, text: Any) -> Any:
        with on_mesh(mesh):
            network = rematerialise(eqx.combine(arrays, static), "none")
            return over_examples(one, null, network, noise, text)

    batch = (_latents(case), _text(case, (case.batch,)))
    args = (
        abstract(arrays, mesh),
        _on(_text(case, ()), replicated(mesh)),
        *_on(batch, batch_sharding(mesh)),
    )
    return sampler, args, (), _expected(case, network, mesh)


def model_flops(case: Planned) -> float:
    """Operations that the model asks for in a step: three forward passes an example, or for a
    guided sampler two a step."""
    network = _network(case)
    latent = jax.ShapeDtypeStruct(_latents(case).shape[1:], jnp.float32)
    time = jax.ShapeDtypeStruct((), jnp.float32)
    call = lambda network, *inputs: network(*inputs)
    forward = count_flops(call, network, latent, time, _text(case, ())).total
    passes = 3 if case.what == "train" else 2 * case.sampler_steps
    return float(passes * forward * case.batch)


def _expected(case: Planned, network: Any, mesh: Mesh) -> dict[str, Any]:
    """What sharded data parallelism sends in a step: every kernel in shards over `fsdp` is gathered
    in bfloat16, for training forward and backward, and its gradient scattered in bfloat16; a
    gradient of what is not in shards is summed over `data` and `fsdp`, one of what is over `data`,
    in float32; all that for each part of the batch. Counts are kernels, bytes are of whole ones,
    or of the halves that `tensor` makes. What `tensor` sends of activations is not counted.

    Captions have no gradient, so that what reads them is not gathered backwards, unless blocks are
    computed again; the time's embedding stands outside of the blocks, is float32, and is kept.
    """
    sizes = mesh.shape
    rules = {
        path: (math.prod(leaf.shape), partition(path, leaf.shape, sizes))
        for path, leaf in named(network).items()
        if _is_shape(leaf)
    }
    local = {
        path: size // (sizes["tensor"] if "tensor" in spec else 1)
        for path, (size, spec) in rules.items()
    }
    split = {
        path: local[path] * (4 if path.startswith(".time.") else 2)
        for path, (_, spec) in rules.items()
        if "fsdp" in spec
    }
    captions = (".cross_attention.to_key.", ".cross_attention.to_value.")
    inside = [
        size
        for path, size in split.items()
        if not path.startswith(".time.")
        and (case.remat == "blocks" or not any(name in path for name in captions))
    ]
    summed = [
        4 * (size // sizes["fsdp"] if path in split else size)
        for path, size in local.items()
        if sizes["data"] * (1 if path in split else sizes["fsdp"]) > 1
    ]

    def sent(sizes: list[int]) -> dict[str, float]:
        return {"count": len(sizes), "bytes": float(sum(sizes) * case.parts)}

    if case.what == "sample":
        return {"all-gather": sent([*split.values()])}
    return {
        "all-gather": sent([*split.values(), *inside]),
        "reduce-scatter": sent([*split.values()]),
        "all-reduce": sent(summed),
    }


def _network(case: Planned) -> Any:
    return eqx.filter_eval_shape(case.unet.build, key=jax.random.key(0))


def _latents(case: Planned) -> jax.ShapeDtypeStruct:
    shape = (case.batch, case.side, case.side, case.unet.in_channels)
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _text(case: Planned, batch: tuple[int, ...]) -> TextEmbedding:
    shape = (*batch, case.tokens)
    return TextEmbedding(
        jax.ShapeDtypeStruct((*shape, case.unet.context_width), jnp.float32),  # type: ignore[arg-type]
        jax.ShapeDtypeStruct(shape, jnp.bool_),  # type: ignore[arg-type]
    )


def _on(tree: Any, sharding: Any) -> Any:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding) if _is_shape(x) else x,
        tree,
    )


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)
