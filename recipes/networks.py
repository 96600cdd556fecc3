"""A run's weights: trained or averaged, of any checkpoint, put back onto what was not trained."""

from typing import Any

import equinox as eqx
import jax
from choices import EMAS
from jax.sharding import Mesh
from models import Model, text_encoder

from equildm.nn import merged, new_adapters
from equildm.runtime import abstract, Checkpoints, Run
from equildm.text import Captioned
from equildm.train import divided, matching, pack, posthoc_average, PowerEMA, Snapshot, unpack


def load_network(
    run: Run,
    model: Model,
    *,
    average: str | None = None,
    step: int | None = None,
    mesh: Mesh | None = None,
):
    """A run's network and the step it is from.

    `average` is one of the run's averages by name (the first by default), `"none"` for the weights
    as they were trained, or a relative width such as `"0.07"`: made of the run's snapshots.
    `step` is that of a checkpoint or of a snapshot; the newest checkpoint by default. With `mesh`
    the network lies in shards on it.
    """
    whole = _abstract(run, model)
    trained, frozen = _divided(model, whole)
    trained, step = _load_trained(run, model, trained, average, step, mesh)
    if frozen is None:
        return trained, step
    base = Checkpoints(run.path / "base").restore({"model": _shapes(frozen, mesh)}).items["model"]
    return eqx.combine(trained, base) if model.lora is None else merged(base, trained), step


def _abstract(run: Run, model: Model) -> Any:
    """The shapes of the network, and of its text encoder where that was trained too."""
    if not model.trains_text:
        return model.abstract()
    text = text_encoder(run, model.caption_length)
    return Captioned(model.abstract(), eqx.filter_eval_shape(lambda text: text, text))


def _divided(model: Model, whole: Any) -> tuple[Any, Any]:
    """The shapes of what was trained, and of what it belongs to where that is not the same."""
    if model.lora is not None:
        key = jax.random.key(0)
        return eqx.filter_eval_shape(new_adapters, whole, model.lora, key=key), whole
    if model.train == ("*",):
        return whole, None
    return divided(whole, matching(*model.train))


def _shapes(tree: Any, mesh: Mesh | None) -> Any:
    shapes = eqx.filter(tree, lambda x: isinstance(x, jax.ShapeDtypeStruct))
    return shapes if mesh is None else abstract(shapes, mesh)


def _load_trained(
    run: Run,
    model: Model,
    trained: Any,
    average: str | None,
    step: int | None,
    mesh: Mesh | None,
):
    names = EMAS[model.ema].names()
    shapes = _shapes(trained, mesh)
    averages = (_shapes(jax.eval_shape(pack, shapes), mesh),) * len(names)
    if average not in (None, "none", *names):
        return _posthoc(run, model, average, averages, shapes, step)
    checkpoints = Checkpoints(run.checkpoints)
    if average == "none":
        restored = checkpoints.restore({"model": shapes}, step)
        return restored.items["model"], restored.step
    if step is not None and step not in checkpoints.steps() and run.averages.exists():
        checkpoints = Checkpoints(run.averages)
    restored = checkpoints.restore({"ema": averages}, step)
    return unpack(restored.items["ema"][names.index(average or names[0])], shapes), restored.step


def _posthoc(run: Run, model: Model, average: Any, averages: Any, shapes: Any, step: int | None):
    """An average of a width that was not kept (Karras et al. 2024, section 3.2)."""
    ema, kept = EMAS[model.ema], Checkpoints(run.averages)
    try:
        width = float(average)
    except ValueError:
        width = -1.0
    if width <= 0 or not isinstance(ema, PowerEMA) or not kept.steps():
        raise ValueError(
            f"This run keeps the averages {', '.join(ema.names())}; received {average!r}. Use one "
            "of these, or 'none' for the trained weights. With pretrain.py --ema power --snapshots "
            "N it may be any relative width, such as 0.07."
        )
    step = step or kept.steps()[-1]
    snapshots = [
        Snapshot(number, sigma_rel, found)
        for number in kept.steps()
        for sigma_rel, found in zip(
            ema.sigma_rels, kept.restore({"ema": averages}, number).items["ema"], strict=True
        )
    ]
    return unpack(posthoc_average(snapshots, step, width), shapes), step
