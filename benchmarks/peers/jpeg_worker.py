"""Images a second of PyTorch's `DataLoader` over JPEG files: the peer of `data_throughput.py`."""

import time
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.peers._serve import Command, serve


class Files(torch.utils.data.Dataset):
    """JPEG files as square crops of 8 bits a channel."""

    def __init__(self, paths: list[str], size: int, *, draft: bool):
        self.paths, self.size, self.draft = paths, size, draft

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as file:
            if self.draft:
                file.draft("RGB", (2 * self.size, 2 * self.size))
            image = file.convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        box = (left, top, left + side, top + side)
        square = image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)
        return torch.from_numpy(np.array(square))


def build(config: dict[str, Any]) -> dict[str, Command]:
    """One command, which times whole epochs in workers that are kept."""

    def read(*, draft: bool, seconds: float) -> dict[str, Any]:
        files = Files(config["paths"], config["size"], draft=draft)
        loader = torch.utils.data.DataLoader(
            files,
            batch_size=config["batch_size"],
            shuffle=True,
            num_workers=config["workers"],
            persistent_workers=True,
        )
        for _ in loader:
            pass  # the workers start
        begun, count = time.perf_counter(), 0
        while (took := time.perf_counter() - begun) < seconds:
            count += sum(len(batch) for batch in loader)
        return {"seconds": took, "images": count}

    return {"read": read}


if __name__ == "__main__":
    serve(build)
