"""The JSON item of a checkpoint, and checks of leaves against it."""

import json
from collections.abc import Mapping
from typing import Any

import jax

from ._packing import Table

FORMAT = 1
"""Version of the layout on disk."""


def checked(item: str, leaves: dict[str, Any], kinds: tuple[Any, ...]) -> dict[str, Any]:
    """`leaves`, if Orbax can hold all of them: when a save fails, Orbax hangs at exit.

    **Raises** `ValueError` naming a leaf that is no array of numbers, or an empty one.
    """
    for path, leaf in leaves.items():
        if not isinstance(leaf, kinds) or jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise ValueError(
                f"A checkpoint holds arrays of numbers, received {type(leaf).__name__} "
                f"{leaf!r:.60} at {path!r} of item {item!r}. Filter modules with "
                "eqx.filter(module, eqx.is_array); put plain values in `meta`; derive keys from "
                "the seed and the step."
            )
        if leaf.dtype.hasobject or 0 in leaf.shape:
            raise ValueError(
                f"A checkpoint holds non-empty arrays of numbers, received dtype {leaf.dtype} and "
                f"shape {leaf.shape} at {path!r} of item {item!r}. Leave the leaf out."
            )
    return leaves


def make_record(tables: Mapping[str, Table], meta: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON item: format, where each leaf of each item is, and the caller's `meta`."""
    record = {"format": FORMAT, "leaves": dict(tables), "meta": dict(meta)}
    try:
        return json.loads(json.dumps(record))
    except TypeError as error:
        raise ValueError(
            f"`meta` of a checkpoint is plain JSON (numbers, text, lists, dicts): {error}. "
            "Convert the value with int(...), float(...) or str(...)."
        ) from error


def check_format(record: object, path: str) -> None:
    """**Raises** `ValueError` for a checkpoint of another version."""
    version = record.get("format") if isinstance(record, dict) else None
    if version != FORMAT:
        raise ValueError(
            f"This version of equildm reads checkpoints of format {FORMAT}, received {path} of "
            f"format {version}. Open it with the version that wrote it (see the run's "
            "environment.json)."
        )


def check_match(tables: Mapping[str, Table], item: str, leaves: dict[str, Any], path: str) -> None:
    """**Raises** `ValueError` naming a leaf that differs in path, shape or dtype."""
    if item not in tables:
        raise ValueError(
            f"Checkpoint {path} has the items {sorted(tables)}, received a request for {item!r}. "
            "Ask for one of these."
        )
    stored = {name: (tuple(e[0]), e[1]) for name, e in tables[item].items()}
    requested = {name: (tuple(x.shape), str(x.dtype)) for name, x in leaves.items()}
    names = (*requested, *stored)
    differing = [name for name in names if stored.get(name) != requested.get(name)]
    if differing:
        name = differing[0]
        raise ValueError(
            f"Item {item!r} of checkpoint {path} does not fit: leaf {name!r} is "
            f"{_words(stored.get(name))} on disk and {_words(requested.get(name))} in `like` "
            f"({len(set(differing))} leaves differ). Build `like` from the config.json of the run."
        )


def _words(leaf: tuple | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{list(leaf[0])}"
