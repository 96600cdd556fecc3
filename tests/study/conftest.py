"""Tables with known answers, and folders of runs without weights."""

import dataclasses
import json

import pytest
import study_tables

from equildm.data import DataConfig
from equildm.denoise import GuidanceEmbeddingConfig, preset
from equildm.distill import DistillConfig
from equildm.interop import Scheduler
from equildm.noise import ScaledLinear, Velocity
from equildm.pipeline import ModelConfig
from equildm.pretrained import RunModelConfig
from equildm.runtime import Checkpoints, Run, to_json, write_atomic
from equildm.training import TrainConfig


@pytest.fixture(scope="session")
def make_row():
    return study_tables.make_row


@pytest.fixture(scope="session")
def study():
    return study_tables.study()


@dataclasses.dataclass(frozen=True)
class Options:
    """What the study reads of a recipe's options."""

    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig(batch_size=8)
    distill: DistillConfig | None = None


@pytest.fixture
def make_run(tmp_path):
    """Makes the folder of a run without weights, with the steps of its checkpoints."""

    def make(
        name,
        *,
        width=16,
        recipe="pretrain",
        newest=8,
        earlier=(),
        stages=(),
        max_tokens=16,
        sizes=None,
        noise=None,
        **options,
    ):
        sizes = sizes or preset(width, in_channels=4, out_channels=4, context_width=384)
        distill = options.get("distill")
        embedded = distill is not None and distill.settings.guidance == "embedded"
        model = ModelConfig(
            network=GuidanceEmbeddingConfig(sizes) if embedded else sizes,
            image_size=32,
            latent_shape=(8, 8, 4),
            scheduler=Scheduler(
                *(noise or (ScaledLinear(), Velocity())), spacing="trailing", ends_clean=True
            ),
            max_tokens=max_tokens,
            solver="ddim" if distill is None else distill.settings.sampler,
            guidance_scale=2.0,
        )
        run = Run.create(tmp_path / name, Options(**options), recipe)
        document = to_json(RunModelConfig(model, stages=stages))
        write_atomic(run.path / "model.json", json.dumps(document))
        for folder, steps in ((run.checkpoints, (newest,)), (run.averages, earlier)):
            with Checkpoints(folder, keep=None) as checkpoints:
                for step in sorted(steps):
                    checkpoints.save(step, {}, {"position": step})
        return run.path

    return make
