"""CLIP's text tower with its projection: a vector of an entire caption beside its tokens."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._types import Key
from ..nn import Linear, split_key
from .clip import CLIPConfig, CLIPTextTower


@dataclasses.dataclass(frozen=True)
class ProjectedCLIPConfig:
    """The sizes of a `ProjectedCLIP`."""

    tower: CLIPConfig = CLIPConfig()
    """The tower's."""
    projection: int = 768
    """Width of a caption's vector."""

    def build(self, *, key: Key) -> "ProjectedCLIP":
        """The network with fresh weights. Under `eqx.filter_eval_shape` nothing is allocated."""
        return ProjectedCLIP(self, key=key)


class ProjectedCLIP(eqx.Module):
    """A `CLIPTextTower` whose last token is projected (Radford et al. 2021, section 2.4).

    Stable Diffusion XL and 3 take its penultimate layer's tokens, without the last norm, and that
    vector.
    """

    tower: CLIPTextTower
    projection: Linear

    def __init__(self, config: ProjectedCLIPConfig, *, key: Key):
        """**Arguments:**

        - `config`: the sizes.
        - `key`: for the initial weights.
        """
        tkey, pkey = split_key(key)
        self.tower = config.tower.build(key=tkey)
        self.projection = Linear(config.tower.width, config.projection, bias=False, key=pkey)

    @property
    def config(self) -> ProjectedCLIPConfig:
        """The sizes."""
        return ProjectedCLIPConfig(self.tower.config, self.projection.weight.shape[1])

    def __call__(
        self, ids: Int[Array, "tokens"], closing: int
    ) -> tuple[Float[Array, "tokens width"], Float[Array, "projection"]]:
        """The penultimate layer's tokens, and the caption's vector.

        **Arguments:**

        - `ids`: the token ids of a caption, padding included, all of which are read.
        - `closing`: id of the token that ends a caption. The first one's vector is projected.
        """
        tokens = self.tower(ids, skip=1, normed=False)
        last = self.tower(ids)[jnp.argmax(ids == closing)]
        return tokens, self.projection(last)
