"""The names of layers in LoRA files, and where the files record a layer's `alpha`."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from .pairs import Pair, SAME

PARTS: dict[str, tuple[str, ...]] = {
    "unet": ("unet.", "lora_unet_"),
    "text_encoder": ("text_encoder.", "lora_te_", "lora_te1_"),
}
"""The networks of a pipeline and the prefixes of their layers' names."""

_FACTOR = re.compile(r"(.+?)[._]lora(?:_linear_layer)?[._](?:(A|down)|B|up)\.weight")
_ALPHA = re.compile(r"(.+?)(?:[._]lora)?\.alpha")

Role = Literal["down", "up", "alpha"]


class Layer(NamedTuple):
    """A layer: its network's name and the pair of its weight in that network's table."""

    part: str
    pair: Pair

    @property
    def ours(self) -> str:
        """Our path of the layer."""
        return self.pair.ours.removesuffix(".weight")

    @property
    def theirs(self) -> str:
        """Their name of the layer. A text tower's has its old prefix, which all programs read."""
        name = self.pair.theirs.removesuffix(".weight")
        return f"{_TOWER}{name.removeprefix(_TOWER)}" if self.part == "text_encoder" else name


_TOWER = "text_model."


class LayerNames:
    """The layers of networks by their names in LoRA files.

    Dots and underscores count as equal: kohya's names have underscores only.
    """

    def __init__(self, tables: Mapping[str, Sequence[Pair]]):
        """**Arguments:**

        - `tables`: of each part, `"unet"` or `"text_encoder"`: the pairs of its arrays. Pairs with
            a transform are weights of linear maps and convolutions.
        """
        if not set(tables) <= set(PARTS):
            raise ValueError(
                f"A LoRA has the parts {sorted(PARTS)}, received tables of {sorted(tables)}."
            )
        self._layers: dict[str, dict[str, Layer]] = {}
        for part, table in tables.items():
            layers = [Layer(part, p) for p in table if p.transform is not SAME and p.parts == 1]
            self._layers[part] = {_flat(layer.theirs): layer for layer in layers}

    def of_ours(self, part: str) -> dict[str, Layer]:
        """A part's layers by our path."""
        return {layer.ours: layer for layer in self._layers.get(part, {}).values()}

    def find(self, key: str) -> tuple[Layer, Role]:
        """The layer of a tensor, and the tensor's role in it.

        **Raises** `ValueError` naming the tensor, for another kind of adapter and for a layer that
        is in no table.
        """
        factor, alpha = _FACTOR.fullmatch(key), _ALPHA.fullmatch(key)
        match = factor or alpha
        if match is None:
            raise ValueError(
                f"'{key}' is no tensor of a LoRA. A LoRA has pairs lora_A and lora_B, lora.down "
                "and lora.up, or lora_down and lora_up, each with .weight, and .alpha. LoHa, LoKr "
                "and DoRA are not supported."
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
            f"'{key}' belongs to a layer that is in no table. There are tables of "
            f"{', '.join(self._layers)}; Stable Diffusion's parts are {', '.join(PARTS)}."
        )


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _spellings(name: str) -> Iterator[str]:
    """Names that the layer `name` may have in a table.

    The first versions of diffusers wrote `attn1.processor.to_out` and, in a text tower,
    `self_attn.to_q`. The tower's prefix may be missing.
    """
    flat = _flat(name.replace(".processor.", "."))
    yield flat
    yield f"{flat}_0"
    yield re.sub(r"_to_(q|k|v|out)$", r"_\1_proj", flat)
    yield _flat(_TOWER) + flat


def alpha_of(config: Mapping[str, Any], layer: Layer, rank: int) -> float:
    """A layer's alpha in peft's configuration, which may have patterns for some layers.

    **Raises** `ValueError` naming the layer where the configuration makes no sense.
    """
    try:
        alpha = config.get("lora_alpha", rank)
        for pattern, special in (config.get("alpha_pattern") or {}).items():
            if re.fullmatch(rf"(.*\.)?({pattern})", layer.theirs):
                alpha = special
                break
        # rsLoRA (Kalajdzievski 2023) divides by the square root of the rank.
        return float(alpha) * (math.sqrt(rank) if config.get("use_rslora") else 1.0)
    except (ValueError, TypeError, AttributeError, OverflowError, re.error) as error:
        raise ValueError(
            f"The configuration has no valid alpha for '{layer.theirs}': {error}."
        ) from error
