"""The compile cache keeps to its limit, and keeps what is used."""

import os

from compile_cache import prune


def test_what_was_read_longest_ago_goes_first(tmp_path):
    for name, read in (("used", 30), ("old", 10), ("newer", 20)):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (read, 5))
    prune(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 3
    prune(tmp_path, 299)
    assert {path.name for path in tmp_path.iterdir()} == {"used", "newer"}
    prune(tmp_path, 100)
    assert {path.name for path in tmp_path.iterdir()} == {"used"}
