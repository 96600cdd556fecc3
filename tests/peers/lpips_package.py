"""The `lpips` package with its own packaged heads and given convolutions.

The package takes its backbones from torchvision, of which it uses the layer lists alone; the two
lists stand here.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn


def _vgg16(**_: Any) -> SimpleNamespace:
    layers: list[nn.Module] = []
    into = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if width == 0:
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(into, width, 3, padding=1), nn.ReLU(inplace=True)]
            into = width
    return SimpleNamespace(features=nn.Sequential(*layers))


def _alexnet(**_: Any) -> SimpleNamespace:
    return SimpleNamespace(
        features=nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
    )


class _Models(ModuleType):
    vgg16 = staticmethod(_vgg16)
    alexnet = staticmethod(_alexnet)


def _import_lpips() -> Any:
    """Imports the package with the two lists in torchvision's place, and only meanwhile."""
    stand_ins = {"torchvision": ModuleType("torchvision"), "torchvision.models": _Models("models")}
    stand_ins["torchvision"].models = stand_ins["torchvision.models"]  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        import lpips
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return lpips


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The distance of images `a`, `b` (batch, height, width, 3), its gradient and the taps of `a`.

    `config["backbone"]` is "vgg" or "alex"; `weight0`, `bias0`, ... are the convolutions, OIHW.
    """
    lpips = _import_lpips()
    metric = lpips.LPIPS(net=config["backbone"], verbose=False)
    convolutions = [layer for layer in metric.net.modules() if isinstance(layer, nn.Conv2d)]
    for i, layer in enumerate(convolutions):
        weight, bias = arrays[f"weight{i}"], arrays[f"bias{i}"]
        assert layer.weight.shape == weight.shape
        layer.weight.data = torch.from_numpy(weight)
        layer.bias.data = torch.from_numpy(bias)  # type: ignore[union-attr]
    a, b = (torch.from_numpy(arrays[name]).permute(0, 3, 1, 2) for name in ("a", "b"))
    a.requires_grad_()
    distance = metric(a, b).flatten()
    (gradient,) = torch.autograd.grad(distance.sum(), a)
    taps = {
        f"tap{i}": tap.permute(0, 2, 3, 1)
        for i, tap in enumerate(metric.net(metric.scaling_layer(a)))
    }
    return {"distance": distance, "gradient": gradient.permute(0, 2, 3, 1), **taps}
