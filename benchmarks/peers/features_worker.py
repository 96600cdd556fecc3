"""PyTorch's side of `benchmarks/features.py`: VGG16's and AlexNet's convolutions, in float32.

Configuration, as JSON: the fields of `Config`. Commands: `VGG16` and `AlexNet`, the features of all
images, and `product` of a matrix with itself, each answered with `seconds`.
"""

import dataclasses
import time
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.peers._serve import Command, serve

VGG16_CHANNELS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""Of each convolution; 0 is max-pooling."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The sizes."""

    side: int
    images: int
    batch: int
    matrix: int
    threads: int = 2


def vgg16() -> nn.Sequential:
    """The convolutions of configuration D."""
    layers: list[nn.Module] = []
    before = 3
    for channels in VGG16_CHANNELS:
        if channels == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
        before = channels
    return nn.Sequential(*layers)


def alexnet() -> nn.Sequential:
    """The convolutions of the one-tower AlexNet."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    )


def build(config: dict[str, Any]) -> dict[str, Command]:
    """The commands, on networks with random weights."""
    c = Config(**config)
    torch.set_num_threads(c.threads)
    images = torch.randint(0, 256, (c.images, 3, c.side, c.side), dtype=torch.uint8)
    matrix = torch.ones(c.matrix, c.matrix)

    @torch.no_grad()
    def features(network: nn.Module) -> dict[str, Any]:
        start = time.perf_counter()
        for part in images.split(c.batch):
            x = (part.float() / 127.5 - 1).to(memory_format=torch.channels_last)
            network(x).mean(dim=(2, 3)).numpy()
        return {"seconds": time.perf_counter() - start}

    def product() -> dict[str, Any]:
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        return {"seconds": time.perf_counter() - start}

    networks = {"VGG16": vgg16(), "AlexNet": alexnet()}
    commands: dict[str, Command] = {
        name: partial(features, network.eval().to(memory_format=torch.channels_last))
        for name, network in networks.items()
    }
    return commands | {"product": product}


if __name__ == "__main__":
    serve(build)
