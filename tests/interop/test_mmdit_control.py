"""A ControlNet of an `MMDiT` is Stable Diffusion 3's of diffusers."""

import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equildm import TextEmbedding
from equildm.denoise import ControlCondition, ControlNetConfig, MMDiTConfig
from equildm.interop import linear, stacked, write_weights
from equildm.interop.mmdit import to_sd3
from equildm.interop.mmdit_table import mmdit_table
from equildm.interop.transformer_pairs import patch_kernel

CONFIG = MMDiTConfig(
    24, 6, 2, context_width=20, pooled_width=10, position_base=8, position_largest=12,
    qk_norm=True, dual_depth=1, time_offset=1.0,
)  # fmt: skip
COPIED = 3
CONTROL = ControlNetConfig(CONFIG, image_channels=5, hint_channels=(), blocks=COPIED)


def control_table():
    """The tensors of `SD3ControlNetModel`, of a branch with a block that has a second attention."""
    last = "stacks.2."
    pairs = []
    for pair in mmdit_table(dataclasses.replace(CONFIG, depth=COPIED + 1)):
        if not pair.ours.startswith(("final", last)):
            ours = pair.ours.replace(".stacked.", ".stacked.block.")
            pairs.append(pair._replace(ours=f"network.{ours}"))
    for number, layers in enumerate((range(1), range(1, COPIED))):
        output = linear(f"network.stacks.{number}.stacked.output", "controlnet_blocks.{}")
        pairs += stacked(output, layers)
    return [*pairs, *linear("hint.conv_out.projection", "pos_embed_input.proj",
                            weight=patch_kernel(CONFIG.patch))]  # fmt: skip


def drawn_weights(random, path, leaf):
    """Scales of norms around 1, all others around 0: none is zero, as many would be at first."""
    around = 1 if "norm" in jax.tree_util.keystr(path) else 0
    return jax.device_put(around + 0.15 * random.standard_normal(leaf.shape, np.float32))


@pytest.mark.peer
def test_is_the_controlnet_of_diffusers(peer):
    """Every residual, and the output of the transformer that has one after each block."""
    random = np.random.default_rng(0)
    template = eqx.filter_eval_shape(CONTROL.build, key=jax.random.key(0))
    network = jax.tree_util.tree_map_with_path(partial(drawn_weights, random), template)
    draw = lambda *shape: random.standard_normal((1, *shape)).astype(np.float32)
    x, image, text, pooled = draw(8, 12, 4), draw(8, 12, 5), draw(11, 20), draw(10)
    fields = to_sd3(CONFIG)
    del fields["_class_name"]
    control = fields | {"num_layers": COPIED, "extra_conditioning_channels": 1}
    on_host = jax.device_get(network)
    weights = write_weights(on_host.control, control_table())
    trunk = write_weights(on_host.network, mmdit_table(CONFIG))
    theirs = peer(
        "controlnet",
        {"transformer": fields, "control": control},
        x=x,
        t=np.array([813.0], "f"),
        text=text,
        pooled=pooled,
        image=image,
        **{f"weight_{name}": weights[name] for name in weights},
        **{f"trunk_{name}": trunk[name] for name in trunk},
    )
    caption = TextEmbedding(*jax.device_put((text[0], np.ones(11, bool), pooled[0])))
    condition = ControlCondition(caption, jax.device_put(image[0]))

    @eqx.filter_jit
    def called(network):
        inputs = jax.device_put(x[0]), jnp.float32(812), condition
        return network.control(*inputs), network(*inputs)

    residuals, output = jax.device_get(called(network))
    for ours, other in (
        (residuals[:5], theirs["residuals"][[0, 0, 1, 1, 2]]),
        (output, theirs["output"][0]),
    ):
        error = np.linalg.norm(ours - other) / np.linalg.norm(other)
        print(f"relative error {error:.1e}")
        assert error < 1e-5
    assert not np.any(residuals[5])
