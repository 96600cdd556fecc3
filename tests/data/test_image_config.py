"""The options of the data that a VAE is trained on."""

import numpy as np
import pytest

from equildm.data import batches, Crop, Cut, ImageDataConfig
from equildm.images import to_unit


def test_the_middle_of_each_image(make_source):
    config = ImageDataConfig(size=8)
    source = make_source(5, 16, broken={1})
    squares = config.squares(source, 4)
    expected = [to_unit(Crop(8)(source.image(i))) for i in (0, 2, 3)]
    np.testing.assert_array_equal(squares, expected)
    assert len(config.squares(source, 100)) == 4


def test_random_squares_of_one_image_after_the_other(make_source):
    config = ImageDataConfig(size=8, cut=1)
    source = make_source(3, 16)
    squares = config.squares(source, 7)
    generator, cut = np.random.default_rng(0), Cut(8, random=True)
    expected = [to_unit(cut(source.image(i % 3), generator)) for i in range(7)]
    np.testing.assert_array_equal(squares, expected)


def test_training_images_are_mirrored_and_held_out_ones_apart():
    config = ImageDataConfig("shapes", size=16, held_out=0.3)
    training, held_out = config.splits()
    captions = [{part.caption(i) for i in range(len(part))} for part in (training, held_out)]
    assert not captions[0] & captions[1]
    batch = next(batches(config.dataset(training), batch_size=2, seed=0))
    assert batch.images.shape == (2, 16, 16, 3)
    assert config.crop(random=True, flip=True) == Crop(16, random=True, flip=True)
    assert ImageDataConfig(cut=2).crop(random=True, flip=False) == Cut(32, random=True)


def test_files_are_held_out_of_cuts():
    training, held_out = ImageDataConfig("shapes", cut=2, held_out=0.3).splits()
    assert held_out.image(0).shape == (32, 32, 3)
    names = [{part.name(i) for i in range(len(part))} for part in (training, held_out)]
    assert len(names[0]) > len(names[1]) > 0 and not names[0] & names[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "received --size 0"),
        ({"cut": 0}, "received --cut 0"),
        ({"held_out": 0.0}, "received --held-out 0.0"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImageDataConfig(**options)


def test_squares_need_a_usable_image(make_source):
    for config in (ImageDataConfig(size=8), ImageDataConfig(size=8, cut=1)):
        for source in (make_source(3, broken=range(3)), make_source(0)):
            with pytest.raises(ValueError, match=f"received {len(source)} images of which none"):
                config.squares(source, 4)
