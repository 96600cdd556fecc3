"""`torch-fidelity`: its Inception-v3 with given weights, its scores of given features."""

import sys
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F


def _import_fidelity() -> Any:
    """Imports the package with empty modules in torchvision's place, of which it uses no more."""
    names = ("", ".datasets", ".models", ".transforms", ".transforms.functional")
    stand_ins = {f"torchvision{name}": ModuleType(f"torchvision{name}") for name in names}
    for name in ("CIFAR10", "STL10", "CIFAR100"):
        setattr(stand_ins["torchvision.datasets"], name, object)
    for name, module in stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(stand_ins[parent], child, module)
    with mock.patch.dict(sys.modules, stand_ins):
        import torch_fidelity.feature_extractor_inceptionv3
        import torch_fidelity.metric_fid
        import torch_fidelity.metric_isc
        import torch_fidelity.metric_kid
        import torch_fidelity.metric_prc
    return torch_fidelity


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """`config["what"]` of the arrays."""
    fidelity = _import_fidelity()
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if config["what"] == "inception":
        return _inception(fidelity.feature_extractor_inceptionv3, config, tensors["images"])
    if config["what"] == "fid":
        statistics = [fidelity.metric_fid.fid_features_to_statistics(tensors[k]) for k in "ab"]
        return fidelity.metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    if config["what"] == "is":
        return fidelity.metric_isc.isc_features_to_metric(
            tensors["logits"], config["splits"], shuffle=False
        )
    score = {
        "kid": fidelity.metric_kid.kid_features_to_metric,
        "prc": fidelity.metric_prc.prc_features_to_metric,
    }[config.pop("what")]
    return score(tensors["a"], tensors["b"], verbose=False, **config)


def _inception(module: Any, config: dict[str, Any], images: torch.Tensor) -> dict[str, Any]:
    """All features of `images` (batch, height, width, 3), bytes.

    With `config["torchvision"]` the places in which the package says that it was "patched" are
    undone, the classes are 1000 and bytes become [-1, 1]: torchvision's own network, checked equal
    to torchvision 0.28's.
    """
    weights = load_file(config["weights"])
    make = module.FeatureExtractorInceptionV3
    layers = list(make.get_provided_features_list())
    average = F.avg_pool2d

    def padded(x: torch.Tensor, count_include_pad: bool, **options: Any) -> torch.Tensor:
        return average(x, **options)

    with mock.patch.object(module.torch, "load", lambda *_, **__: weights):
        if not config.get("torchvision"):
            network = make("inception", layers, feature_extractor_weights_path="")
            images = images.permute(0, 3, 1, 2)
            return dict(zip(layers, network(images)))
        linear = module.nn.Linear
        with (
            mock.patch.object(module, "InceptionE_2", module.InceptionE_1),
            mock.patch.object(module.nn, "Linear", lambda width, _: linear(width, 1000)),
        ):
            network = make("inception", layers, feature_extractor_weights_path="")
    x = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    first = network.Conv2d_1a_3x3
    with (
        mock.patch.object(module.F, "avg_pool2d", padded),
        mock.patch.object(module, "interpolate_bilinear_2d_like_tensorflow1x", lambda x, **_: x),
        mock.patch.object(first, "forward", lambda _: type(first).forward(first, x)),
    ):
        return dict(zip(layers, network(images.permute(0, 3, 1, 2))))
