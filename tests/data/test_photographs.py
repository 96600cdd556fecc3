"""Photographs where Debian's packages put them."""

import numpy as np
import pytest
from PIL import Image

from equildm.data import PhotographSource


def test_photographs_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"apt-get install .* mate-backgrounds"):
        PhotographSource(tmp_path)
    folder = tmp_path / "lxqt" / "wallpapers"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "fog.jpg")
    source = PhotographSource(tmp_path)
    assert len(source) == 1 and source.name(0) == "fog" and source.image(0).shape == (8, 8, 3)
