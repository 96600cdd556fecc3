"""What an evaluation of a network and a training cost: operations, and the paper's unit.

The unit of the paper is one forward pass of its 866M model on a latent of 64x64x4. The *normalised
cost* of a model is its own forward pass on that latent over that of the 866M model (table 1),
whatever image size it is used for. `gflops` are counted on a run's own latents. What an image costs
in either is `Price`.
"""

import functools

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


def reference_gflops(width: int) -> float:
    """`evaluation_gflops` of a preset on the paper's input: 64x64x4, 77 tokens of 1024."""
    return evaluation_gflops(preset(width), 64, 77)


def normalised_cost(width: int) -> float:
    """Cost of one evaluation of a preset, in evaluations of the 866M model (paper, table 1)."""
    return reference_gflops(width) / BASELINE_GFLOPS


def training_flops(gflops: float, batch: int, steps: int) -> float:
    """Operations of a training run.

    A step takes three evaluations of each example: one forward, and two for the gradient.

    **Arguments:**

    - `gflops`: 1e9 operations of one evaluation, see `evaluation_gflops`.
    - `batch`: examples of a step.
    - `steps`: of the training.
    """
    return 3e9 * gflops * batch * steps
