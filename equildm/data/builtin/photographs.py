"""Photographs among Debian's desktop wallpapers."""

from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import UInt8

from ..decode import decode_image
from ..files import read_listed
from ..source import AbstractSource, digest, file_identity, READING, UnusableSample

_FILES = {
    "plasma-workspace-wallpapers": (
        "wallpapers",
        """
        BytheWater/contents/images/1920x1080.jpg
        ColdRipple/contents/images/1920x1080.jpg
        ColorfulCups/contents/images/2560x1600.jpg
        DarkestHour/contents/images/1920x1080.jpg
        EveningGlow/contents/images/1920x1080.jpg
        FallenLeaf/contents/images/1920x1080.jpg
        Grey/contents/images/1920x1080.jpg
        IceCold/contents/images/5120x2880.png
        Kite/contents/images/1920x1080.jpg
        OneStandsOut/contents/images/1920x1080.jpg
        Path/contents/images/1920x1080.jpg
        summer_1am/contents/images/1920x1080.jpg
        """,
    ),
    "mate-backgrounds": (
        "backgrounds/mate/nature",
        """
        Aqua.jpg
        Blinds.jpg
        Dune.jpg
        FreshFlower.jpg
        Garden.jpg
        GreenMeadow.jpg
        LadyBird.jpg
        RainDrops.jpg
        Storm.jpg
        TwoWings.jpg
        Wood.jpg
        YellowFlower.jpg
        """,
    ),
    "lomiri-wallpapers-16.04": (
        "backgrounds",
        """
        Bridge_by_Sander_Klootwijk.jpg
        Dragonfly_by_Bolly.jpg
        Picture_0B_by_freespace.jpg
        Picture_1A_by_freespace.jpg
        Wine_by_Jakkub_Mede.jpg
        aitzgorri_by_Aitzol_Berasategi.jpg
        friends_by_Aitzol_Berasategi.jpg
        greentock_by_Peter_Nerlich.jpg
        life_by_Aitzol_Berasategi.jpg
        picosdeeuropa_by_Aitzol_Berasategi.jpg
        seeding_by_Clements_Engelhardt.jpg
        sunset_by_Aitzol_Berasategi.jpg
        """,
    ),
    "lomiri-wallpapers-20.04": (
        "backgrounds",
        """
        Kleiber_by_Lukas_Baubkus.jpg
        """,
    ),
    "lxqt-themes": (
        "lxqt/wallpapers",
        """
        Butterfly-Kenneth-Wimer.jpg
        Valendas.png
        after-the-rain.jpg
        appleflower.png
        beam.png
        butterfly.png
        cloud.png
        drop.png
        flowers.png
        fog.jpg
        this-is-not-windows.jpg
        """,
    ),
}
"""A selection from each package: folder under `/usr/share`, and files."""


@final
class PhotographSource(AbstractSource):
    """48 photographs from Debian's wallpaper packages, of 2 to 15 megapixels each.

    They have no captions. Licences are GPL, LGPL, CC-BY and CC-BY-SA by package: read the packages'
    copyright files before you pass on images derived from them. Photographs that are not installed
    are left out.

    **Raises** `ValueError` if none is installed.
    """

    def __init__(self, share: str | Path = "/usr/share"):
        self._paths = [
            path
            for folder, files in _FILES.values()
            for file in files.split()
            if (path := Path(share, folder, file)).is_file()
        ]
        if not self._paths:
            raise ValueError(
                f"The photographs must be installed under {share}; none is. On Debian: apt-get "
                f"install --no-install-recommends {' '.join(_FILES)}. Elsewhere name a folder of "
                "your own."
            )

    @property
    def fingerprint(self) -> str:
        return digest(["photographs", READING, *(file_identity(path) for path in self._paths)])

    def __len__(self) -> int:
        return len(self._paths)

    def name(self, index: int) -> str:
        path = self._paths[index]
        # In the first package files are named by their size, and folders by their content.
        return path.parts[-4] if path.parts[-2] == "images" else path.stem

    def caption(self, index: int) -> str:
        raise UnusableSample("missing caption", self.name(index))

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return decode_image(read_listed(self._paths[index]), self.name(index))
