"""Images that a model makes once, and that a run folder keeps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ..images import image_grid, save_png
from ..runtime import broadcast_from_first, log, on_first_process, replacing

PREVIEWED = 48
"""Images in the preview."""


def generated_images(
    file: Path,
    captions: Sequence[str],
    generate: Callable[[Sequence[str]], UInt8[np.ndarray, "count height width 3"]],
    *,
    preview: Path | None = None,
) -> UInt8[np.ndarray, "count height width 3"]:
    """The images in `file`, or without such a file those of `generate`, which are then saved.

    Every process calls this. All of them generate together, since the model may lie in shards, and
    the first one writes. A file is written whole or not at all.

    **Arguments:**

    - `file`: path of the `.npz` file.
    - `captions`: what the images show.
    - `generate`: makes one image for each caption, the same on every process.
    - `preview`: path of a PNG with the first of the images.
    """
    if broadcast_from_first(int(file.exists())):
        with np.load(file, allow_pickle=False) as arrays:
            return arrays["images"]
    log(f"Making {len(captions)} images.")
    images = generate(captions)

    def save() -> None:
        if preview is not None:
            save_png(preview, image_grid(images[:PREVIEWED], captions[:PREVIEWED]))
        with replacing(file) as temporary, temporary.open("wb") as out:
            np.savez(out, images=images)

    on_first_process("generated images", save)
    return images
