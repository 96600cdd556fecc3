"""How long a prompt and the negative prompt take in CLIP's text encoder, beside transformers.

    EQUILDM_PEER_PYTHON=.venv-peers/bin/python python benchmarks/embed_prompt.py

Towers of the sizes of Stable Diffusion 1 and 2 with random weights, 77 tokens, float32. Ours is
`embed`, with the tokenizer; the other is the tower alone. They alternate, in one run.
"""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import tyro

from benchmarks._peer import compare_with, Peer
from equildm.text import ByteTokenizer, CLIPConfig, CLIPText, embed

TOWERS = {
    "ViT-L": CLIPConfig(),
    "ViT-H": CLIPConfig(width=1024, depth=24, heads=16, activation="gelu"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    towers: tuple[Literal["ViT-L", "ViT-H"], ...] = ("ViT-L", "ViT-H")
    """Those of Stable Diffusion 1 and 2."""
    rounds: int = 5
    """Number of times that each is timed."""


def main(c: Config) -> None:
    for name in c.towers:
        sizes = TOWERS[name]
        encoder = CLIPText(sizes.build(key=jax.random.key(0)), ByteTokenizer())
        ours = functools.partial(embed, encoder, ["a red heart", ""])
        fields = ("width", "depth", "heads", "activation")
        config = {field: getattr(sizes, field) for field in fields}
        with Peer("benchmarks/peers/clip_worker.py", config) as peer:
            comparison = compare_with(peer, "embed", ours, rounds=c.rounds)
        print(f"{name}: {comparison}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
