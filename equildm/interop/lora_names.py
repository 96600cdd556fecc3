"""How LoRA files name a layer, and where they say its `alpha`."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from .mapping import Pair, SAME

PARTS: dict[str, tuple[str, ...]] = {
    "unet": ("unet.", "lora_unet_"),
    "text_encoder": ("text_encoder.", "lora_te_", "lora_te1_"),
}
"""The networks of a pipeline and what stands before the names of their layers."""

_FACTOR = re.compile(r"(.+?)[._]lora(?:_linear_layer)?[._](?:(A|down)|B|up)\.weight")
_ALPHA = re.compile(r"(.+?)(?:[._]lora)?\.alpha")

Role = Literal["down", "up", "alpha"]


class Layer(NamedTuple):
    """The network that a layer belongs to and the pair of its weight in that network's table."""

    part: str
    pair: Pair

    @property
    def ours(self) -> str:
        """Our path of the layer."""
        return self.pair.ours.removesuffix(".weight")

    @property
    def theirs(self) -> str:
        """Their name of the layer. A text tower's has its old prefix, which all readers know."""
        name = self.pair.theirs.removesuffix(".weight")
        return f"{_TOWER}{name.removeprefix(_TOWER)}" if self.part == "text_encoder" else name


_TOWER = "text_model."


class LayerNames:
    """The layers of networks by the names that LoRA files give them.

    Dots and underscores are not told apart: kohya's names have underscores only.
    """

    def __init__(self, tables: Mapping[str, Sequence[Pair]]):
        """**Arguments:**

        - `tables`: of each part, `"unet"` or `"text_encoder"`: the pairs of its arrays. Those that
            are turned on the way are weights of linear maps and convolutions.
        """
        if not set(tables) <= set(PARTS):
            raise ValueError(
                f"Tables of {sorted(tables)} were given; a LoRA has parts {sorted(PARTS)}."
            )
        self._layers: dict[str, dict[str, Layer]] = {}
        for part, table in tables.items():
            layers = [Layer(part, p) for p in table if p.transform is not SAME and p.parts == 1]
            self._layers[part] = {_flat(layer.theirs): layer for layer in layers}

    def of_ours(self, part: str) -> dict[str, Layer]:
        """A part's layers by our path."""
        return {layer.ours: layer for layer in self._layers.get(part, {}).values()}

    def find(self, key: str) -> tuple[Layer, Role]:
        """The layer that a tensor's name is about, and which of its tensors it is.

        **Raises** `ValueError` naming it for another kind of adapter and for a layer that no table
        has.
        """
        factor, alpha = _FACTOR.fullmatch(key), _ALPHA.fullmatch(key)
        match = factor or alpha
        if match is None:
            raise ValueError(
                f"'{key}' is no tensor of a LoRA. Read are pairs lora_A and lora_B, lora.down and "
                "lora.up, lora_down and lora_up, each .weight, and .alpha; no LoHa, LoKr or DoRA."
            )
        role: Role = "alpha" if factor is None else "down" if factor[2] else "up"
        name, parts = match[1].removeprefix("base_model.model."), tuple(self._layers)
        for part, prefixes in PARTS.items():
            for prefix in prefixes:
                if name.startswith(prefix):
                    name, parts = name.removeprefix(prefix), (part,)
        for part in parts:
            layers = self._layers.get(part, {})
            for spelling in _spellings(name):
                if spelling in layers:
                    return layers[spelling], role
        raise ValueError(
            f"'{key}' is about a layer that is in no table. There are tables of "
            f"{', '.join(self._layers)}; Stable Diffusion's parts are {', '.join(PARTS)}."
        )


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _spellings(name: str) -> Iterator[str]:
    """What the layer `name` may be called in a table: the first versions of diffusers said
    `attn1.processor.to_out` and, of a text tower, `self_attn.to_q`; the tower may be bare."""
    flat = _flat(name.replace(".processor.", "."))
    yield flat
    yield f"{flat}_0"
    yield re.sub(r"_to_(q|k|v|out)$", r"_\1_proj", flat)
    yield _flat(_TOWER) + flat


def alpha_of(config: Mapping[str, Any], layer: Layer, rank: int) -> float:
    """A layer's alpha by peft's configuration, in which a pattern may set apart some layers.

    **Raises** `ValueError` naming the layer where the configuration makes no sense.
    """
    try:
        alpha = config.get("lora_alpha", rank)
        for pattern, other in (config.get("alpha_pattern") or {}).items():
            if re.fullmatch(rf"(.*\.)?({pattern})", layer.theirs):
                alpha = other
                break
        # rsLoRA (Kalajdzievski 2023) divides by the square root of the rank.
        return float(alpha) * (math.sqrt(rank) if config.get("use_rslora") else 1.0)
    except (ValueError, TypeError, AttributeError, OverflowError, re.error) as error:
        raise ValueError(
            f"The configuration tells no alpha of '{layer.theirs}': {error}."
        ) from error
