"""A training step or a sampler compiled for an H100 that is not here: its kernels by kind.

    pip install "jax[cuda12]"
    export XLA_FLAGS="--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false
        --xla_gpu_experimental_enable_tiling_propagation=false"  # on one line
    python benchmarks/gpu/ahead.py --preset 866M --batch-size 16
    python benchmarks/gpu/ahead.py --preset 866M --program sample --batch-size 1

Nothing runs, so that no kernel is chosen by timing. The program is that of a plan
(`equildm.plan.abstract_program`), in bfloat16, on one device. A kernel's bytes are those of its
operands and results: each is taken to read and write all of them once, of an operand that it slices
the slices. Its least time is these bytes at the memory's rate; for convolutions, products and
attention together, at least their operations at the peak. Kernels run one after the other, so that
the sum is a bound of the program: a step, or all 50 steps of a sampler. It is one for arrays that
do not stay in the cache between two kernels, as small ones can.
"""

import collections
import dataclasses
import re
import sys
from pathlib import Path
from typing import Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import tyro
from jax._src.cudnn import fused_attention_stablehlo
from jax.experimental import topologies

from benchmarks.gpu.profile_step import kind_of
from equildm.plan import abstract_program, compile_ahead, model_flops, PlanCase
from equildm.plan.hlo_text import bytes_of, computations, fusions, times_of
from equildm.runtime import make_mesh, peak_flops
from equildm.runtime.platform import compiling_for

H100 = """gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
} platform_name: "CUDA" dnn_version_info { major: 9 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3" """
PEAK = peak_flops("NVIDIA H100 80GB HBM3") or float("nan")
"""Operations a second, as the vendor gives them."""
BANDWIDTH = 3.352e12
"""Bytes a second."""
PRODUCTS = ("convolution", "matrix product", "attention")
"""Kinds whose work is in the matrix units."""
FREE = (
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "call",
    "conditional", "after-all", "opt-barrier", "partition-id", "iota", "copy-done", "async-done",
)  # fmt: skip
"""Instructions that are no kernels, or those of another line."""
TARGETS = {
    r"fmha": "attention",
    r"cudnn\$conv|conv": "convolution",
    r"gemm|cublas|matmul": "matrix product",
}
"""The kind of a library's call, by its target."""
SLICES = ("slice", "dynamic-slice")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (\(?.*?\)?) ([\w\-]+)\((.*)$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What is compiled."""

    preset: str = "866M"
    """Size of the network."""
    backbone: Literal["unet", "dit", "mmdit"] = "unet"
    """Kind of the network."""
    program: Literal["train", "sample"] = "train"
    """What is compiled."""
    batch_size: int = 16
    """Examples."""
    remat: Literal["none", "blocks", "dots"] = "none"
    """Activations to compute again in the backward pass."""
    text: Path | None = None
    """File for the text of the compiled program."""


class Kernel(NamedTuple):
    """An instruction that runs as a kernel."""

    kind: str
    name: str
    bytes: float
    times: int


def kernels(text: str, turns: int = 1) -> list[Kernel]:
    """The kernels of a compiled program, with the bytes of their operands and results.

    **Arguments:**

    - `text`: of the program.
    - `turns`: of a loop whose text does not state them, that of a sampler.
    """
    lines, entry = computations(text)
    times = times_of(lines, entry, turns)
    applied = set(re.findall(r"to_apply=%?([\w.\-]+)", text))
    called = set(re.findall(r" call\(.*to_apply=%?([\w.\-]+)", text))
    inside = fusions(text) | (applied - called)  # of a kernel
    instructions = []
    for name, body in lines.items():
        if name in inside or not times[name]:
            continue
        sizes = {}
        for line in body:
            match = INSTRUCTION.match(line)
            if match is None:
                continue
            result, shape, operation, rest = match.groups()
            sizes[result] = bytes_of(shape)
            if operation in FREE:
                continue
            operands = re.findall(r"%([\w.\-]+)", rest.partition("), ")[0])
            read = [sizes.get(operand, 0.0) for operand in operands]
            if operation in SLICES:
                read[0] = sizes[result]
            callee = re.search(r"calls=%?([\w.\-]+)", rest)
            if operation == "fusion" and callee:
                sliced = sliced_bytes(lines[callee.group(1)])
                read = [min(size, sliced.get(i, size)) for i, size in enumerate(read)]
            moved = sizes[result] + sum(read)
            instructions.append(Kernel(kind(operation, result, line), result, moved, times[name]))
    return instructions


def sliced_bytes(body: list[str]) -> dict[int, float]:
    """What a fusion reads of the operands of which it takes slices only, by their numbers."""
    number, read = dict[str, int](), collections.Counter[int]()
    other_uses = set[int]()
    for match in filter(None, map(INSTRUCTION.match, body)):
        result, shape, operation, rest = match.groups()
        if operation == "parameter":
            number[result] = int(rest.partition(")")[0])
            continue
        operands = re.findall(r"%([\w.\-]+)", rest)
        first, *others = [number.get(operand) for operand in operands] or [None]
        if operation == "bitcast" and first is not None:
            number[result] = first
        elif operation in SLICES and first is not None:
            read[first] += bytes_of(shape)  # type: ignore[assignment]
        else:
            others.append(first)
        other_uses |= {i for i in others if i is not None}
    return {i: float(size) for i, size in read.items() if i not in other_uses}


def kind(operation: str, name: str, line: str) -> str:
    """What a kernel does, by its instruction."""
    if operation == "custom-call":
        target = re.search(r'custom_call_target="([^"]*)"', line)
        words = target.group(1) if target else ""
        return next((k for pattern, k in TARGETS.items() if re.search(pattern, words)), words)
    if operation == "fusion" and re.search(r"__triton_(nested_)?gemm", line):
        return "matrix product"
    return kind_of(operation if operation != "fusion" else name)


def report(text: str, flops: float, model: float, memory: float, turns: int) -> None:
    """Prints the table and the bound."""
    instructions = kernels(text, turns)
    moved: collections.Counter[str] = collections.Counter()
    count: collections.Counter[str] = collections.Counter()
    for one in instructions:
        moved[one.kind] += one.bytes * one.times  # type: ignore[assignment]
        count[one.kind] += one.times
    print("| kind | kernels | GB | ms at the memory's rate |\n|---|---|---|---|")
    for name, size in moved.most_common():
        print(f"| {name} | {count[name]} | {size / 1e9:.2f} | {1e3 * size / BANDWIDTH:.2f} |")
    compute = flops / PEAK
    products = max(compute, sum(moved[name] for name in PRODUCTS) / BANDWIDTH)
    rest = sum(size for name, size in moved.items() if name not in PRODUCTS) / BANDWIDTH
    print(
        f"products: {flops / 1e12:.2f} TFLOP, at least {1e3 * products:.1f} ms; the rest at least "
        f"{1e3 * rest:.1f} ms; bound {1e3 * (products + rest):.1f} ms, MFU at most "
        f"{model / PEAK / (products + rest):.0%}; memory {memory / 2**30:.1f} GiB"
    )
    for one in sorted(instructions, key=lambda k: -k.bytes * k.times)[:25]:
        print(f"  {one.bytes * one.times / 1e9:8.3f} GB {one.times:5}x {one.kind:16} {one.name}")


def main(c: Config) -> None:
    """Compiles and prints."""
    jax.config.update("jax_platforms", "cpu")
    # JAX asks the GPU that is here how wide its heads may be; there is none.
    fused_attention_stablehlo.check_compute_capability = lambda capability: True
    case = PlanCase(
        program=c.program, preset=c.preset, context_width=1024, topology="v5e:1x1", mesh="fsdp=1",
        batch_size=c.batch_size, per_chip=c.batch_size, remat=c.remat, optimizer="adamw",
        ema="power", side=64, tokens=77, sampling_steps=50, effort="O2", backbone=c.backbone,
    )  # fmt: skip
    described = topologies.get_topology_desc(
        platform="cuda", topology_name="h100", topology="1x1x1", target_config=H100
    )
    mesh = make_mesh("", devices=list(described.devices))
    texts: list[str] = []
    turns = case.sampling_steps if c.program == "sample" else 1
    with compiling_for("gpu"):
        # In a loop over blocks a kernel that takes a block's weights would count those of all.
        program = abstract_program(case, mesh, unrolled=c.backbone != "unet")
        compiled = compile_ahead(
            program.function,
            *program.args,
            donate=program.donate,
            effort=case.effort,
            text=texts.append,
        )
    print(f"{c.backbone} {c.preset} {c.program}: {compiled.wall_seconds:.0f} s to compile")
    if c.text is not None:
        c.text.parent.mkdir(parents=True, exist_ok=True)
        c.text.write_text(texts[0])
    flops = turns * compiled.flops.total  # of a sampler: nearly all are in its loop
    report(texts[0], flops, model_flops(case), compiled.memory, turns)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
