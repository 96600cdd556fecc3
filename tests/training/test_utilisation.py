"""What a step computes, and what the devices could: the parts of their utilisation."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from equildm.runtime import device_limits
from equildm.training import (
    PowerEMA,
    step_flops,
    TrainState,
)


def test_operations_of_a_step(network, objective, make_batch):
    """Those of the loss, and twice as many for the gradient but for that of the inputs."""
    latents = jnp.ones((8, 8, 8, 2))  # so large that a convolution is one
    batch = make_batch()._replace(latents=latents)
    state = TrainState.create(network, optax.sgd(0.1), PowerEMA())
    inwards, outwards = 2 * 64 * 9 * 2 * 8, 2 * 64 * 9 * 8 * 2
    text = 2 * 3 * 8
    assert step_flops(objective, state, batch) == 8 * (2 * inwards + 3 * outwards + 2 * text)


def test_rematerialisation_does_not_count():
    from small_models import ONE_LEVEL

    from equildm import TextEmbedding
    from equildm.data import LatentBatch
    from equildm.noise import ScaledLinear, Uniform, UniformTimes, Velocity
    from equildm.training import DenoisingObjective

    def text(*batch):
        tokens, real = np.ones((*batch, 4, 384), np.float32), np.ones((*batch, 4), bool)
        return TextEmbedding(*jax.device_put((tokens, real)))

    plain = DenoisingObjective(ScaledLinear(), Velocity(), Uniform(), UniformTimes(), text())
    again = dataclasses.replace(plain, remat="blocks")
    config = dataclasses.replace(ONE_LEVEL, transformer_depths=(0,))  # one in the middle
    network = eqx.filter_eval_shape(config.build, key=jax.random.key(0))
    state = TrainState(network, None, (), jnp.int32(0))
    batch = LatentBatch(jnp.ones((2, 8, 8, 2)), text(2))
    assert step_flops(again, state, batch) == step_flops(plain, state, batch) > 1e6


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("TPU v5 lite", 197e12),
        ("TPU v5p", 459e12),
        ("TPU v5", 459e12),
        ("TPU v6 lite", 918e12),
        ("cpu", None),
        ("NVIDIA GeForce GTX 1080", None),
    ],
)
def test_peaks(kind, peak):
    assert device_limits.peak_flops(kind) == peak


def test_peaks_of_tpus_are_those_that_plans_have():
    from equildm.plan.topology import CHIPS

    kinds = {"v5e": "TPU v5 lite", "v5p": "TPU v5p", "v6e": "TPU v6 lite"}
    for name, kind in kinds.items():
        assert device_limits.peak_flops(kind) == CHIPS[name].flops


def test_memory_of_a_device_that_tells():
    class Device:
        def __init__(self, peak):
            self.peak = peak

        def memory_stats(self):
            return None if self.peak is None else {"peak_bytes_in_use": self.peak}

    devices = [Device(5), Device(None), Device(7)]
    assert device_limits.memory_use(devices) == {"device_peak_bytes": 7}
