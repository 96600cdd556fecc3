"""The sizes of DiT and PixArt, by the names of diffusers."""

from typing import Any

from ..denoise import AbstractNetworkConfig, DiTConfig, ResolutionConditioningConfig
from .config import check_fields
from .config_fields import Fields, flag, MAX_LAYERS, positive_float, positive_int

DIT_CLASS, PIXART_CLASS = "DiTTransformer2DModel", "PixArtTransformer2DModel"
_OLD_CLASS = "Transformer2DModel"
_OLD_NAMES = {"ada_norm_zero": DIT_CLASS, "ada_norm_single": PIXART_CLASS}
"""What the older class of both is called now, by the kind of its norms."""

PublicDiT = DiTConfig | ResolutionConditioningConfig
"""The sizes of a DiT or PixArt: alone, or of one that is told the resolution as well."""

_FIXED: dict[str, Any] = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
}
_PIXART: dict[str, Any] = {
    **_FIXED,
    "_class_name": PIXART_CLASS,
    "norm_type": "ada_norm_single",
    "norm_eps": 1e-6,
    "attention_type": "default",
}
_DIT: dict[str, Any] = {**_FIXED, "_class_name": DIT_CLASS, "norm_type": "ada_norm_zero"}


def from_dit(fields: Fields) -> PublicDiT:
    """The sizes. Those of a PixArt that is told resolution and aspect ratio have a wrap.

    **Raises** `ValueError` or `KeyError` at a field that is not supported.
    """
    kind = fields["_class_name"]
    if kind == _OLD_CLASS:
        kind = _OLD_NAMES.get(str(fields.get("norm_type")), kind)
        fields = {**fields, "_class_name": kind}
    if kind not in (DIT_CLASS, PIXART_CLASS):
        raise ValueError(
            f"_class_name is {kind!r}, and only {DIT_CLASS} and {PIXART_CLASS} are supported"
        )
    heads, patch = positive_int(fields, "num_attention_heads"), positive_int(fields, "patch_size")
    width = heads * positive_int(fields, "attention_head_dim")
    in_channels = positive_int(fields, "in_channels")
    out_channels = fields.get("out_channels")
    side = positive_int(fields, "sample_size")
    sizes: dict[str, Any] = {
        "width": width,
        "depth": positive_int(fields, "num_layers", most=MAX_LAYERS),
        "heads": heads,
        "in_channels": in_channels,
        "out_channels": in_channels
        if out_channels is None
        else positive_int(fields, "out_channels"),
        "patch": patch,
        "position_base": side // patch,
    }
    if kind == DIT_CLASS:
        check_fields(fields, _DIT)
        return DiTConfig(
            **sizes,
            context_width=1,
            pooled_width=positive_int(fields, "num_embeds_ada_norm") + 1,
            pooled_projection="linear",
            cross_attention=False,
            feed_forward_eps=positive_float(fields, "norm_eps", 1e-5),
            closed_times=True,
        )
    check_fields(fields, {**_PIXART, "cross_attention_dim": width})
    spacing = fields.get("interpolation_scale")
    network = DiTConfig(
        **sizes,
        context_width=positive_int(fields, "caption_channels"),
        modulation="shared",
        cross_norm=False,
        position_spacing=float(max(side // 64, 1))
        if spacing is None
        else positive_float(fields, "interpolation_scale"),
    )
    if not flag(fields, "use_additional_conditions", side == 128):
        return network
    if width % 3:
        raise ValueError(
            "use_additional_conditions is true, for which 3 must divide the width "
            f"num_attention_heads x attention_head_dim, and that is {width}"
        )
    return ResolutionConditioningConfig(network)


def dit_sizes(network: PublicDiT) -> DiTConfig:
    """The sizes of the transformer inside."""
    sizes = network.backbone
    assert isinstance(sizes, DiTConfig), "from_dit makes no other"
    return sizes


def is_of_classes(config: DiTConfig) -> bool:
    """Whether a network is DiT's own, which attends to no caption."""
    return not config.cross_attention


def to_dit(network: AbstractNetworkConfig) -> dict[str, Any]:
    """The inverse of `from_dit`. **Raises** `ValueError` for what neither class can hold."""
    sizes = network.of if isinstance(network, ResolutionConditioningConfig) else network
    if isinstance(sizes, DiTConfig) and sizes.position_base is not None:
        fields = _fields(sizes, sizes.position_base, sizes is not network)
        if from_dit(fields) == network:
            return fields
    raise ValueError(
        f"diffusers' {PIXART_CLASS} holds a DiTConfig with a shared modulation and attention to "
        f"captions without a norm, and {DIT_CLASS} one of classes, both with a position_base; "
        f"received {network}. Its weights are saved in this library's own layout only."
    )


def _fields(network: DiTConfig, base: int, is_told: bool) -> dict[str, Any]:
    sizes = {
        "sample_size": base * network.patch,
        "patch_size": network.patch,
        "in_channels": network.in_channels,
        "out_channels": network.out_channels,
        "num_layers": network.depth,
        "num_attention_heads": network.heads,
        "attention_head_dim": network.width // network.heads,
    }
    if is_of_classes(network):
        classes = (network.pooled_width or 2) - 1
        eps = network.feed_forward_eps
        return {**_DIT, **sizes, "num_embeds_ada_norm": classes, "norm_eps": eps}
    return {
        **_PIXART,
        **sizes,
        "cross_attention_dim": network.width,
        "caption_channels": network.context_width,
        "interpolation_scale": network.position_spacing,
        "use_additional_conditions": is_told,
        "num_embeds_ada_norm": 1000,
    }
