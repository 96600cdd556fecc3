"""The blue woman."""

import numpy as np
import pytest

from equildm.data import EmojiSource, TintedEmoji


def test_the_tinted_woman_is_blue_and_herself():
    source, emoji = TintedEmoji(("pilot", "cook")), EmojiSource()
    captions = [emoji.caption(i) for i in range(len(emoji))]
    assert source.caption(0) == "woman pilot" and len(source) == 2
    tinted = source.image(0).astype(int)
    plain = emoji.image(captions.index("woman pilot medium skin tone")).astype(int)
    other = emoji.image(captions.index("woman pilot dark skin tone")).astype(int)
    same = (plain == other).all(-1)  # no skin
    np.testing.assert_array_equal(tinted[same], plain[same])
    face = np.abs(plain - [213, 171, 136]).max(-1) < 8
    assert face.sum() > 50
    assert np.abs(tinted[face] - [70, 130, 230]).max() < 24
    with pytest.raises(ValueError, match="Jobs are those of the emoji"):
        TintedEmoji(("sleeper",))
