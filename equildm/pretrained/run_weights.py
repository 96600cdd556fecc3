"""The network of a run: trained or averaged weights of a checkpoint, joined with frozen ones."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
from jax.sharding import Mesh
from jaxtyping import PyTree

from ..interop.mapping import template_of
from ..runtime import abstract, Checkpoints, Run
from ..runtime.checkpoint import newest_fact
from ..text import AbstractTextEncoder, TextConditioned
from ..training import EMAS, pack, posthoc_average, PowerEMA, Snapshot, unpack
from .model_json import MODEL
from .run_model import RunModelConfig


def training_step(
    run: Run,
    config: RunModelConfig,
    *,
    ema: str | None = None,
    step: int | None = None,
    sampling_steps: int | None = None,
) -> int | None:
    """The training step of the weights that these options select, or None in a run without any.

    **Arguments:** see `load_pretrained`.

    **Raises** `ValueError` for an average that the run does not have.
    """
    width = _posthoc_width(run, config, ema)
    if step is not None:
        return step
    stage = config.stage(sampling_steps or config.model.sampling_steps)
    if stage is not None:
        return stage
    return Checkpoints(run.checkpoints if width is None else run.averages).latest()


def read_network(
    run: Run,
    config: RunModelConfig,
    text_encoder: AbstractTextEncoder,
    *,
    ema: str | None = None,
    step: int | None = None,
    mesh: Mesh | None = None,
) -> PyTree:
    """A run's network, or a `TextConditioned` one where the text encoder was trained too.

    **Arguments:**

    - `run`, `config`: the folder and its `model.json`.
    - `text_encoder`: gives shapes, for a run that trained its own.
    - `ema`: one of the run's averages by name (the first by default), `"none"` for the weights as
        trained, or a relative width such as `"0.07"`, computed from the run's snapshots.
    - `step`: of a checkpoint or of a snapshot; the newest one by default.
    - `mesh`: where the network goes, in shards; by default on the first device.

    **Raises** `ValueError` naming the average or the step that the run does not have, or the sizes
    or patterns in `model.json` that no network has.
    """
    file, key = run.path / MODEL, jax.random.key(0)
    network = template_of(config.model.network, source=file)
    if config.trains_text_encoder:
        network = TextConditioned(network, eqx.filter_eval_shape(lambda: text_encoder))
    try:
        trained, frozen = eqx.filter_eval_shape(config.trained.split, network, key=key)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    weights = _read_trained(run, config, trained, ema, step, mesh)
    if frozen is None:
        return weights
    like = {"model": _shapes(frozen, mesh)}
    base = Checkpoints(run.base).restore(like).items["model"]
    return config.trained.join(weights, base)


def _shapes(tree: PyTree, mesh: Mesh | None) -> PyTree:
    shapes = eqx.filter(tree, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    return shapes if mesh is None else abstract(shapes, mesh)


def _read_trained(
    run: Run,
    config: RunModelConfig,
    trained: PyTree,
    ema: str | None,
    step: int | None,
    mesh: Mesh | None,
) -> PyTree:
    names = _averages(run, config)
    shapes = _shapes(trained, mesh)
    averages = (_shapes(jax.eval_shape(pack, shapes), mesh),) * len(names)
    width = _posthoc_width(run, config, ema)
    if width is not None:
        return _posthoc(run, names, width, averages, shapes, step)
    checkpoints = Checkpoints(run.checkpoints)
    if ema == "none":
        return checkpoints.restore({"model": shapes}, step).items["model"]
    if step is not None and step not in checkpoints.steps():
        averages_kept = Checkpoints(run.averages)
        checkpoints = averages_kept if averages_kept.steps() else checkpoints
    restored = checkpoints.restore({"ema": averages}, step)
    return unpack(restored.items["ema"][names.index(ema or names[0])], shapes)


def _averages(run: Run, config: RunModelConfig) -> tuple[str, ...]:
    """The names of a run's averages, in the order in which its checkpoints hold them."""
    names = newest_fact("averages", run.checkpoints, run.averages)
    return EMAS[config.ema or "power"].names() if names is None else tuple(names)


def _posthoc_width(run: Run, config: RunModelConfig, ema: str | None) -> float | None:
    """The relative width that `ema` is, or None where it names weights in the checkpoints."""
    if ema is None or ema == "none" or ema in (names := _averages(run, config)):
        return None
    try:
        width = float(ema)
    except ValueError:
        width = -1.0
    is_power = PowerEMA.sigma_rels_of(names) is not None
    if not width > 0 or not is_power or not Checkpoints(run.averages).steps():
        raise ValueError(
            f"This run keeps the averages {', '.join(names)}; received {ema!r}. Use one "
            "of these, or 'none' for the trained weights. With pretrain.py --ema power --snapshots "
            "N it may be any relative width, such as 0.07."
        )
    return width


def _posthoc(
    run: Run, names: Sequence[str], width: float, averages: Any, shapes: PyTree, step: int | None
) -> PyTree:
    """An average of another width, from snapshots (Karras et al. 2024, section 3.2)."""
    sigma_rels, snapshots = PowerEMA.sigma_rels_of(names), Checkpoints(run.averages)
    assert sigma_rels is not None  # `_posthoc_width` refuses others
    step = snapshots.steps()[-1] if step is None else step

    def read(number: int, index: int) -> PyTree:
        return snapshots.restore({"ema": averages}, number).items["ema"][index]

    saved_averages = [
        Snapshot(number, sigma_rel, partial(read, number, index))
        for number in snapshots.steps()
        for index, sigma_rel in enumerate(sigma_rels)
    ]
    return unpack(posthoc_average(saved_averages, step, width), shapes)
