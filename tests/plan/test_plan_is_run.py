"""The program that a plan compiles is the one that `pretrain.py` runs, operation for operation."""

import json

import jax
import pytest
from helpers import run_python
from small_models import captioned_folder

from equildm.interop import save_vae
from equildm.latents import VAEConfig

CODE = """
import json, sys
sys.path.insert(0, "recipes")
import equinox as eqx, jax, tyro
import pretrain
from equildm.plan import abstract_program, PlanConfig
from equildm.training import make_step, trainer


class Found(Exception):
    pass


def record(objective, optimizer, ema, **options):
    found.update(options, objective=objective, optimizer=optimizer, ema=ema)


def stop(state, step, data, **rest):
    found.update(state=state, batch=next(iter(data)))
    raise Found


def run_program(arguments):
    "The step of a run on its first batch, and its mesh."
    try:
        pretrain.main(tyro.cli(pretrain.Config, args=arguments))
    except Found:
        pass
    objective, fixed = eqx.partition(found["objective"], eqx.is_array)
    state, rest = eqx.partition(found["state"], eqx.is_array)

    def step(objective, state, batch):
        update = make_step(
            eqx.combine(objective, fixed), found["optimizer"], found["ema"], key=jax.random.key(0),
            parts=found["parts"], shardings=found["shardings"],
        )
        state, metrics = update(eqx.combine(state, rest), batch)
        return eqx.filter(state, eqx.is_array), metrics

    shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
    shapes = jax.tree.map(shape, (objective, state, found["batch"]))
    return jax.jit(step, donate_argnums=(1,)).lower(*shapes).as_text(), state.step.sharding.mesh


def with_one_layer(*arguments, **options):
    "The text encoder is no part of the step: one layer of it compiles sooner."
    vae, encoder = opened(*arguments, **options)
    return vae, eqx.tree_at(lambda it: it.bert.layers, encoder, encoder.bert.layers[:1])


opened, pretrain.eqd.open_parts = pretrain.eqd.open_parts, with_one_layer
trainer.make_step, trainer.fit = record, stop
for arguments, options in json.loads(sys.argv[1]):
    found = {}
    of_run, mesh = run_program(arguments)
    common = dict(presets=("quick",), topologies=("v5e:2x4",), side=8, tokens=16, context_width=384)
    (case,) = PlanConfig(**common, **options).cases()
    plan = abstract_program(case, mesh)
    of_plan = jax.jit(plan.function, donate_argnums=plan.donate).lower(*plan.args).as_text()
    print("equal" if of_run == of_plan else "another", len(of_run), len(of_plan))
"""


CASES = [
    (["--mesh", "fsdp=8", "--remat", "blocks"], {"meshes": ["fsdp=8"], "per_chip": 2}),
    (
        ["--mesh", "data=4,fsdp=2", "--accumulate", "2", "--optimizer", "adafactor"],
        {"meshes": ["data=4,fsdp=2"], "per_chip": 1, "remat": "none", "optimizer": "adafactor"},
    ),
    (
        ["--mesh", "fsdp=8", "--backbone", "dit", "--remat", "blocks"],
        {"meshes": ["fsdp=8"], "per_chip": 2, "backbone": "dit"},
    ),
]


@pytest.mark.parametrize(
    "cases", [CASES[:1], pytest.param(CASES[1:], marks=pytest.mark.slow)], ids=["first", "others"]
)
def test_the_plan_is_the_run(cases, tmp_path):
    data = captioned_folder(tmp_path / "images", count=16)
    vae = VAEConfig(width=8, multipliers=(1, 1, 1), depth=1, groups=4, scale=1.0)
    save_vae(tmp_path / "vae", vae.build(key=jax.random.key(0)))
    folders = ["--data", str(data), "--vae", str(tmp_path / "vae"), "--held-out", "0"]
    folders += ["--cache", str(tmp_path / "cache"), "--prompts", "--learning-rate", "1e-4"]
    step = ["--batch-size", "16", "--compute", "bfloat16"]
    runs = [
        (
            [*folders, *step, "--run", str(tmp_path / f"run{number}"), *options],
            {"batch_size": 16, **plan},
        )
        for number, (options, plan) in enumerate(cases)
    ]
    printed = run_python(CODE, json.dumps(runs), devices=8)
    results = [
        line.split() for line in printed.splitlines() if line.startswith(("equal", "another"))
    ]
    assert [result[0] for result in results] == ["equal"] * len(cases), results
    assert all(int(result[1]) > 100_000 for result in results)
