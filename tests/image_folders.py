"""Folders of images of which some cannot be used."""

import json
from pathlib import Path

from PIL import Image

from equildm.data import ShapesSource

BROKEN, UNNAMED = 3, 5


def flawed_folder(folder: Path) -> Path:
    """14 images with different captions, of which `BROKEN` is cut off and `UNNAMED` has none."""
    folder.mkdir(exist_ok=True)
    shapes = ShapesSource(side=32, count=14)
    with (folder / "metadata.jsonl").open("w") as lines:
        for i in range(14):
            path = folder / f"{i:02d}.png"
            Image.fromarray(shapes.image(i)).save(path)
            if i == BROKEN:
                path.write_bytes(path.read_bytes()[:60])
            if i != UNNAMED:
                caption = f"{shapes.caption(i)} {i}"
                lines.write(json.dumps({"file_name": path.name, "text": caption}) + "\n")
    return folder
