"""The names of the original Stable Diffusion code, as single-file checkpoints keep them.

A table of diffusers' names is renamed: the two layouts hold the same tensors, in blocks that the
original numbers through (`input_blocks.7.1`) where diffusers counts levels
(`down_blocks.2.attentions.0`).
"""

from collections.abc import Iterable

from ..denoise import AbstractNetworkConfig, UNetConfig
from ..latents import VAEConfig
from .autoencoder import autoencoder_table
from .pairs import Pair, POINTWISE_OUT_IN
from .unet_config import unet_of
from .unet_table import unet_table

_OUTER = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "time_embedding.cond_proj": "time_embed.cond_proj",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESBLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_BLOCKS = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "conv_norm_out": "norm_out",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def compvis_unet_table(config: AbstractNetworkConfig) -> list[Pair]:
    """The UNet's tensors in a single file, below `model.diffusion_model.`; see `unet_table`."""
    blocks = {**_OUTER, **dict(_unet_blocks(unet_of(config)[0]))}
    return [
        pair._replace(theirs=_renamed(pair.theirs, blocks, _RESBLOCK))
        for pair in unet_table(config)
    ]


def _unet_blocks(config: UNetConfig) -> Iterable[tuple[str, str]]:
    """diffusers' name of each block and the original's."""
    attends = [depth > 0 for depth in config.transformer_depths]
    last, number = len(attends) - 1, 1
    for level, depth in enumerate(config.depths):
        for i in range(depth):
            yield f"down_blocks.{level}.resnets.{i}", f"input_blocks.{number}.0"
            yield f"down_blocks.{level}.attentions.{i}", f"input_blocks.{number}.1"
            number += 1
        if level < last:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    for i, part in enumerate(("resnets.0", "attentions.0", "resnets.1")):
        yield f"mid_block.{part}", f"middle_block.{i}"
    number = 0
    for level, (depth, attending) in enumerate(
        zip(config.depths[::-1], attends[::-1], strict=True)
    ):
        for i in range(depth + 1):
            yield f"up_blocks.{level}.resnets.{i}", f"output_blocks.{number}.0"
            yield f"up_blocks.{level}.attentions.{i}", f"output_blocks.{number}.1"
            number += 1
        above = f"output_blocks.{number - 1}.{2 if attending else 1}.conv"
        yield f"up_blocks.{level}.upsamplers.0.conv", above


def compvis_autoencoder_table(config: VAEConfig) -> list[Pair]:
    """The VAE's tensors in a single file, below `first_stage_model.`; see `autoencoder_table`."""
    blocks = dict(_VAE_BLOCKS)
    levels = len(config.multipliers)
    for level in range(levels):
        # The original counts the decoder's levels from the image down.
        above = levels - 1 - level
        for i in range(config.depth + 1):
            blocks[f"down_blocks.{level}.resnets.{i}"] = f"down.{level}.block.{i}"
            blocks[f"up_blocks.{level}.resnets.{i}"] = f"up.{above}.block.{i}"
        blocks[f"down_blocks.{level}.downsamplers.0"] = f"down.{level}.downsample"
        blocks[f"up_blocks.{level}.upsamplers.0"] = f"up.{above}.upsample"
    inner = {"conv_shortcut": "nin_shortcut", **_VAE_ATTENTION}
    pairs = []
    for pair in autoencoder_table(config):
        side, _, name = pair.theirs.partition(".")
        theirs = f"{side}.{_renamed(name, blocks, inner)}"
        # Its attention is of 1x1 convolutions.
        flat = ".mid.attn_1." in theirs and theirs.endswith("weight") and ".norm." not in theirs
        pairs.append(Pair(pair.ours, theirs, POINTWISE_OUT_IN if flat else pair.transform))
    return pairs


def _renamed(name: str, blocks: dict[str, str], inner: dict[str, str]) -> str:
    """`block.layer.weight` with the block, and the layer in it, by their other names."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        block = ".".join(parts[:end])
        if block in blocks:
            layer, kind = ".".join(parts[end:-1]), parts[-1]
            return ".".join(filter(None, (blocks[block], inner.get(layer, layer), kind)))
    return name
