"""Parts of a source."""

import pytest

from equildm.data import Subset


def test_subset_and_indexing(make_source):
    source = make_source(5)
    part = Subset(source, [4, 0])
    assert [sample.name for sample in part] == ["image 4", "image 0"]
    assert part[-1].name == "image 0"
    with pytest.raises(IndexError, match="0 to 1"):
        part[2]
    with pytest.raises(ValueError, match="0 to 4; got 5"):
        Subset(source, [5])
