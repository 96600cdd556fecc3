"""What the degradations draw: shares and ranges, as published."""

import math

import numpy as np

from equildm.data.degrade import (
    Blur,
    Filter,
    GaussianNoise,
    JPEG,
    Nothing,
    Plateau,
    PoissonNoise,
    real_esrgan,
    Sinc,
)

DRAWS = 10_000


def draws(degradation, seed=0):
    generator = np.random.default_rng(seed)
    return [degradation.draw(generator) for _ in range(DRAWS)]


def near(share, probability):
    """Within 4 standard deviations of a binomial."""
    assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / DRAWS) + 1e-9


def evenly(values, low, high):
    """Kolmogorov-Smirnov distance to the uniform distribution, at 0.01 %."""
    values = np.sort(np.asarray(values, float))
    assert low <= values[0] and values[-1] <= high
    place = (values - low) / (high - low)
    steps = np.arange(len(values) + 1) / len(values)
    distance = max(np.abs(place - steps[1:]).max(), np.abs(place - steps[:-1]).max())
    assert distance < 2.23 / math.sqrt(len(values)), distance


def test_blurs_are_drawn_as_published():
    kernels = [operation.kernel for operation in draws(Blur())]
    shapes = {"gaussian": [], "generalised": [], "plateau": []}
    for kernel in kernels:
        if isinstance(kernel, Plateau):
            shapes["plateau"].append(kernel)
        else:
            shapes["gaussian" if kernel.power == 1 else "generalised"].append(kernel)
    for shape, is_round, probability in Blur().shapes:
        kernels_of_shape = [k for k in shapes[shape] if (k.sigmas[0] == k.sigmas[1]) == is_round]
        near(len(kernels_of_shape) / DRAWS, probability)
    for size in (7, 9, 11, 13, 15, 17, 19, 21):
        near(sum(kernel.size == size for kernel in kernels) / DRAWS, 1 / 8)
    evenly([kernel.sigmas[0] for kernel in kernels], 0.2, 3.0)
    oval = [kernel for kernel in kernels if kernel.sigmas[0] != kernel.sigmas[1]]
    evenly([kernel.sigmas[1] for kernel in oval], 0.2, 3.0)
    evenly([kernel.angle for kernel in oval], -math.pi, math.pi)
    powers = np.array([kernel.power for kernel in shapes["generalised"]])
    evenly(powers[powers < 1], 0.5, 1.0)
    evenly(powers[powers > 1], 1.0, 4.0)
    assert abs((powers < 1).mean() - 0.5) < 4 * 0.5 / math.sqrt(len(powers))
    evenly([kernel.power for kernel in shapes["plateau"]], 1.0, 2.0)


def test_the_chain_is_drawn_as_published():
    """Shares of every operation and ranges of every number of the second-order chain."""
    chain = [operation.operations for operation in draws(real_esrgan(4))]
    first, resize, noise, jpeg, second, smaller, noise2, last = zip(*chain, strict=True)

    sincs = [op.kernel for op in first if isinstance(op.kernel, Sinc)]
    near(len(sincs) / DRAWS, 0.1)
    evenly([k.cutoff for k in sincs if k.size < 13], math.pi / 3, math.pi)
    evenly([k.cutoff for k in sincs if k.size >= 13], math.pi / 5, math.pi)
    second_kernels = [op.kernel for op in second if isinstance(op, Filter)]
    near(len(second_kernels) / DRAWS, 0.8)
    near(sum(isinstance(k, Sinc) for k in second_kernels) / DRAWS, 0.08)
    evenly([k.sigmas[0] for k in second_kernels if not isinstance(k, Sinc)], 0.2, 1.5)

    for operations, of, ends, up, down in (
        (resize, 1, (0.15, 1.5), 0.2, 0.7),
        (smaller, 1 / 4, (0.3, 1.2), 0.3, 0.4),
    ):
        factors = np.array([operation.fraction for operation in operations]) / of
        near((factors > 1).mean(), up)
        near((factors < 1).mean(), down)
        evenly(factors[factors > 1], 1, ends[1])
        evenly(factors[factors < 1], ends[0], 1)
        for mode in ("area", "bilinear", "bicubic"):
            near(sum(operation.mode == mode for operation in operations) / DRAWS, 1 / 3)

    for operations, sigma, scale in ((noise, 30, 3), (noise2, 25, 2.5)):
        gaussian = [op for op in operations if isinstance(op, GaussianNoise)]
        poisson = [op for op in operations if isinstance(op, PoissonNoise)]
        near(len(gaussian) / DRAWS, 0.5)
        near(sum(op.grey for op in operations) / DRAWS, 0.4)
        near(sum(op.grey for op in gaussian) / DRAWS, 0.2)
        evenly([op.sigma for op in gaussian], 1, sigma)
        evenly([op.scale for op in poisson], 0.05, scale)

    qualities = np.array([op.quality for op in jpeg])
    assert (qualities.min(), qualities.max()) == (30, 95)
    near((qualities <= 62).mean(), 0.5)

    jpeg_last = [isinstance(op.operations[1], JPEG) for op in last]
    near(sum(jpeg_last) / DRAWS, 0.5)
    to_size = [op.operations[not late].operations for op, late in zip(last, jpeg_last, strict=True)]
    assert {step.fraction for step, _ in to_size} == {0.25}
    for mode in ("area", "bilinear", "bicubic"):
        near(sum(step.mode == mode for step, _ in to_size) / DRAWS, 1 / 3)
    final = [step.kernel for _, step in to_size if not isinstance(step, Nothing)]
    near(len(final) / DRAWS, 0.8)
    evenly([kernel.cutoff for kernel in final], math.pi / 3, math.pi)
