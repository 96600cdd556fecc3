"""The tensors of DiT and PixArt, by the names of diffusers."""

from ..denoise import DiTConfig
from .pairs import linear, Pair, stacked
from .transformer_pairs import attention, embedding, feed_forward, Table, two_layers

_CLASS_TIME = "transformer_blocks.0.norm1.emb"


def pixart_table(config: DiTConfig) -> list[Pair]:
    """`PixArtTransformer2DModel`'s tensors for a `WidthScaledDiT` with a shared modulation."""
    return [
        *embedding(config.patch),
        *two_layers("time", "adaln_single.emb.timestep_embedder"),
        *two_layers("caption", "caption_projection"),
        *linear("shared.projection", "adaln_single.linear"),
        *stacked(_pixart_block(), range(config.depth)),
        Pair("final.modulation.table", "scale_shift_table"),
        *linear("final.projection", "proj_out"),
    ]


def told_pixart_table(config: DiTConfig) -> list[Pair]:
    """The same for a `ResolutionConditioned` network, which is told resolution and aspect ratio."""
    theirs = "adaln_single.emb"
    return [
        *(pair._replace(ours=f"network.{pair.ours}") for pair in pixart_table(config)),
        *two_layers("sizes.resolution", f"{theirs}.resolution_embedder"),
        *two_layers("sizes.aspect", f"{theirs}.aspect_ratio_embedder"),
    ]


def _pixart_block() -> Table:
    ours, theirs = "blocks.stacked", "transformer_blocks.{}"
    yield Pair(f"{ours}.modulation.table", f"{theirs}.scale_shift_table")
    yield from attention(f"{ours}.self_attention", f"{theirs}.attn1")
    yield from attention(f"{ours}.cross_attention", f"{theirs}.attn2")
    yield from feed_forward(f"{ours}.feed_forward", f"{theirs}.ff")


def class_dit_table(config: DiTConfig) -> list[Pair]:
    """`DiTTransformer2DModel`'s tensors for a `WidthScaledDiT` of classes.

    There each block has a copy of the embeddings of time and class; this is the first's.
    """
    return [
        *embedding(config.patch),
        *two_layers("time", f"{_CLASS_TIME}.timestep_embedder"),
        Pair("pooled.weight", f"{_CLASS_TIME}.class_embedder.embedding_table.weight"),
        *stacked(_class_block(), range(config.depth)),
        *linear("final.modulation.projection", "proj_out_1"),
        *linear("final.projection", "proj_out_2"),
    ]


def _class_block() -> Table:
    ours, theirs = "blocks.stacked", "transformer_blocks.{}"
    yield from linear(f"{ours}.modulation.projection", f"{theirs}.norm1.linear")
    yield from attention(f"{ours}.self_attention", f"{theirs}.attn1")
    yield from feed_forward(f"{ours}.feed_forward", f"{theirs}.ff")
