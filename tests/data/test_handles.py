"""Thousands of files need a bounded number of descriptors."""

import io
import resource
import subprocess
import sys
import tarfile
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import others_slow, ROOT

from equildm.data import ShapesSource, write_arrayrecord
from equildm.data.handles import handle_limit, Handles


def test_the_least_recently_used_is_let_go():
    opened = []

    def open_file(number):
        opened.append(number)
        return object()

    files = Handles(open_file, 2)
    first = files[1]
    files[2]
    assert files[1] is first and opened == [1, 2]
    files[3]
    assert files[1] is first and opened == [1, 2, 3]
    files[2]
    assert opened == [1, 2, 3, 2] and len(files) == 2


def test_a_file_that_cannot_be_opened_takes_no_place():
    def refuse(number):
        raise OSError("no")

    files = Handles(refuse, 2)
    for _ in range(5):
        with pytest.raises(OSError, match="no"):
            files[0]
    assert len(files) == 0


def test_threads_share_them():
    files = Handles(lambda number: [number], 3)
    wrong = []

    def read(seed):
        for step in range(2000):
            number = (seed * 7 + step * step) % 10
            if files[number] != [number]:
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(files) == 3


def test_the_system_sets_the_limit(monkeypatch):
    for allowed, limit in ((256, 64), (20, 16), (10**6, 1024), (resource.RLIM_INFINITY, 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, allowed=allowed: (allowed, allowed))
        assert handle_limit() == limit


READ = """
import os, resource, sys
import numpy as np
from equildm.data import open_source, split

used = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 100, used + 100))
source = open_source(sys.argv[1])
assert len(source) == int(sys.argv[2]), len(source)
assert sum(map(len, split(source, 0.2, by="caption"))) == len(source)
for index in np.random.default_rng(0).permutation(len(source)).tolist():
    assert source[index].image.shape == (32, 32, 3)
print("read", len(os.listdir("/proc/self/fd")) - used)
"""


@pytest.mark.parametrize("kind", others_slow(["arrayrecord", "parquet", "tar"], "tar"))
def test_many_shards(kind, tmp_path, make_source, encode):
    count = 130
    image = encode(make_source(1, 32).image(0))
    data = io.BytesIO()
    if kind == "arrayrecord":
        write_arrayrecord(ShapesSource(side=32, count=2), tmp_path / "first")
        data.write((tmp_path / "first").read_bytes())
        (tmp_path / "first").unlink()
    elif kind == "parquet":
        pq.write_table(pa.table({"image": [image] * 2, "text": ["a", "b"]}), data)
    else:
        with tarfile.open(fileobj=data, mode="w") as tar:
            for name, content in (
                ("1.png", image),
                ("2.png", image),
                ("1.txt", b"a"),
                ("2.txt", b"b"),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    for number in range(count):
        (tmp_path / f"{number:03d}.{kind}").write_bytes(data.getvalue())
    command = [sys.executable, "-c", READ, str(tmp_path), str(2 * count)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout.split()[1]) <= 60
