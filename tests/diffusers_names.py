"""Our UNet's weights by diffusers' names and in its layout, found without the library's tables."""

import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

NAMES = [
    (r"^time\.", "time_embedding."),
    (r"^norm_out", "conv_norm_out"),
    (r"(down|up)\.(\d)\.stages\.(\d)\.block", r"\1_blocks.\2.resnets.\3"),
    (r"(down|up)\.(\d)\.stages\.(\d)\.transformer", r"\1_blocks.\2.attentions.\3"),
    (r"(down|up)\.(\d)\.resample", r"\1_blocks.\2.\1samplers.0"),
    (r"middle\.first\.block", "mid_block.resnets.0"),
    (r"middle\.second\.block", "mid_block.resnets.1"),
    (r"middle\.first\.transformer", "mid_block.attentions.0"),
    (r"time_embedding\.hidden", "time_embedding.linear_1"),
    (r"time_embedding\.out", "time_embedding.linear_2"),
    (r"\.time\.", ".time_emb_proj."),
    (r"\.skip\.", ".conv_shortcut."),
    (r"\.blocks\.", ".transformer_blocks."),
    (r"self_attention", "attn1"),
    (r"cross_attention", "attn2"),
    (r"to_query", "to_q"),
    (r"to_key", "to_k"),
    (r"to_value", "to_v"),
    (r"(attn\d)\.to_out", r"\1.to_out.0"),
    (r"feed_forward\.to_hidden", "ff.net.0.proj"),
    (r"feed_forward\.to_out", "ff.net.2"),
]


def their_name(path: tuple[Any, ...]) -> str:
    name = re.sub(r"\[(\d+)\]", r".\1", jax.tree_util.keystr(path)).lstrip(".")
    for ours, theirs in NAMES:
        name = re.sub(ours, theirs, name)
    return name


def their_layout(leaf: jax.Array) -> np.ndarray:
    """`(kh, kw, in, out)` becomes `(out, in, kh, kw)` and `(in, out)` becomes `(out, in)`."""
    leaf = np.asarray(leaf)
    return leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf.T


def weights(
    tree: PyTree, name: Callable[[tuple[Any, ...]], str] = their_name
) -> dict[str, np.ndarray]:
    """A peer's arrays: the network's weights, of which `weight_` marks the names."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {f"weight_{name(path)}": their_layout(leaf) for path, leaf in leaves}
