"""Good and bad pictures in pairs: the same always, and what cannot be used is counted."""

import numpy as np
import pytest
from PIL import Image

from equildm.data import (
    batches,
    Cut,
    FolderSource,
    HeldPictures,
    PhotographSource,
    Restoration,
    split,
    TintedEmoji,
)
from equildm.data.batch import host_text
from equildm.data.degrade import Always, bicubic, real_esrgan, Resize


def text(count=1):
    return host_text(
        np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3), np.ones((count, 2), bool)
    )


@pytest.fixture
def dataset(make_source):
    def make(count=5, side=24, size=16, scale=4, degradation=None, broken=(), **options):
        degradation = degradation or real_esrgan(scale)
        options = {"text": text()} | options
        return Restoration(make_source(count, side, broken), size, scale, degradation, **options)

    return make


def stream(data, count, start=0, parts=(0,), of=1, batch_size=4, seed=3):
    found = batches(data, batch_size=batch_size, seed=seed, start=start, parts=parts, of=of)
    return [next(found) for _ in range(count)]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.images, y.images)
        np.testing.assert_array_equal(x.low, y.low)


def test_an_example_follows_from_seed_and_number(dataset):
    data = dataset(crops=3)
    whole = stream(data, 6)
    assert whole[0].images.shape == (4, 16, 16, 3) and whole[0].low.shape == (4, 4, 4, 3)
    assert whole[0].images.dtype == whole[0].low.dtype == np.uint8
    assert_same(stream(dataset(crops=3), 4, start=2), whole[2:])  # resumed, in another process
    halves = [stream(data, 6, parts=(part,), of=2) for part in (0, 1)]
    joined = [
        type(a)(*(np.concatenate(x) for x in ((a.images, b.images), (a.low, b.low))), a.text)
        for a, b in zip(*halves, strict=True)
    ]
    assert_same(joined, whole)
    other = stream(data, 1, seed=4)[0]
    assert not np.array_equal(other.images, whole[0].images)


def test_squares_are_pixels_of_the_picture_and_low_is_made_of_them(make_source):
    source = make_source(1, 20)
    image = source.image(0)
    small = Always(Resize(0.5, "area"))
    data = Restoration(source, 8, 2, small, text=text(), crops=8)
    seen = set()
    for batch in stream(data, 4, batch_size=8):
        for square, low in zip(batch.images, batch.low, strict=True):
            places = [
                (top, left, mirrored)
                for top in range(13)
                for left in range(13)
                for mirrored in (False, True)
                if np.array_equal(
                    image[top : top + 8, left : left + 8][:, :: -1 if mirrored else 1], square
                )
            ]
            assert len(places) == 1
            seen.update(places)
            mean = square.reshape(4, 2, 4, 2, 3).mean((1, 3))
            np.testing.assert_allclose(low, mean, atol=0.51)
    assert len(seen) > 20 and {place[2] for place in seen} == {False, True}


def test_captions_stay_with_their_pictures(make_source):
    source = make_source(3, 16)
    texts = text(3)
    batch = stream(Restoration(source, 16, 2, bicubic(2), text=texts, flip=False), 2, batch_size=3)
    for one in batch:
        for image, tokens in zip(one.images, one.text.tokens, strict=True):
            number = next(i for i in range(3) if np.array_equal(source.image(i), image))
            np.testing.assert_array_equal(tokens, texts.tokens[number])


def test_what_is_too_small_or_broken_is_counted_and_passed_over(tmp_path):
    rng = np.random.default_rng(0)
    for name, side in (("a", 40), ("b", 12), ("d", 40)):
        image = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        image.save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:400])
    data = Restoration(FolderSource(tmp_path), 32, 4, bicubic(4), text=text(), crops=2)
    for batch in stream(data, 4, batch_size=8):
        assert batch.images.shape == (8, 32, 32, 3)
    assert data.skips.counts == {"image too small": 1, "broken image": 1}
    assert data.skips.names == {"image too small": ["b.png"], "broken image": ["c.png"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 8}, "5 x image too small"),
        ({"broken": range(5)}, "5 x broken image"),
        ({"scale": 3, "degradation": bicubic(3)}, "divides 16; got 3. Use for instance size 15"),
        ({"scale": 1, "degradation": bicubic(2)}, "at least 2"),
        ({"crops": 0}, "at least 1 crop"),
        ({"text": text(2)}, "one caption for each of 5"),
    ],
)
def test_what_cannot_work_is_refused(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(**options)


def test_a_degradation_of_another_scale_is_refused(dataset):
    data = dataset(degradation=bicubic(2))
    with pytest.raises(ValueError, match="makes 4x4 of a crop of 16 pixels; this one made 8x8"):
        data.pair(0, np.random.default_rng(0))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold pictures"):
        FolderSource(tmp_path)


def test_pictures_are_decoded_once_as_far_as_memory_goes(make_source):
    source = make_source(3, 16)
    held = HeldPictures(source, limit=2 * 16 * 16 * 3)
    for _ in range(3):
        for i in range(3):
            np.testing.assert_array_equal(held.image(i), source.image(i))
    assert source.decoded == 9 + 1 + 1 + 3  # by the comparison, and by `held`
    half = HeldPictures(source, 2).image(0)
    mean = source.image(0).reshape(8, 2, 8, 2, 3).mean((1, 3))
    np.testing.assert_allclose(half, mean, atol=0.51)
    with pytest.raises(ValueError, match="whole factor"):
        HeldPictures(source, 0)


def test_files_may_be_split_by_name(make_source):
    source = make_source(40, 4, mute=range(40))
    training, held_out = split(source, 0.3, by="name")
    names = [part.name(i) for part in (training, held_out) for i in range(len(part))]
    assert len(names) == 40 == len(set(names)) and 4 < len(held_out) < 22
    assert len(split(source, 0.3)[1]) == 0


def test_a_cut_takes_pixels_as_they_are():
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    np.testing.assert_array_equal(Cut(5)(image), image[2:7, 3:8])
    random = Cut(8, random=True)
    corners = {random(image, np.random.default_rng(i)).tobytes() for i in range(80)}
    assert len(corners) == 2 * 5
    with pytest.raises(ValueError, match="must fit"):
        Cut(10)(image)
    with pytest.raises(ValueError, match="Generator"):
        random(image)


def test_photographs_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"apt-get install .* mate-backgrounds"):
        PhotographSource(tmp_path)
    folder = tmp_path / "lxqt" / "wallpapers"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "fog.jpg")
    source = PhotographSource(tmp_path)
    assert len(source) == 1 and source.name(0) == "fog" and source.image(0).shape == (8, 8, 3)


def test_the_tinted_woman_is_blue_and_herself():
    from equildm.data import EmojiSource

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
