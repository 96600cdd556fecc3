"""The tensors of Stable Diffusion's UNet, by the names of diffusers."""

from collections.abc import Iterable

from ..denoise import AbstractNetworkConfig, UNetConfig
from .pairs import conv, linear, norm, OUT_IN_POINTWISE, Pair
from .unet_config import unet_of


def unet_table(network: AbstractNetworkConfig) -> list[Pair]:
    """`UNet2DConditionModel`'s tensors for a UNet, with or without embedded guidance."""
    config, guidance_width = unet_of(network)
    us = "" if guidance_width is None else "network."
    pairs = [
        *conv(f"{us}conv_in", "conv_in"),
        *linear(f"{us}time.hidden", "time_embedding.linear_1"),
        *linear(f"{us}time.out", "time_embedding.linear_2"),
        *(
            pair
            for stage in _stages(config, us)
            for pair in _stage(*stage, config.linear_projections)
        ),
        *(pair for ours, theirs in _resamplings(config, us) for pair in conv(ours, theirs)),
        *norm(f"{us}norm_out", "conv_norm_out"),
        *conv(f"{us}conv_out", "conv_out"),
    ]
    if guidance_width is not None:
        pairs += linear("projection", "time_embedding.cond_proj", bias=False)
    return pairs


def _stages(config: UNetConfig, us: str) -> Iterable[tuple[str, str, int, bool, int]]:
    """Of each residual block with its transformer: our path, the two parts of their names, whether
    the channels change, and the transformer's depth."""
    multipliers, depths = config.multipliers, config.transformer_depths
    skips, current = [1], 1
    for level, (out, depth) in enumerate(zip(multipliers, depths, strict=True)):
        for i in range(config.depths[level]):
            yield f"{us}down.{level}.stages.{i}", f"down_blocks.{level}", i, current != out, depth
            current = out
            skips.append(out)
        if level < len(multipliers) - 1:
            skips.append(out)
    for i, (name, depth) in enumerate((("first", max(1, depths[-1])), ("second", 0))):
        yield f"{us}middle.{name}", "mid_block", i, False, depth
    for level, (out, depth) in enumerate(zip(multipliers[::-1], depths[::-1], strict=True)):
        for i in range(config.depths[::-1][level] + 1):
            changes = current + skips.pop() != out
            yield f"{us}up.{level}.stages.{i}", f"up_blocks.{level}", i, changes, depth
            current = out


def _resamplings(config: UNetConfig, us: str) -> Iterable[tuple[str, str]]:
    for side in ("down", "up"):
        for i in range(len(config.multipliers) - 1):
            ours = f"{us}{side}.{i}.resample.conv"
            yield ours, f"{side}_blocks.{i}.{side}samplers.0.conv"


def _stage(
    ours: str, theirs: str, i: int, changes: bool, depth: int, linear_projections: bool
) -> Iterable[Pair]:
    yield from _resblock(f"{ours}.block", f"{theirs}.resnets.{i}", changes)
    if depth:
        ours, theirs = f"{ours}.transformer", f"{theirs}.attentions.{i}"
        yield from _transformer(ours, theirs, depth, linear_projections)


def _resblock(ours: str, theirs: str, changes: bool) -> Iterable[Pair]:
    yield from norm(f"{ours}.norm1", f"{theirs}.norm1")
    yield from conv(f"{ours}.conv1", f"{theirs}.conv1")
    yield from linear(f"{ours}.time", f"{theirs}.time_emb_proj")
    yield from norm(f"{ours}.norm2", f"{theirs}.norm2")
    yield from conv(f"{ours}.conv2", f"{theirs}.conv2")
    if changes:
        yield from conv(f"{ours}.skip", f"{theirs}.conv_shortcut")


def _transformer(ours: str, theirs: str, depth: int, linear_projections: bool) -> Iterable[Pair]:
    yield from norm(f"{ours}.norm", f"{theirs}.norm")
    for name in ("proj_in", "proj_out"):
        if linear_projections:
            yield from linear(f"{ours}.{name}", f"{theirs}.{name}", weight=OUT_IN_POINTWISE)
        else:
            yield from conv(f"{ours}.{name}", f"{theirs}.{name}")
    for i in range(depth):
        yield from _block(f"{ours}.blocks.{i}", f"{theirs}.transformer_blocks.{i}")


def _block(ours: str, theirs: str) -> Iterable[Pair]:
    for i in (1, 2, 3):
        yield from norm(f"{ours}.norm{i}", f"{theirs}.norm{i}")
    for name, number in (("self_attention", 1), ("cross_attention", 2)):
        for part, short in (("query", "q"), ("key", "k"), ("value", "v")):
            yield from linear(
                f"{ours}.{name}.to_{part}", f"{theirs}.attn{number}.to_{short}", bias=False
            )
        yield from linear(f"{ours}.{name}.to_out", f"{theirs}.attn{number}.to_out.0")
    yield from linear(f"{ours}.feed_forward.to_hidden", f"{theirs}.ff.net.0.proj")
    yield from linear(f"{ours}.feed_forward.to_out", f"{theirs}.ff.net.2")
