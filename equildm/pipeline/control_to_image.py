"""Control images and prompts to images, by a ControlNet."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from ..denoise import ControlCondition, ControlNet
from ..images import check_pixels, to_unit
from ..noise.grids import Levels
from ..sampling.solvers import Solver
from ..text import embed_prompts
from .model import LatentDiffusion
from .text_to_image import TextToImage


class ControlToImage(eqx.Module):
    """Samples a model that is steered by control images.

        control_to_image = ControlToImage(load_pretrained("runs/controlnet"))
        images = control_to_image(controls, ["a red heart"])

    **Fields:**

    - `model`: its network is a `ControlNet` for control images in pixels.
    - `compute`: dtype of the network's arithmetic, by default float32.
    """

    model: LatentDiffusion
    compute: str | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.model.config.network.condition_type is not ControlCondition:
            raise ValueError(
                "ControlToImage takes a model of controlnet.py, received one whose network is a "
                f"{type(self.model.config.network).__name__}. TextToImage samples models of "
                "captions."
            )

    def __call__(
        self,
        controls: UInt8[np.ndarray, "count control_height control_width channels"],
        prompts: Sequence[str],
        *,
        strength: float = 1.0,
        steps: int | None = None,
        guidance_scale: float | Sequence[float] | None = None,
        solver: Solver | None = None,
        levels: Levels | None = None,
        negative_prompt: str = "",
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> Float[np.ndarray, "count height width 3"]:
        """Images in [-1, 1], one for each control image.

        **Arguments:**

        - `controls`: 8 bits a channel, made by the function that the model was trained with.
        - `prompts`: one for each control image; `""` leaves the content to the control image.
        - `strength`: factor of the residuals; 0 is the model without control.
        - others: as of `TextToImage`. Guidance leads away from the negative prompt only: both
            estimates see the control image.
        """
        count = len(controls)
        if len(prompts) != count:
            raise ValueError(
                "ControlToImage takes one prompt for each control image, received "
                f"{len(prompts)} prompts and {count} control images."
            )
        check_pixels(controls)
        if not math.isfinite(strength):
            raise ValueError(f"strength is a finite number, received {strength}. Use 1.")
        model = self.model
        network = model.network
        assert isinstance(network, ControlNet)
        if strength != 1.0:
            model = model.with_network(network.scaled(strength))
        factor = network.control.hint.factor
        height, width = (side // factor * model.vae.factor for side in controls.shape[1:3])
        sampler = TextToImage(model, height=height, width=width, compute=self.compute)
        text, null = embed_prompts(model.text_encoder, prompts, negative_prompt)
        sampling = model.sampling(steps, solver, levels=levels)
        return sampler.generate(
            ControlCondition(text, jnp.asarray(to_unit(controls))),
            null,
            levels=sampling,
            guidance_scale=guidance_scale,
            solver=solver,
            seed=seed,
            seeds=seeds,
            batch_size=batch_size,
        )
