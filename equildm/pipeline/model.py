"""A latent diffusion model: a network with everything that sampling it needs."""

import dataclasses

import equinox as eqx
import numpy as np

from .._types import Network, TextEmbedding
from ..denoise import AbstractDenoiser, AbstractNetworkConfig
from ..interop import Sampling, Scheduler
from ..latents import VAE
from ..noise import AbstractPrediction, AbstractSchedule, GridName, GRIDS
from ..noise.grids import Levels
from ..runtime import gather
from ..sampling import make_solver
from ..sampling.solve import check_grid
from ..sampling.solvers import Solver
from ..text import AbstractTextEncoder, TextConditioned


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model without its weights: the sizes that rebuild its network, and the best sampling."""

    network: AbstractNetworkConfig
    """Sizes of the network, and its wraps."""
    image_size: int
    """Side of the images that it was trained on, in pixels."""
    latent_shape: tuple[int, int, int]
    """`(height, width, channels)` of their latents."""
    scheduler: Scheduler
    """The noise schedule, the prediction and the spacing of the sampling steps."""
    max_tokens: int
    """Tokens that a caption is padded or cut to."""
    solver: str = "ddim"
    """The sampler that suits the model, a name in `SOLVERS`."""
    sampling_steps: int = 50
    """Steps of the sampler."""
    grid: GridName | None = None
    """Spacing of that sampler's levels; by default the scheduler's."""
    guidance_scale: float = 3.0
    """Scale of classifier-free guidance; 1 is the conditional model."""

    def __post_init__(self) -> None:
        for name in ("image_size", "latent_shape", "max_tokens", "sampling_steps"):
            value = getattr(self, name)
            if np.min(value) < 1:
                raise ValueError(
                    f"A model's {name} is at least 1, received {value}. Use the numbers that the "
                    "model was trained with."
                )


class LatentDiffusion(eqx.Module):
    """A network with its VAE and its text encoder, as run folders and files of weights hold it.

        model = load_pretrained("runs/emoji")
        images = TextToImage(model)(["a red heart"])

    **Fields:**

    - `network`: `(x, t, condition) -> output`.
    - `vae`: images to latents and back.
    - `text_encoder`: captions to embeddings.
    - `config`: schedule, prediction, sizes and defaults of sampling.
    """

    network: Network
    vae: VAE
    text_encoder: AbstractTextEncoder
    config: ModelConfig = eqx.field(static=True)

    @property
    def schedule(self) -> AbstractSchedule:
        """The noise schedule."""
        return self.config.scheduler.schedule

    @property
    def prediction(self) -> AbstractPrediction:
        """What the network predicts."""
        return self.config.scheduler.prediction

    @property
    def denoiser(self) -> AbstractDenoiser:
        """The network as a denoiser, without guidance."""
        return self.config.network.denoiser(self.network, self.schedule, self.prediction)

    def levels(
        self, steps: int | None = None, solver: Solver | None = None, grid: GridName | None = None
    ) -> Levels:
        """The noise levels of a number of sampling steps.

        **Arguments:**

        - `steps`, `solver`: by default the model's own. A solver that is not named takes the levels
            of the model's own.
        - `grid`: a spacing by name; by default the model's own, or the one of its scheduler where
            a solver is named.
        """
        return self.sampling(steps, solver, grid).levels

    def sampling(
        self,
        steps: int | None = None,
        solver: Solver | None = None,
        grid: GridName | None = None,
        levels: Levels | None = None,
        latent_shape: tuple[int, ...] | None = None,
    ) -> Sampling:
        """The levels and the solver of a number of sampling steps, arguments as of `levels`.

        Where these name nothing else than the model's own scheduler, it is sampled as that says:
        with the options of its file, such as the order of the last steps. `levels` are taken as
        they are. `latent_shape` is by default that of the training; a dynamic shift follows it.
        """
        config = self.config
        height, width, *_ = config.latent_shape if latent_shape is None else latent_shape
        tokens = height * width // config.network.multiple**2
        steps = config.sampling_steps if steps is None else steps
        if solver is None:
            solver, grid = config.solver, grid or config.grid
        if levels is not None and check_grid(np.asarray(levels)):
            raise ValueError(f"Noise levels fall from noise to an image, received {levels}.")
        if levels is None and grid is not None:
            if grid not in GRIDS:
                raise ValueError(f"A grid is one of {', '.join(GRIDS)}; received {grid!r}.")
            levels = GRIDS[grid](self.schedule, steps)
        if levels is None:
            if isinstance(solver, str) and solver == config.scheduler.sampler:
                return config.scheduler.sampling(steps, tokens)
            named = solver if isinstance(solver, str) else config.solver
            levels = config.scheduler.levels(steps, named, tokens)
        return Sampling(levels, make_solver(solver, self.schedule))

    def null_text(self) -> TextEmbedding:
        """The embedding of the empty caption."""
        return self.text_encoder.null()

    def with_network(
        self, network: Network, config: AbstractNetworkConfig | None = None
    ) -> "LatentDiffusion":
        """The same model with another network, for instance averaged weights.

        `config` is the network's, by default the one that this model has. A `TextConditioned`
        network brings its text encoder with it. That is gathered from its shards, because captions
        are embedded on each process by itself.
        """
        text_encoder = self.text_encoder
        if isinstance(network, TextConditioned):
            text_encoder, network = gather(network.text), network.network
        model = self.config if config is None else dataclasses.replace(self.config, network=config)
        return dataclasses.replace(self, network=network, text_encoder=text_encoder, config=model)
