"""Parts of a source, and the split by caption."""

import numpy as np
import pytest

from equildm.data import (
    is_held_out,
    Skips,
    split,
    Subset,
)


def test_split_by_caption(make_source):
    source = make_source(300, mute={4})
    training, held_out = split(source, 0.2)
    assert len(training) + len(held_out) == 300
    assert 20 < len(held_out) < 100
    captions = {held_out.caption(index) for index in range(len(held_out))}
    seen = {Skips(training).attempt(index, training.caption) for index in range(len(training))}
    assert not captions & seen
    assert None in seen  # the one without a caption, left to be counted
    more = split(source, 0.4)[1]
    assert captions < {sample.caption for sample in more}
    assert training.fingerprint != held_out.fingerprint
    first = held_out[0]
    assert is_held_out(first.caption, 0.2) and not is_held_out(first.caption, 0.0)
    np.testing.assert_array_equal(first.image, source[int(first.name.split()[1])].image)


def test_subset_and_indexing(make_source):
    source = make_source(5)
    part = Subset(source, [4, 0])
    assert [sample.name for sample in part] == ["image 4", "image 0"]
    assert part[-1].name == "image 0"
    with pytest.raises(IndexError, match="0 to 1"):
        part[2]
    with pytest.raises(ValueError, match="0 to 4; got 5"):
        Subset(source, [5])
    with pytest.raises(ValueError, match=r"\[0, 1\); got 1.5"):
        is_held_out("a", 1.5)


def test_files_may_be_split_by_name(make_source):
    source = make_source(40, 4, mute=range(40))
    training, held_out = split(source, 0.3, by="name")
    names = [part.name(i) for part in (training, held_out) for i in range(len(part))]
    assert len(names) == 40 == len(set(names)) and 4 < len(held_out) < 22
    assert len(split(source, 0.3)[1]) == 0
