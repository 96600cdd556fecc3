"""The sizes of Stable Diffusion's UNet, by the names of diffusers."""

from typing import Any

from ..denoise import UNetConfig
from .config import check_fields
from .fields import flag, multiples, whole, wholes

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
    width, multipliers = multiples(written, "block_out_channels")
    levels = len(multipliers)
    attends, above = _kinds(written, "down", _DOWN, levels), _kinds(written, "up", _UP, levels)
    if above != attends[::-1]:
        raise ValueError("up_block_types is not the mirror of down_block_types")
    blocks = wholes(written, "transformer_layers_per_block", levels, 1, most=_DEEPEST)
    if not attends[-1] and blocks[-1] != 1:
        raise ValueError(f"the middle has {blocks[-1]} transformer blocks on a level without any")
    # So it is called, and holds the number of heads.
    heads = wholes(written, "attention_head_dim", levels)
    told = written.get("time_cond_proj_dim") is not None
    return UNetConfig(
        width=width,
        in_channels=whole(written, "in_channels"),
        out_channels=whole(written, "out_channels"),
        context_width=whole(written, "cross_attention_dim"),
        multipliers=multipliers,
        depths=wholes(written, "layers_per_block", levels, most=_DEEPEST),
        transformer_depths=tuple(
            count if attending else 0 for count, attending in zip(blocks, attends, strict=True)
        ),
        heads=heads if isinstance(written["attention_head_dim"], list) else heads[0],
        groups=whole(written, "norm_num_groups"),
        guidance_width=whole(written, "time_cond_proj_dim") if told else None,
        linear_projections=flag(written, "use_linear_projection"),
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


def _kinds(written: dict[str, Any], side: str, kinds: dict[str, bool], levels: int) -> list[bool]:
    name = f"{side}_block_types"
    if not isinstance(written[name], list) or len(written[name]) != levels:
        raise ValueError(f"{name} is {written[name]!r}, not one entry for each of {levels} levels")
    for kind in written[name]:
        if kind not in list(kinds):
            raise ValueError(
                f"it has blocks of the kind {kind!r}, and only {list(kinds)} are supported"
            )
    return [kinds[kind] for kind in written[name]]
