"""Members are those that `tarfile` reads; plain files, which are most, are read without it."""

import io
import tarfile

import numpy as np
import pytest

from equildm.data.tar_members import Member, tar_members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
NAMES = [
    *("a.png", "folder/b.png", "x" * 100, "x" * 99, "d" * 60 + "/" + "f" * 60, "n" * 300),
    *("caf\u00e9.png", "\udcff.png", "folder", "two\nlines", " space ", "a/../b"),
]
TYPES = [tarfile.REGTYPE] * 8 + [
    *(tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE),
    *(tarfile.CONTTYPE, tarfile.CHRTYPE),
]


def expected(path) -> list[Member]:
    with tarfile.open(path) as tar:
        return [
            Member(info.name, info.offset_data, info.size, 0, info.isreg(), info.isdir())
            for info in tar
        ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", FORMATS)
def test_random_archives(kind, seed, tmp_path):
    random = np.random.default_rng(seed)
    path = tmp_path / "a.tar"
    headers = {"comment": "global"} if kind == "pax" and seed % 2 else None
    with tarfile.open(path, "w", format=FORMATS[kind], pax_headers=headers) as tar:
        for _ in range(40):
            info = tarfile.TarInfo(NAMES[random.integers(len(NAMES))])
            info.type = TYPES[random.integers(len(TYPES))]
            info.size = int(random.choice([0, 1, 511, 512, 513, 3000])) if info.isreg() else 0
            info.mtime = float(random.choice([0, 1.5, 1e9]))
            info.uid = int(random.choice([0, 2**21 + 5])) if kind != "ustar" else 0
            try:
                tar.addfile(info, io.BytesIO(random.bytes(info.size)))
            except ValueError:  # a name too long for the format
                continue
    assert list(tar_members(path)) == expected(path)
    assert len(expected(path)) > 20


def test_a_wrong_checksum_is_no_member(tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(3):
            tar.addfile(tarfile.TarInfo(f"{number}.png"))
    for place in (0, 100, 124, 150, 200, 300, 511):
        damaged = bytearray(data.getvalue())
        damaged[512 + place] ^= 1
        (tmp_path / "a.tar").write_bytes(damaged)
        with pytest.raises(ValueError, match="no valid header"):
            list(tar_members(tmp_path / "a.tar"))
