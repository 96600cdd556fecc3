"""50 guided steps of DDIM on a GPU, beside diffusers' loop with `torch.compile`.

    python benchmarks/gpu/sample.py                      # c = 320 (866M), one image of 64x64x4
    python benchmarks/gpu/sample.py --width 64 --batch 8

Both compute in bfloat16. PyTorch's weights are stored so; ours are float32, and each call converts
them, as `TextToImage` does. Both branches of the guidance are one batch, and no image is decoded.
PyTorch runs in the interpreter that EQUILDM_PEER_PYTHON names, if it has any. A ratio is PyTorch's
time over ours.
"""

import dataclasses
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array

from benchmarks._peer import alternate, compare, Peer, timed
from equildm import Condition, TextEmbedding
from equildm._types import Network
from equildm.denoise import convert_weights, Guided, Preconditioned, UNetConfig
from equildm.noise import Epsilon, grids, ScaledLinear
from equildm.sampling import DDIM, sample

PEER = Path(__file__).resolve().parents[1] / "peers" / "pipeline_worker.py"


@dataclasses.dataclass(frozen=True)
class Config:
    """What is sampled."""

    width: int = 320
    """Base channels of the UNet."""
    batch: int = 1
    """Images at a time."""
    size: int = 64
    """Height and width of the latents."""
    steps: int = 50
    """Steps of DDIM, of two evaluations each."""
    guidance_scale: float = 7.5
    """Scale of classifier-free guidance."""
    rounds: int = 7
    """Repetitions of each timing."""
    compile: str = "max-autotune"
    """Mode of torch.compile."""
    peer: bool = True
    """Whether to time PyTorch."""


def main(c: Config) -> None:
    """Times both in turn."""
    jax.config.update("jax_enable_compilation_cache", False)
    schedule, key = ScaledLinear(), jax.random.key(0)
    network = UNetConfig(c.width).build(key=key)
    levels = jnp.asarray(grids.trailing(schedule, c.steps), jnp.float32)
    noise = jax.random.normal(key, (c.batch, c.size, c.size, 4))
    tokens = jax.random.normal(key, (c.batch, 77, 1024))
    text = TextEmbedding(tokens, jnp.ones((c.batch, 77), bool))
    pair = (text, jax.tree.map(jnp.zeros_like, text))

    def run(network: Network, noise: Array, pair: Condition) -> Array:
        inner = Preconditioned(network, schedule, Epsilon(), compute="bfloat16")
        guided = convert_weights(Guided(inner, c.guidance_scale))
        one = lambda noise, pair: sample(guided, noise, levels, DDIM(), condition=pair)
        return jax.vmap(one)(noise, pair)

    start = time.perf_counter()
    jitted: Any = eqx.filter_jit(run)
    program = jitted.lower(network, noise, pair).compile()
    print(f"{jax.devices()[0].device_kind}: compiled in {time.perf_counter() - start:.0f} s")
    call = timed(lambda: jax.block_until_ready(program(network, noise, pair)))
    title = f"c = {c.width}, batch {c.batch}, {c.steps} guided steps"
    mine = alternate({"ours": call}, rounds=c.rounds, warmup=2)["ours"]
    print(f"{title}: {1e3 * mine.median:.0f} ms, {c.batch / mine.median:.2f} images/s", flush=True)
    if not c.peer:
        return
    config: dict[str, Any] = {"width": c.width, "batch": c.batch, "size": c.size, "steps": c.steps}
    config |= {"device": "cuda", "dtype": "bfloat16", "channels_last": True, "compile": c.compile}
    with Peer(PEER, config | {"guidance_scale": c.guidance_scale}) as peer:
        seconds = partial(lambda peer: peer("sample")["seconds"], peer)
        timings = alternate({"ours": call, "peer": seconds}, rounds=c.rounds, warmup=2)
    print(f"{title}: {compare(timings['ours'], timings['peer'])}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
