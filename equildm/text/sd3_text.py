"""The three text encoders of Stable Diffusion 3 as one."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from .._types import TextEmbedding
from .encoder import AbstractTextEncoder
from .projected_clip import ProjectedCLIP
from .t5 import T5Encoder
from .tokenizer import AbstractTokenizer, TokenBatch


class SD3Text(AbstractTextEncoder):
    """Two CLIPs and a T5 (Esser et al. 2024, figure 2a).

    The tokens of the two CLIPs stand side by side, padded with zeros to T5's width; those of T5
    follow. The pooled vector is that of the first CLIP, then that of the second. As in the public
    pipeline all tokens count, the padding too.
    """

    clip_l: ProjectedCLIP
    clip_g: ProjectedCLIP
    t5: T5Encoder
    tokenizer: AbstractTokenizer = eqx.field(static=True)
    others: tuple[AbstractTokenizer, AbstractTokenizer] = eqx.field(static=True)
    width: int = eqx.field(static=True)
    max_tokens: int = eqx.field(static=True)
    t5_tokens: int = eqx.field(static=True)

    def __init__(
        self,
        clip_l: ProjectedCLIP,
        clip_g: ProjectedCLIP,
        t5: T5Encoder,
        tokenizers: tuple[AbstractTokenizer, AbstractTokenizer, AbstractTokenizer],
        max_tokens: int = 77,
        t5_tokens: int = 256,
    ):
        """**Arguments:**

        - `clip_l`, `clip_g`, `t5`: the networks; in Stable Diffusion 3 ViT-L, ViT-bigG and T5-XXL.
        - `tokenizers`: theirs, in this order.
        - `max_tokens`: tokens that the CLIPs read of a caption.
        - `t5_tokens`: tokens that T5 reads of it.

        **Raises** `ValueError` for CLIPs that are wider together than T5, and for more tokens than
        they have positions.
        """
        width = clip_l.tower.config.width + clip_g.tower.config.width
        if width > t5.config.width:
            raise ValueError(
                "The tokens of both CLIPs side by side are padded to T5's width, received "
                f"{width} and {t5.config.width}. Use the encoders of one Stable Diffusion 3."
            )
        longest = min(clip_l.tower.config.longest, clip_g.tower.config.longest)
        if not 2 <= max_tokens <= longest or t5_tokens < 1:
            raise ValueError(
                f"The CLIPs read 2 to {longest} tokens and T5 at least 1, received "
                f"max_tokens={max_tokens} and t5_tokens={t5_tokens}. Use 77 and 256."
            )
        self.clip_l, self.clip_g, self.t5 = clip_l, clip_g, t5
        self.tokenizer, *others = tokenizers
        self.others = (others[0], others[1])
        self.width = t5.config.width
        self.max_tokens, self.t5_tokens = max_tokens, t5_tokens

    @property
    def tokenizers(self) -> tuple[AbstractTokenizer, AbstractTokenizer, AbstractTokenizer]:
        """Those of the two CLIPs and of T5. By the first, long captions are told."""
        return (self.tokenizer, *self.others)

    @property
    def pooled_width(self) -> int:
        """Width of a caption's vector."""
        return self.clip_l.config.projection + self.clip_g.config.projection

    def tokenize(self, captions: Sequence[str]) -> TokenBatch:
        """The ids of all three, one after the other."""
        lengths = (self.max_tokens, self.max_tokens, self.t5_tokens)
        batches = [t(captions, n) for t, n in zip(self.tokenizers, lengths, strict=True)]
        return TokenBatch(*(np.concatenate(parts, axis=1) for parts in zip(*batches, strict=True)))

    def __call__(self, ids: Int[Array, "tokens"], mask: Bool[Array, "tokens"]) -> TextEmbedding:
        """See `AbstractTextEncoder`; `mask` is not looked at."""
        count = self.max_tokens
        clips = (self.clip_l, ids[:count]), (self.clip_g, ids[count : 2 * count])
        closings = [int(t([""], 2).ids[0, 1]) for t in self.tokenizers[:2]]
        outputs = [clip(part, end) for (clip, part), end in zip(clips, closings, strict=True)]
        tokens, pooled = (jnp.concatenate(parts, -1) for parts in zip(*outputs, strict=True))
        tokens = jnp.pad(tokens, ((0, 0), (0, self.width - tokens.shape[-1])))
        rest = ids[2 * count :]
        tokens = jnp.concatenate([tokens, self.t5(rest, jnp.ones_like(rest, bool))])
        return TextEmbedding(tokens, jnp.ones(len(tokens), bool), pooled)
