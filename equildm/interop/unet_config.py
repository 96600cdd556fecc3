"""The sizes of Stable Diffusion's UNet, by the names of diffusers."""

from typing import Any

from ..denoise import UNetConfig
from .config import check_fields

_DOWN = {"CrossAttnDownBlock2D": True, "DownBlock2D": False}
_UP = {"CrossAttnUpBlock2D": True, "UpBlock2D": False}
"""Kinds of levels, and whether they attend to the caption."""

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
"""What every UNet of the family is, and what is written of it."""

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
"""What other networks of that class may have and this family has not."""


def from_diffusers(written: dict[str, Any]) -> UNetConfig:
    """The sizes.

    **Raises** `ValueError` or `KeyError` at a field that the family has no place for.
    """
    if "_class_name" not in written:
        raise KeyError("_class_name")
    check_fields(written, {**_FIXED, **_ABSENT})
    channels = [int(count) for count in written["block_out_channels"]]
    if any(count % channels[0] for count in channels):
        raise ValueError(f"block_out_channels {channels} are not multiples of the first")
    levels = len(channels)
    attends = [_kind(_DOWN, kind) for kind in _per_level(written, "down_block_types", levels)]
    above = [_kind(_UP, kind) for kind in _per_level(written, "up_block_types", levels)]
    if above != attends[::-1]:
        raise ValueError("up_block_types is not the mirror of down_block_types")
    blocks = _per_level(written, "transformer_layers_per_block", levels, default=1)
    if not attends[-1] and blocks[-1] != 1:
        raise ValueError(f"the middle has {blocks[-1]} transformer blocks on a level without any")
    heads = written["attention_head_dim"]  # So it is called, and holds the number of heads.
    return UNetConfig(
        width=channels[0],
        in_channels=int(written["in_channels"]),
        out_channels=int(written["out_channels"]),
        context_width=_whole(written, "cross_attention_dim"),
        multipliers=tuple(count // channels[0] for count in channels),
        depths=tuple(_per_level(written, "layers_per_block", levels)),
        transformer_depths=tuple(
            count if attending else 0 for count, attending in zip(blocks, attends, strict=True)
        ),
        heads=heads if isinstance(heads, int) else tuple(heads),
        groups=_whole(written, "norm_num_groups"),
        guidance_width=written.get("time_cond_proj_dim"),
        linear_projections=bool(written.get("use_linear_projection", False)),
    )


def to_diffusers(config: UNetConfig) -> dict[str, Any]:
    """The inverse of `from_diffusers`."""
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
        "time_cond_proj_dim": config.guidance_width,
    }


def _one_or_all(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else list(values)


def _per_level(written: dict[str, Any], name: str, levels: int, default: Any = None) -> list[Any]:
    value = written.get(name, default) if default is not None else written[name]
    values = [value] * levels if isinstance(value, int) else list(value)
    if len(values) != levels or not all(type(one) is type(values[0]) for one in values):
        raise ValueError(f"{name} is {value!r}, not one entry for each of {levels} levels")
    return values


def _kind(kinds: dict[str, bool], kind: str) -> bool:
    if kind not in kinds:
        raise ValueError(
            f"it has blocks of the kind {kind!r}, and only {list(kinds)} are supported"
        )
    return kinds[kind]


def _whole(written: dict[str, Any], name: str) -> int:
    if not isinstance(written[name], int):
        raise ValueError(f"{name} is {written[name]!r}, and only a whole number is supported")
    return written[name]
