"""Colours by their embedded profile -> sRGB, the space of untagged images and of what is made."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from .remarks import Note

UNUSABLE_PROFILE = "color profile that cannot be used, ignored"

_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's modes by the names of colour spaces in profiles."""


def to_srgb(image: Image.Image, profile: object, note: Note) -> Image.Image:
    """The image in RGB, without transparency.

    **Arguments:**

    - `image`: of any mode of 8 bits a channel.
    - `profile`: its ICC profile; none leaves the colours as they are.
    - `note`: is called for a profile that is broken or of another kind of image.
    """
    if not isinstance(profile, bytes) or not profile:
        return image.convert("RGB")
    source = image if image.mode in ("RGB", "L", "CMYK") else image.convert(_plain(image.mode))
    try:
        transform = _transform(profile, source.mode)
        converted = source if transform is None else ImageCms.applyTransform(source, transform)
    except MemoryError:
        raise
    except Exception:  # the library raises bare Exceptions of what it stumbled on
        note(UNUSABLE_PROFILE, 1)
        converted = None
    return (image if converted is None else converted).convert("RGB")


def _plain(mode: str) -> str:
    return "L" if mode in ("LA", "La", "1") else "RGB"


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None for one that is sRGB already, to leave the pixels alone."""
    parsed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = parsed.profile.xcolor_space
    if _SPACES.get(space) != mode:
        raise ValueError(f"a profile of {space} in an image of {mode}")
    transform = ImageCms.buildTransform(
        parsed,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "RGB":
        levels = np.linspace(0, 255, 9).astype(np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
        probe = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), transform))
        if np.abs(probe.astype(int) - grid).max() <= 2:
            return None
    return transform
