"""Guidance that a network is told, instead of two evaluations of it."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Condition, Key, Latent, NoiseLevel, TextEmbedding, Time
from ..nn import Linear, zeroed
from .backbone import AbstractBackbone, check_backbone
from .denoiser import AbstractDenoiser
from .guidance import Scalar
from .network_config import AbstractNetworkWrap


class GuidanceConditioned(eqx.Module):
    """A network with the guidance scale as an input: its output is already guided.

    The weight `w` is embedded as a sinusoid of `1000 (w - 1)`, projected and added to the time's
    sinusoid (Meng et al. 2023, section 3; Luo et al. 2023, the layout of diffusers'
    `time_cond_proj_dim`). The projection starts at zero: wrapped around a trained teacher, the
    student begins as that teacher whatever the weight.

    It is conditioned on `(text, w)`, with `w` as in `Guided`: 1 is the conditional model.
    """

    network: AbstractBackbone
    projection: Linear

    def __init__(self, network: AbstractBackbone, width: int = 256):
        """**Arguments:**

        - `network`: of captions.
        - `width`: of the embedded weight.
        """
        self.network = network
        projection = Linear(width, network.time_features, bias=False, key=jax.random.key(0))
        self.projection = zeroed(projection)

    def __call__(
        self, x: Latent, t: Time, condition: tuple[TextEmbedding, Float[Array, ""]]
    ) -> Float[Array, "height width out_channels"]:
        """See `AbstractBackbone`."""
        text, weight = condition
        shift = self.projection(guidance_sinusoid(weight, self.projection.weight.shape[0]))
        return self.network.at(x, self.network.time(t, shift), text)


class EmbeddedGuidance(AbstractDenoiser):
    """Replaces `Guided` for a network with the scale as an input: one evaluation a step.

    It is conditioned on the same pair `(condition, null)`; `null` is not looked at.

    **Fields:**

    - `denoiser`: conditioned on `(condition, scale)`, around a `GuidanceConditioned` network.
    - `guidance_scale`: `w`; `vmap` over it to give each example its own.
    """

    denoiser: AbstractDenoiser
    guidance_scale: Scalar

    def __call__(self, y: Latent, s: NoiseLevel, condition: tuple[Condition, Condition]) -> Latent:
        """See `AbstractDenoiser`."""
        conditional, _ = condition
        return self.denoiser(y, s, (conditional, jnp.asarray(self.guidance_scale, jnp.float32)))


@dataclasses.dataclass(frozen=True)
class GuidanceEmbeddingConfig(AbstractNetworkWrap):
    """A guidance-conditioned network: one evaluation a step, whatever the scale."""

    width: int = 256
    """Width of the embedded scale; LCM's is 256."""

    def build(self, *, key: Key) -> GuidanceConditioned:
        network = check_backbone(self.of.build(key=key), "Guidance is embedded into")
        return GuidanceConditioned(network, self.width)

    @property
    def takes_null(self) -> bool:
        return False

    def guided(
        self, denoiser: AbstractDenoiser, guidance_scale: Scalar, **options: Any
    ) -> AbstractDenoiser:
        if options:
            raise ValueError(
                "A guidance-conditioned network has one estimate and no options of guidance, "
                f"received {', '.join(options)}. Leave them out."
            )
        return EmbeddedGuidance(denoiser, guidance_scale)

    def branches(self, guidance_scale: float) -> int:
        return 1


def guidance_sinusoid(weight: Float[Array, ""], width: int) -> Float[Array, "width"]:
    """`[sin(v f_i), cos(v f_i)]`, `v = 1000 (w - 1)`, `f_i = 10000^(-i / (width/2 - 1))`.

    Order and frequencies are those of the published LCMs, and not those of the time.
    """
    if width % 2 or width < 4:
        raise ValueError(f"An embedded weight's width is even and at least 4, received {width}.")
    half = width // 2
    frequencies = jnp.exp(-math.log(1e4) / (half - 1) * jnp.arange(half, dtype=jnp.float32))
    angles = 1000.0 * (weight.astype(jnp.float32) - 1.0) * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])
