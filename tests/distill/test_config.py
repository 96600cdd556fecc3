"""The options of a distillation: what each method makes of them, and what is refused."""

import dataclasses
import json
import math

import jax
import numpy as np
import optax
import pytest
from distill_oracle import Network, NULL, SCHEDULE

from equildm.denoise import ConcatConfig, GuidanceConditioned, GuidanceEmbeddingConfig, UNetConfig
from equildm.distill import (
    ConsistencyConfig,
    ConsistencyDistillation,
    DISTILL_METHODS,
    DistillConfig,
    EMATarget,
    embedded_guidance,
    fixed_guidance,
    GuidedDistillation,
    inherited_guidance,
    JointPseudoHuber,
    LoRAStudent,
    no_guidance,
    OnlineTarget,
    ProgressiveDistillation,
    shared_guidance,
    TeacherStep,
)
from equildm.noise import grids, Velocity
from equildm.runtime import from_json, Run, to_json
from equildm.sampling import Heun
from equildm.training import AllWeights, LoRAConfig, OptimizerConfig, TrainConfig

UNET = UNetConfig(
    16, context_width=8, multipliers=(1, 1), depths=(1, 1), transformer_depths=(1, 0), groups=8
)
TRAIN = TrainConfig(steps=60, optimizer=OptimizerConfig(warmup=0, decay="cosine"))


def objective(config, phase=0, **options):
    network = Network(key=jax.random.key(1))
    parts = {"schedule": SCHEDULE, "prediction": Velocity(), "null_text": NULL}
    return config.objective(TRAIN, network, **parts, **options, phase=phase)


@pytest.mark.parametrize("method", DISTILL_METHODS)
def test_every_method_has_its_papers_settings(method):
    config, own = DistillConfig(method=method), DISTILL_METHODS[method]
    config.check(TRAIN)
    assert config.settings == own and config.part == AllWeights()
    assert from_json(DistillConfig, json.loads(json.dumps(to_json(config)))) == config
    student = config.network(UNET)
    assert student.backbone == UNET
    assert isinstance(student, ConsistencyConfig) == (own.boundary is not None)
    assert student.branches(3.0) == (1 if own.guidance == "embedded" else 2)


def test_consistency_objectives_take_the_options():
    first = objective(DistillConfig(method="codi"))
    assert isinstance(first, ConsistencyDistillation) and first.target == EMATarget()
    assert (first.data_weight, first.dropout, first.guidance) == (1.0, 0.1, no_guidance())
    second = objective(
        DistillConfig(
            method="codi",
            guidance="shared",
            guidance_range=(2.0, 3.0),
            solver="heun",
            data_weight=0.5,
            distance="joint-huber",
        )
    )
    assert (second.data_weight, second.dropout) == (0.5, 0.0)
    assert second.guidance == shared_guidance(2.0, 3.0) and second.distance == JointPseudoHuber()
    assert isinstance(second.trajectory, TeacherStep) and second.trajectory.solver == Heun()
    growing = objective(DistillConfig(method="ict"))
    assert growing.pairs.updates == TRAIN.steps and growing.target == OnlineTarget()


def test_phases_of_staged_methods():
    config = DistillConfig(method="guided", stages=(8, 4), guidance_range=(1.0, 4.0))
    assert config.phases == (None, 8, 4) and config.students(60) == ((8, 40), (4, 60))
    assert config.sampling_steps == 4 and config.depends_on_steps
    first, second, third = (objective(config, phase) for phase in range(3))
    assert isinstance(first, GuidedDistillation)
    assert first.guidance == embedded_guidance(1.0, 4.0)
    for later, steps in ((second, 8), (third, 4)):
        assert isinstance(later, ProgressiveDistillation)
        assert later.guidance == inherited_guidance(1.0, 4.0)
        expected = grids.pad(grids.trailing(SCHEDULE, 2 * steps), 17)
        np.testing.assert_array_equal(later.levels, np.asarray(expected, np.float32))

    config = DistillConfig(method="progressive", guidance="fixed", guidance_range=(3.0, 3.0))
    assert config.phases == (16, 8, 4) and config.sampling_scale(7.0) == 1.0
    assert objective(config).guidance == fixed_guidance(3.0)
    assert objective(config, phase=1).guidance == no_guidance()
    assert DistillConfig().students(60) == () and not DistillConfig().depends_on_steps


def test_what_is_trained():
    network = UNET.build(key=jax.random.key(0))
    key = jax.random.key(1)
    copied = DistillConfig(method="codi").trainable(network, key=key)
    same = jax.tree.map(lambda a, b: a is not b and np.array_equal(a, b), copied, network)
    assert jax.tree.all(same)
    embedded = DistillConfig(method="lcm").trainable(network, key=key)
    assert isinstance(embedded, GuidanceConditioned)
    again = DistillConfig(method="guided").trainable(embedded, key=key)
    assert isinstance(again, GuidanceConditioned) and not isinstance(
        again.network, GuidanceConditioned
    )

    config = DistillConfig(method="codi", lora=2)
    assert config.part == LoRAConfig(2)
    adapters, frozen = config.part.split(network, key=key)
    for a, b in zip(jax.tree.leaves(config.trainable(network, key=key)), jax.tree.leaves(adapters)):
        np.testing.assert_array_equal(a, b)
    assert frozen is network
    parts = {"schedule": SCHEDULE, "prediction": Velocity(), "null_text": NULL}
    student = config.objective(TRAIN, network, **parts).student
    assert isinstance(student, LoRAStudent) and student.network is network


def test_how_students_are_sampled():
    codi = DistillConfig(method="codi")
    assert codi.settings.sampler == "consistency-deterministic"
    assert DistillConfig(method="codi", data_weight=0.0).settings.sampler == "consistency"
    assert codi.sampling_scale(20.0) == 20.0
    config = DistillConfig(method="lcm", guidance_range=(1.0, 6.0))
    assert [config.sampling_scale(scale) for scale in (0.5, 3.0, 9.0)] == [1.0, 3.0, 6.0]


def test_optimisers():
    gradient = {"a": np.ones((2, 2)), "b": np.full(2, 0.1)}

    def updates(optimizer):
        update = lambda x: optimizer.update(x, optimizer.init(x), x)[0]
        return jax.jit(update)(gradient)

    rates = TRAIN.optimizer.schedule(60, 8e-6)
    radam = optax.chain(optax.clip_by_global_norm(1.0), optax.radam(rates))
    for name, expected in (
        ("cm", radam),
        ("codi", TRAIN.optimizer.build(60, 1e-5, 0.01)),
        ("progressive", TRAIN.optimizer.build(20, 1e-4, 0.0)),
    ):
        received = updates(DistillConfig(method=name).optimizer(TRAIN))
        for a, b in zip(jax.tree.leaves(received), jax.tree.leaves(updates(expected))):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_section_of_a_run(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Config:
        distill: DistillConfig = DistillConfig(method="cm", solver="ddim")

    @dataclasses.dataclass(frozen=True)
    class Other:
        steps: int = 3

    run = Run.create(tmp_path / "student", Config(), "distill")
    assert DistillConfig.of_run(run) == Config().distill
    assert DistillConfig.of_run(Run.create(tmp_path / "teacher", Other(), "pretrain")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance_range": (6.0, 1.0)}, "--guidance-range 6.0 1.0"),
        ({"guidance_range": (math.nan, 1.0)}, "--guidance-range nan 1.0"),
        ({"guidance_range": (1.0, math.inf)}, "--guidance-range 1.0 inf"),
        ({"method": "guided", "guidance": "none"}, "guidance of guided is one of embedded, fixed"),
        ({"method": "progressive", "guidance": "shared"}, "received 'shared'"),
        ({"method": "lcm", "guidance": "fixed"}, "--guidance-range 3 3"),
        ({"solver": "eule"}, "received 'eule'"),
        ({"solver": "ddpm"}, "stochastic --solver ddpm"),
        ({"solver": "sra1"}, "stochastic --solver sra1"),
        ({"method": "ict", "solver": "ddim"}, "ict has no teacher's step"),
        ({"method": "ict", "guidance": "fixed"}, "guidance of ict is one of none, shared"),
        ({"method": "icm"}, "one of codi, .*; received 'icm'"),
        ({"method": "guided", "solver": "ddim"}, "Leave it out, or use one of codi, lcm, cm"),
        ({"method": "guided", "distance": "l2"}, "--distance l2"),
        ({"method": "progressive", "data_weight": 1.0}, "--data-weight 1.0"),
        ({"data_weight": -1.0}, "--data-weight -1.0"),
        ({"data_weight": math.nan}, "--data-weight nan"),
        ({"method": "codi", "lora": 0}, "at least 1, received 0"),
        ({"method": "lcm", "lora": 4}, "--lora 4 for lcm with embedded guidance"),
        ({"method": "progressive", "lora": 4}, "--lora 4 for progressive"),
        ({"method": "guided", "stages": (8, 3)}, "--stages 8 3"),
        ({"method": "guided", "stages": ()}, "half the sampling steps"),
        ({"method": "progressive", "stages": (0, 0)}, "--stages 0 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DistillConfig(**options)


@pytest.mark.parametrize(
    ("method", "train", "message"),
    [
        ("progressive", {"steps": 100}, "3 phases of progressive"),
        ("guided", {"steps": 400, "snapshots": 10}, "--snapshots 10"),
        ("guided", {"steps": 400, "optimizer": OptimizerConfig(decay="cosine")}, "warm-up of 100"),
        ("cm", {"optimizer": OptimizerConfig(weight_decay=0.1)}, "--weight-decay 0.1"),
    ],
)
def test_a_training_that_does_not_suit_the_method_is_refused(method, train, message):
    with pytest.raises(ValueError, match=message):
        DistillConfig(method=method).check(TrainConfig(**train))


@pytest.mark.parametrize(
    "teacher", [ConsistencyConfig(UNET), GuidanceEmbeddingConfig(UNET), ConcatConfig(UNET, 4)]
)
def test_a_teacher_of_another_kind_is_refused(teacher):
    with pytest.raises(ValueError, match=type(teacher).__name__):
        DistillConfig().network(teacher)
