"""The noise schedule and the prediction of a model, and how it is meant to be sampled."""

import dataclasses
import json
from typing import Literal

import numpy as np

from ..noise import AbstractPrediction, AbstractSchedule, Epsilon, grids, ScaledLinear
from ..noise.grids import Levels
from ..sampling import make_solver
from .scheduler_levels import close, Settings, spaced
from .scheduler_process import process_fields
from .scheduler_samplers import lcm, Sampling
from .scheduler_settings import public_class, read_settings

Spacing = Literal["leading", "trailing", "linspace", "karras", "exponential", "beta", "lcm"]

_MULTISTEP = (
    *("dpm++2m", "dpm++2s", "dpm++3m", "sde-dpm++2m", "sde-dpm++3m", "deis2", "deis3"),
    *("unipc1", "unipc2", "unipc3"),
)


@dataclasses.dataclass(frozen=True)
class Scheduler:
    """The noise that a network was trained on, and how it is meant to be sampled."""

    schedule: AbstractSchedule = ScaledLinear()
    """Noise levels by time."""
    prediction: AbstractPrediction = Epsilon()
    """What the network predicts."""
    kind: str = "DDIMScheduler"
    """diffusers' name of the sampler, one of `CLASSES`."""
    spacing: Spacing = "leading"
    """Spacing of the steps' times, see `equildm.noise.grids`."""
    ends_clean: bool = False
    """Whether DDIM's last step goes to level 0. In Stable Diffusion it goes to that of time 0."""
    document: str = ""
    """The file of diffusers that it was read from, or nothing. Then its other fields count too."""

    @property
    def sampler(self) -> str:
        """Name of our equivalent sampler. **Raises** `ValueError` for a kind that is unknown."""
        sampler = public_class(self.kind).sampler
        return sampler if isinstance(sampler, str) else sampler(self.settings())

    def sampling(self, steps: int, image_tokens: int | None = None) -> Sampling:
        """How the public sampler of `document` takes this number of steps.

        A scheduler without a document takes `levels(steps)` and its sampler as they are.

        **Arguments:**

        - `steps`: number of steps.
        - `image_tokens`: the number of the image's patches, which sets a dynamic shift.

        **Raises** `ValueError` for steps that the public sampler cannot take.
        """
        public = public_class(self.kind)
        if not (self.document or public.has_own_levels):
            return Sampling(self.levels(steps), make_solver(self.sampler, self.schedule))
        settings = {**self.settings(), "image_tokens": image_tokens}
        return public.make(settings, self.schedule, steps)

    def levels(
        self, steps: int, sampler: str | None = None, image_tokens: int | None = None
    ) -> Levels:
        """The noise levels of a number of steps with this scheduler's spacing.

        `sampler` is a name in `equildm.sampling.SOLVERS`, by default this scheduler's own, of which
        a `document` counts.
        """
        is_own = public_class(self.kind).has_own_levels
        if is_own or (self.document and sampler in (None, self.sampler)):
            return self.sampling(steps, image_tokens).levels
        sampler = sampler or self.sampler
        ends_at_time_0 = sampler in ("ddim", "dpm++1") and not self.ends_clean
        final = self.schedule.lowest if ends_at_time_0 else 0.0
        endpoint = sampler not in _MULTISTEP
        if self.spacing == "trailing":
            return grids.trailing(self.schedule, steps, final=final)
        if self.spacing == "linspace":
            return grids.linspace(self.schedule, steps, final=final, endpoint=endpoint)
        if self.spacing == "karras":
            return grids.karras(self.schedule, steps, final=final)
        if self.spacing in ("exponential", "beta"):
            highest, lowest = self.schedule.highest, self.schedule.lowest
            starts = spaced({f"use_{self.spacing}_sigmas": True}, highest, lowest, steps)
            return close(np.asarray(starts), final)[0]
        if self.spacing == "lcm":
            settings = {"original_inference_steps": 50, "num_train_timesteps": self.schedule.steps}
            return lcm(settings, self.schedule, steps).levels
        return grids.leading(self.schedule, steps, final=final, endpoint=endpoint)

    def settings(self) -> Settings:
        """All fields of the class: the document's, or those that say the same without one."""
        if self.document:
            return read_settings(json.loads(self.document))
        public, process = public_class(self.kind), {}
        if public.has_own_levels:
            process = process_fields(self.schedule, self.prediction)
        own = {name: value for name, value in process.items() if name in public.fields}
        return read_settings({"_class_name": self.kind} | own)
