"""What an evaluation of a network and a training cost: operations, and the paper's unit.

The unit of the paper is one forward pass of its 866M model on a latent of 64x64x4. The *normalised
cost* of a model is its own forward pass on that latent over that of the 866M model (table 1),
whatever image size it is used for. `gflops` are counted on a run's own latents. What an image costs
in either is `Price`.
"""

import dataclasses
import functools
from typing import Any

from ..denoise import AbstractBackboneConfig, input_shapes, network_shapes, preset
from ..runtime import count_flops

BASELINE_GFLOPS = 804.26140672
"""One evaluation of the 866M model on 64x64x4 and 77 tokens, as `reference_gflops(320)` counts.
(The paper prints 789.3, which leaves out the taps on padding.)"""


@functools.cache
def evaluation_gflops(backbone: AbstractBackboneConfig, side: int, tokens: int) -> float:
    """1e9 operations (2 x multiply-accumulates) of one evaluation for one sample.

    They are counted on abstract shapes; no weight is allocated.

    **Arguments:**

    - `backbone`: the sizes.
    - `side`: of the latent.
    - `tokens`: of the caption.
    """
    shapes = network_shapes(backbone), *input_shapes(backbone, side, tokens)
    return count_flops(lambda network, *inputs: network(*inputs), *shapes).total / 1e9


def reference_gflops(size: int | AbstractBackboneConfig) -> float:
    """`evaluation_gflops` on the paper's input: 64x64x4, 77 tokens of 1024.

    **Arguments:**

    - `size`: a width of the family of UNets, or the sizes of any network.
    """
    sizes = preset(size) if isinstance(size, int) else size
    of_paper: dict[str, Any] = {"in_channels": 4, "out_channels": 4, "context_width": 1024}
    return evaluation_gflops(dataclasses.replace(sizes, **of_paper), 64, 77)


def normalised_cost(size: int | AbstractBackboneConfig) -> float:
    """Cost of one evaluation, in evaluations of the 866M model (paper, table 1).

    `size` is that of `reference_gflops`.
    """
    return reference_gflops(size) / BASELINE_GFLOPS


def training_flops(gflops: float, batch: int, steps: int) -> float:
    """Operations of a training run.

    A step takes three evaluations of each example: one forward, and two for the gradient.

    **Arguments:**

    - `gflops`: 1e9 operations of one evaluation, see `evaluation_gflops`.
    - `batch`: examples of a step.
    - `steps`: of the training.
    """
    return 3e9 * gflops * batch * steps
