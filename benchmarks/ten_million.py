"""What opening a large data set costs: time and memory, without its index and with it.

    python benchmarks/ten_million.py --folder FOLDER --kind arrayrecord --samples 10000000

Tiny images with a caption each are written to files of 100,000 samples, if the folder has none.
Then processes of their own open them:

    build    no index is there: opening and splitting builds it
    open     opening, splitting, and the first batch of 512 random samples
    resume   the same from batch number 10,000 on

`processor` is the time that the process had a core. Memory is that of the process above what it had
after its imports: its own, and files that are mapped, whose pages the system shares between
processes and takes back when it needs them.
"""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from PIL import Image

from equildm.data import batches, Crop, ImageDataset, open_source, split
from equildm.data.records import open_writer

_SHARD = 100_000
_DISTINCT = 1000
_FOLDER_FILES = 10_000
_BATCH = 512


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the benchmark."""

    folder: Path
    """Where the samples lie, and the index beside them."""
    kind: Literal["arrayrecord", "tar", "folder", "parquet"] = "arrayrecord"
    """Of the files."""
    samples: int = 1_000_000
    """Number of images."""
    phase: Literal["all", "build", "open", "resume"] = "all"
    """A phase by itself is measured in this process."""


def images() -> list[bytes]:
    """Some encoded images of 8 x 8 pixels."""
    random = np.random.default_rng(0)
    encoded = []
    for _ in range(_DISTINCT):
        data = io.BytesIO()
        color = random.integers(0, 256, 3).astype(np.uint8)
        Image.fromarray(np.broadcast_to(color, (8, 8, 3))).save(data, "PNG")
        encoded.append(data.getvalue())
    return encoded


def caption(number: int) -> str:
    """A caption that no other sample has."""
    return f"a square of colour {number % _DISTINCT}, seen for the {number}th time"


def write(config: Config, root: Path) -> None:
    """The samples in shards, each of which gets its name when it is complete."""
    encoded = images()
    shard = _FOLDER_FILES if config.kind == "folder" else _SHARD
    for start in range(0, config.samples, shard):
        path = root / f"{start // shard:05d}.{config.kind}"
        numbers = range(start, min(start + shard, config.samples))
        if not path.exists():
            temporary = path.with_suffix(".tmp")
            WRITERS[config.kind](temporary, numbers, encoded)
            temporary.rename(path)


def write_records(path: Path, numbers: range, encoded: list[bytes]) -> None:
    """An ArrayRecord file."""
    writer = open_writer(path)
    for number in numbers:
        header = json.dumps({"name": str(number), "caption": caption(number)}).encode()
        image = encoded[number % _DISTINCT]
        writer.write(len(header).to_bytes(4, "little") + header + image)
    writer.close()


def write_tar(path: Path, numbers: range, encoded: list[bytes]) -> None:
    """A tar in the layout of webdataset."""
    with path.open("wb") as file:
        for number in numbers:
            texts = ((".png", encoded[number % _DISTINCT]), (".txt", caption(number).encode()))
            for suffix, data in texts:
                info = tarfile.TarInfo(f"{number:09d}{suffix}")
                info.size = len(data)
                file.write(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512))
        file.write(bytes(1024))


def write_folder(path: Path, numbers: range, encoded: list[bytes]) -> None:
    """Loose images with one file of metadata."""
    path.mkdir()
    with (path / "metadata.jsonl").open("w") as lines:
        for number in numbers:
            (path / f"{number}.png").write_bytes(encoded[number % _DISTINCT])
            lines.write(json.dumps({"file_name": f"{number}.png", "text": caption(number)}) + "\n")


def write_parquet(path: Path, numbers: range, encoded: list[bytes]) -> None:
    """A parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = [encoded[number % _DISTINCT] for number in numbers]
    pq.write_table(pa.table({"image": image, "text": list(map(caption, numbers))}), path)


WRITERS = {
    "arrayrecord": write_records,
    "tar": write_tar,
    "folder": write_folder,
    "parquet": write_parquet,
}


def memory() -> dict[str, int]:
    """Bytes of this process in memory: its own, and those of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
    return {name: int(values[name]) * 1024 for name in ("RssAnon", "RssFile", "VmHWM")}


def measure(config: Config, root: Path) -> None:
    """One phase, in this process."""
    before = memory()
    start = time.perf_counter(), time.process_time()

    def note(what: str) -> None:
        nonlocal start
        now = memory()
        seconds, processor = time.perf_counter() - start[0], time.process_time() - start[1]
        own, mapped, peak = (
            (now[name] - before[name]) / 2**20 for name in ("RssAnon", "RssFile", "VmHWM")
        )
        print(
            f"{config.phase:7} {what:12} {seconds:7.2f} s   processor {processor:7.2f} s   "
            f"own {own:6.0f} MB   mapped {mapped:6.0f} MB   peak {peak:6.0f} MB",
            flush=True,
        )
        start = time.perf_counter(), time.process_time()

    source = open_source(root)
    note("open")
    training, held_out = split(source)
    note("split")
    assert len(training) + len(held_out) == config.samples
    if config.phase != "build":
        number = 10_000 if config.phase == "resume" else 0
        order = batches(ImageDataset(training, Crop(8)), batch_size=_BATCH, seed=0, start=number)
        next(order)
        note("first batch")
        for _ in range(10):
            next(order)
        note("ten more")


def main(config: Config) -> None:
    root = config.folder / f"{config.kind}-{config.samples}"
    index = config.folder / "index"
    if config.phase != "all":
        measure(config, root)
        return
    root.mkdir(parents=True, exist_ok=True)
    write(config, root)
    shutil.rmtree(index, ignore_errors=True)
    for phase in ("build", "open", "resume"):
        options = ("--folder", config.folder, "--kind", config.kind, "--phase", phase)
        command = [sys.executable, __file__, *map(str, options), "--samples", str(config.samples)]
        subprocess.run(command, check=True, env=os.environ | {"EQUILDM_INDEX": str(index)})
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    print(f"the index takes {size / 2**20:.0f} MB on disk")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
