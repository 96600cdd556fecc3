"""The sizes of Stable Diffusion's UNet, by the names of diffusers."""

from typing import Any

from ..denoise import AbstractNetworkConfig, GuidanceEmbeddingConfig, UNetConfig
from .config import check_fields
from .config_fields import Fields, flag, multiples, positive_int, positive_ints

_DOWN = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}
_UP = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}
"""Kinds of levels, and whether they attend to the caption."""

_DEEPEST = 32
"""Blocks in a row; Stable Diffusion has 2, the transformers of its largest version 10."""

_FIXED: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "center_input_sample": False,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "only_cross_attention": False,
    "dual_cross_attention": False,
    "resnet_time_scale_shift": "default",
}
"""Fields that are the same for every UNet of the family."""

_ABSENT: dict[str, Any] = {
    "num_attention_heads": None,
    "reverse_transformer_layers_per_block": None,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "class_embed_type": None,
    "num_class_embeds": None,
    "addition_embed_type": None,
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "time_embedding_act_fn": None,
    "timestep_post_act": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "attention_type": "default",
    "class_embeddings_concat": False,
    "mid_block_only_cross_attention": None,
    "cross_attention_norm": None,
}
"""Fields of other networks of that class, which must be absent or off."""


def from_diffusers(fields: Fields) -> UNetConfig | GuidanceEmbeddingConfig:
    """The sizes.

    **Raises** `ValueError` or `KeyError` at a field that the family does not have.
    """
    if "_class_name" not in fields:
        raise KeyError("_class_name")
    check_fields(fields, {**_FIXED, **_ABSENT})
    width, multipliers = multiples(fields, "block_out_channels")
    levels = len(multipliers)
    attends = _kinds(fields, "down", _DOWN, levels)
    if _kinds(fields, "up", _UP, levels) != attends[::-1]:
        raise ValueError("up_block_types is not the mirror of down_block_types")
    blocks = positive_ints(fields, "transformer_layers_per_block", levels, 1, most=_DEEPEST)
    if not attends[-1] and blocks[-1] != 1:
        raise ValueError(f"the middle has {blocks[-1]} transformer blocks on a level without any")
    # Despite its name, this field is the number of heads.
    heads = positive_ints(fields, "attention_head_dim", levels)
    unet = UNetConfig(
        width=width,
        in_channels=positive_int(fields, "in_channels"),
        out_channels=positive_int(fields, "out_channels"),
        context_width=positive_int(fields, "cross_attention_dim"),
        multipliers=multipliers,
        depths=positive_ints(fields, "layers_per_block", levels, most=_DEEPEST),
        transformer_depths=tuple(
            count if attending else 0 for count, attending in zip(blocks, attends, strict=True)
        ),
        heads=heads if isinstance(fields["attention_head_dim"], list) else heads[0],
        groups=positive_int(fields, "norm_num_groups"),
        linear_projections=flag(fields, "use_linear_projection"),
    )
    if fields.get("time_cond_proj_dim") is None:
        return unet
    return GuidanceEmbeddingConfig(unet, positive_int(fields, "time_cond_proj_dim"))


def to_diffusers(network: AbstractNetworkConfig) -> dict[str, Any]:
    """The inverse of `from_diffusers`.

    **Raises** `ValueError` for a network that is of another kind.
    """
    config, guidance_width = unet_of(network)
    attends = [depth > 0 for depth in config.transformer_depths]
    down, up = ({is_so: kind for kind, is_so in kinds.items()} for kinds in (_DOWN, _UP))
    heads = config.heads
    return {
        **_FIXED,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "block_out_channels": [config.width * multiplier for multiplier in config.multipliers],
        "layers_per_block": _one_or_all(config.depths),
        "down_block_types": [down[attending] for attending in attends],
        "up_block_types": [up[attending] for attending in reversed(attends)],
        "transformer_layers_per_block": _one_or_all(
            tuple(max(1, depth) for depth in config.transformer_depths)
        ),
        "cross_attention_dim": config.context_width,
        "attention_head_dim": heads if isinstance(heads, int) else list(heads),
        "use_linear_projection": config.linear_projections,
        "norm_num_groups": config.groups,
        "time_cond_proj_dim": guidance_width,
    }


def unet_of(network: AbstractNetworkConfig) -> tuple[UNetConfig, int | None]:
    """The UNet in a config that diffusers' class can hold, and the width of embedded guidance.

    **Raises** `ValueError` for any other config.
    """
    match network:
        case UNetConfig():
            return network, None
        case GuidanceEmbeddingConfig(of=UNetConfig() as unet, width=width):
            return unet, width
    raise ValueError(
        "diffusers' UNet2DConditionModel holds a UNet, with or without embedded guidance; received "
        f"a {type(network).__name__}. Its weights are saved in this library's own layout only."
    )


def _one_or_all(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else list(values)


def _kinds(fields: Fields, side: str, kinds: dict[str, bool], levels: int) -> list[bool]:
    name = f"{side}_block_types"
    if not isinstance(fields[name], list) or len(fields[name]) != levels:
        raise ValueError(f"{name} is {fields[name]!r}, not one entry for each of {levels} levels")
    for kind in fields[name]:
        if kind not in list(kinds):
            raise ValueError(
                f"it has blocks of the kind {kind!r}, and only {list(kinds)} are supported"
            )
    return [kinds[kind] for kind in fields[name]]
