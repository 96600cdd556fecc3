"""Network sizes inferred from the shapes of tensors, for files that have no other description.

Each takes the shapes by the names of the original Stable Diffusion code, and raises `KeyError` or
`ValueError` where they describe no such network.
"""

from collections.abc import Mapping, Sequence

from ..denoise import GuidanceEmbeddingConfig, UNetConfig
from ..latents import VAEConfig
from ..text import CLIPConfig

Shapes = Mapping[str, Sequence[int]]


def infer_unet_config(
    shapes: Shapes, heads: int | Sequence[int] | None = None
) -> UNetConfig | GuidanceEmbeddingConfig:
    """A UNet's sizes.

    No shape tells the number of heads. By default it is 8 where captions are up to 768 wide (Stable
    Diffusion 1); where they are wider (2), heads are 64 wide.
    """
    width = shapes["input_blocks.0.0.weight"][0]
    multipliers, depths, transformers = [1], [0], [0]
    number = 1
    while f"input_blocks.{number}.0.in_layers.0.weight" in shapes or (
        f"input_blocks.{number}.0.op.weight" in shapes
    ):
        block = f"input_blocks.{number}"
        number += 1
        if f"{block}.0.op.weight" in shapes:
            for sizes, fresh in ((multipliers, 1), (depths, 0), (transformers, 0)):
                sizes.append(fresh)
            continue
        channels = shapes[f"{block}.0.out_layers.3.weight"][0]
        if channels % width:
            raise ValueError(f"{block} has {channels} channels, no multiple of {width}")
        multipliers[-1] = channels // width
        depths[-1] += 1
        inner = f"{block}.1.transformer_blocks"
        transformers[-1] = sum(f"{inner}.{i}.norm1.weight" in shapes for i in range(100))
    middle = "middle_block.1"
    context_width = shapes[f"{middle}.transformer_blocks.0.attn2.to_k.weight"][1]
    if heads is None:
        wide = tuple(max(1, width * multiplier // 64) for multiplier in multipliers)
        heads = 8 if context_width <= 768 else wide
    guidance = shapes.get("time_embed.cond_proj.weight")
    unet = UNetConfig(
        width=width,
        in_channels=shapes["input_blocks.0.0.weight"][1],
        out_channels=shapes["out.2.weight"][0],
        context_width=context_width,
        multipliers=tuple(multipliers),
        depths=tuple(depths),
        transformer_depths=tuple(transformers),
        heads=heads if isinstance(heads, int) else tuple(heads),
        groups=32 if width % 32 == 0 else 16,
        linear_projections=len(shapes[f"{middle}.proj_in.weight"]) == 2,
    )
    return unet if guidance is None else GuidanceEmbeddingConfig(unet, guidance[1])


def infer_vae_config(shapes: Shapes, scale: float = 0.18215) -> VAEConfig:
    """A VAE's sizes. No shape tells its scale."""
    width, image_channels = shapes["encoder.conv_in.weight"][:2]
    channels: list[int] = []
    while f"encoder.down.{len(channels)}.block.0.conv1.weight" in shapes:
        channels.append(shapes[f"encoder.down.{len(channels)}.block.0.conv1.weight"][0])
    if not channels or any(count % width for count in channels):
        raise ValueError(f"its levels have {channels} channels, which are no multiples of {width}")
    return VAEConfig(
        width=width,
        multipliers=tuple(count // width for count in channels),
        depth=sum(f"encoder.down.0.block.{i}.conv1.weight" in shapes for i in range(100)),
        latent_channels=shapes["post_quant_conv.weight"][0],
        image_channels=image_channels,
        groups=32 if width % 32 == 0 else 16,
        scale=scale,
    )


def infer_clip_config(shapes: Shapes, open_clip: bool) -> CLIPConfig:
    """A text tower's sizes, with heads 64 wide.

    **Arguments:**

    - `shapes`: by name.
    - `open_clip`: whether the names are OpenCLIP's.
    """
    layer = "transformer.resblocks.{}." if open_clip else "encoder.layers.{}."
    words = "token_embedding.weight" if open_clip else "embeddings.token_embedding.weight"
    positions = "positional_embedding" if open_clip else "embeddings.position_embedding.weight"
    hidden = "mlp.c_fc.weight" if open_clip else "mlp.fc1.weight"
    vocabulary, width = shapes[words]
    depth = 0
    while layer.format(depth) + hidden in shapes:
        depth += 1
    return CLIPConfig(
        vocabulary=vocabulary,
        width=width,
        depth=depth,
        heads=max(1, width // 64),
        hidden=shapes[layer.format(0) + hidden][0],
        longest=shapes[positions][0],
        activation="gelu" if open_clip else "quick_gelu",
    )
