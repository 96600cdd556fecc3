"""The tensors of Stable Diffusion 3's transformer, by the names of diffusers."""

from ..denoise import MMDiTConfig
from .pairs import linear, Pair, stacked
from .transformer_pairs import (
    attention,
    embedding,
    feed_forward,
    scale_and_shift,
    Table,
    two_layers,
)


def mmdit_table(config: MMDiTConfig) -> list[Pair]:
    """`SD3Transformer2DModel`'s tensors for an `MMDiT`."""
    pairs = [
        *embedding(config.patch),
        *two_layers("time", "time_text_embed.timestep_embedder"),
        *two_layers("pooled", "time_text_embed.text_embedder"),
        *linear("caption", "context_embedder"),
        *scale_and_shift("final.modulation.projection", "norm_out.linear"),
        *linear("final.projection", "proj_out"),
    ]
    last = config.depth - 1
    kinds = (range(config.dual_depth), range(config.dual_depth, last), range(last, last + 1))
    for number, layers in enumerate(filter(len, kinds)):
        is_dual = len(layers) > 0 and layers.start < config.dual_depth
        block = _block(f"stacks.{number}.stacked", is_dual, layers.start == last, config.qk_norm)
        pairs += stacked(block, layers)
    return pairs


def _block(ours: str, is_dual: bool, is_last: bool, has_norms: bool) -> Table:
    theirs = "transformer_blocks.{}"
    yield from linear(f"{ours}.modulation.projection", f"{theirs}.norm1.linear")
    text = f"{ours}.text_modulation.projection", f"{theirs}.norm1_context.linear"
    yield from scale_and_shift(*text) if is_last else linear(*text)
    yield from _joint(f"{ours}.attention", f"{theirs}.attn", is_last, has_norms)
    if is_dual:
        yield from attention(f"{ours}.self_attention", f"{theirs}.attn2", has_norms=has_norms)
    yield from feed_forward(f"{ours}.feed_forward", f"{theirs}.ff")
    if not is_last:
        yield from feed_forward(f"{ours}.text_feed_forward", f"{theirs}.ff_context")


def _joint(ours: str, theirs: str, is_last: bool, has_norms: bool) -> Table:
    yield from attention(ours, theirs)
    for part, short in (("query", "q"), ("key", "k"), ("value", "v")):
        yield from linear(f"{ours}.to_{part}_text", f"{theirs}.add_{short}_proj")
    if not is_last:
        yield from linear(f"{ours}.to_out_text", f"{theirs}.to_add_out")
    if has_norms:
        for number, name in enumerate(("norm_q", "norm_k", "norm_added_q", "norm_added_k")):
            yield Pair(f"{ours}.norms.{number}.weight", f"{theirs}.{name}.weight")
