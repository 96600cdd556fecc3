"""The paper's table 1 and its findings, as data.

Mei et al. 2024, *Bigger is not Always Better: Scaling Properties of Latent Diffusion Models*. Its
other figures are curves without numbers; the numbers in their captions are in the findings.
"""

from typing import NamedTuple

TRAINING_STEPS = 500_000
"""Of every model, with batches of 2048 and a learning rate of 1e-4."""
SAMPLING_STEPS = 50
"""Of DDIM, for table 1."""
GUIDANCE = 7.5
"""For table 1."""
GUIDANCE_SCALES = (1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
"""The scales that the best one was chosen from (section 3.3.1)."""


class PaperModel(NamedTuple):
    """A column of table 1.

    **Fields:**

    - `size`: name.
    - `width`: base channels `c`.
    - `gflops`: of an evaluation at 64x64x4, in float32.
    - `cost`: normalised.
    - `fid`, `clip`: on 30,000 captions of COCO-2014, 50 steps of DDIM, guidance 7.5.
    """

    size: str
    width: int
    gflops: float
    cost: float
    fid: float
    clip: float

    @property
    def train_compute(self) -> float:
        """Training steps x GFLOPS, the horizontal axis of figure 3.

        The 39M model's is 0.07 x 789.3, for the printed 25.3 contradicts the printed cost.
        """
        gflops = self.cost * TABLE_1[8].gflops if self.size == "39M" else self.gflops
        return TRAINING_STEPS * gflops


TABLE_1 = (
    PaperModel("39M", 64, 25.3, 0.07, 25.30, 0.305),
    PaperModel("83M", 96, 102.7, 0.13, 24.30, 0.308),
    PaperModel("145M", 128, 161.5, 0.20, 24.18, 0.310),
    PaperModel("223M", 160, 233.5, 0.30, 23.76, 0.310),
    PaperModel("318M", 192, 318.5, 0.40, 22.83, 0.311),
    PaperModel("430M", 224, 416.6, 0.53, 22.35, 0.312),
    PaperModel("558M", 256, 527.8, 0.67, 22.15, 0.312),
    PaperModel("704M", 288, 652.0, 0.83, 21.82, 0.312),
    PaperModel("866M", 320, 789.3, 1.00, 21.55, 0.312),
    PaperModel("2B", 512, 1887.5, 2.39, 20.98, 0.312),
    PaperModel("5B", 768, 4082.6, 5.17, 20.14, 0.314),
)
"""The eleven models of table 1. (The text speaks of twelve.)"""


class Finding(NamedTuple):
    """A finding of the paper.

    **Fields:**

    - `name`: short, for code.
    - `says`: the finding.
    - `where`: section and figure.
    - `rule`: by which `verdicts` decides whether a study's table reproduces it.
    """

    name: str
    says: str
    where: str
    rule: str


FINDINGS = (
    Finding(
        "training compute",
        "Quality improves smoothly with training compute, at every size.",
        "3.1, figure 3",
        "FID at one way of sampling, over training compute, all sizes and checkpoints: reproduced "
        "if the 95 % interval of the power law's exponent is below 0, not if it is above. The "
        "interval is over trainings: the checkpoints of one are left out together.",
    ),
    Finding(
        "size",
        "With 50 steps of DDIM, larger models are better.",
        "3, table 1",
        "Largest against smallest size, last checkpoints, same sampler, most steps, each at its "
        "best guidance: reproduced if the interval of the difference of FID is below 0, not if "
        "above. Here and below, what is best is chosen on half of the captions and compared on the "
        "other half, and the reverse.",
    ),
    Finding(
        "small models at small budgets",
        "For a given sampling cost, smaller models frequently outperform larger ones.",
        "3.3.2, figure 9",
        "At nine budgets from where two sizes can be paid for, in the samplers and guidance scales "
        "that all sizes have: the best of the smaller sizes against the largest payable one. "
        "Reproduced if the smaller is better (interval of the difference off 0, wide enough for "
        "all budgets together) at more budgets than the larger is; not if the reverse.",
    ),
    Finding(
        "large models at large budgets",
        "Larger models surpass smaller ones when the budget is relaxed.",
        "1.1 and 3.3",
        "At the largest budget, the largest size against the winner of the smallest budget: "
        "reproduced if the interval of the difference is below 0, not if above, or if one size "
        "wins at both ends.",
    ),
    Finding(
        "same trend in every sampler",
        "Smaller models are more efficient whatever the sampler.",
        "3.4, figure 11",
        "The rule of small models at small budgets for each sampler alone: reproduced if it holds "
        "for at least two samplers and fails for none, not if it fails for one.",
    ),
    Finding(
        "DDPM in few steps",
        "DDPM is worse than DDIM with few steps.",
        "3.4, figure 11",
        "All sizes and step counts up to 20, each at its best guidance of the scales that both "
        "samplers have: reproduced if DDPM is worse (interval off 0, wide enough for all cases "
        "together) in more cases than it is better, by a quarter of all at least; not if the "
        "reverse.",
    ),
    Finding(
        "DPM-Solver++",
        "DPM-Solver++ is generally better than DDIM, in up to 20 steps.",
        "3.4, figure 11",
        "As for DDPM, with dpm++2m better in more cases than worse, by a quarter of all at least.",
    ),
    Finding(
        "guidance and steps",
        "The best guidance scale changes with the number of steps.",
        "3.3.1, figure 8",
        "DDIM, fewest against most steps of each size: reproduced if for some size each is worse "
        "at the scale that is best for the other (intervals of both differences above 0, wide "
        "enough for all sizes together). That scales agree is never shown.",
    ),
    Finding(
        "guidance and size",
        "The best guidance scale differs between sizes.",
        "3.3.1, figure 8",
        "DDIM, smallest against largest size: reproduced if at some number of steps each is worse "
        "at the scale that is best for the other, as for steps.",
    ),
    Finding(
        "distillation helps",
        "Distilled models are better than undistilled ones in 4 steps, at every size.",
        "3.6, figure 13 left",
        "Each size's students in 4 steps (their best method) against the undistilled model in 4 "
        "steps by its best sampler: reproduced if the interval of the difference is below 0 for "
        "all sizes, not if above for one (wide enough for all sizes together).",
    ),
    Finding(
        "distillation speeds all sizes alike",
        "Distillation is worth about the same factor in steps (about 5) at every size.",
        "3.6, figure 13 left",
        "Steps of DDIM for the FID that the student has in 4, over 4, by size (between measured "
        "steps: straight in log steps): reproduced if in 95 % of the draws of the scores the "
        "largest factor is less than twice the smallest and all are from 2.5 to 10, not if in 95 % "
        "all are measured and it is otherwise; at least two sizes.",
    ),
    Finding(
        "distilled small models keep up",
        "With distillation too, smaller models compete with larger ones at small budgets.",
        "3.6, figure 13 right",
        "The rule of small models at small budgets, on all rows, distilled and not, guidance "
        "counted twice, up to what the dearest student costs in 4 steps. Methods and guidance "
        "scales of students count where all distilled sizes have them, here and in the rule "
        "before.",
    ),
    Finding(
        "guided distillation is uneven",
        "Guided distillation speeds sizes up unequally.",
        "8, figure 19",
        "FID of the students of guided over that of the undistilled model in as many steps (DDIM), "
        "for each size in 4 and 8 steps: reproduced if the interval of the difference of two "
        "sizes' logarithms is off 0, wide enough for all pairs together.",
    ),
    Finding(
        "downstream",
        "Super-resolution and DreamBooth scale with pretraining; smaller models are more efficient "
        "there in up to 20 steps.",
        "3.2 and 3.5, figures 4, 6, 12",
        "Not asked: the study samples text to image only.",
    ),
)
"""In the order of the paper's summary."""
