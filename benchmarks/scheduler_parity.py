"""Every scheduler of diffusers beside what `load_scheduler` makes of its file.

    EQUILDM_PEER_PYTHON=.venv-peers/bin/python python3 start.py benchmarks/scheduler_parity.py

Each class with each value of each field, over several numbers of steps: the latents of its own loop
around the exact denoiser of a Gaussian mixture, and ours. They are equal to 1e-4 in float32, or the
file is refused by name. The table goes into `docs/schedulers.md`; any other outcome is an error.
"""

import dataclasses
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array

from benchmarks._peer import Peer, ROOT
from benchmarks.scheduler_cases import all_cases, Case, IMAGE_TOKENS, STEPS
from equildm.interop import Sampling
from equildm.interop.scheduler_classes import CLASSES
from equildm.interop.scheduler_file import parse_scheduler
from equildm.sampling import needs_key, solve
from equildm.sampling.diffrax_types import RealScalar

PAGE = ROOT / "docs" / "schedulers.md"
MARK = "<!-- benchmarks/scheduler_parity.py writes what follows -->\n"
TOLERANCE = 1e-4
SHAPE = (4, 2, 2)


class HandedOver(diffrax.AbstractPath):
    """The Brownian path that has prescribed unit noise in each step of a grid."""

    levels: Array
    fresh: Array
    t0 = 0.0
    t1 = np.inf

    def evaluate(self, t0: RealScalar, t1: RealScalar | None = None, left: bool = True) -> Array:
        assert t1 is not None, "the path tells increments"
        z = self.fresh[jnp.sum(self.levels > t1)]
        return -z * jnp.sqrt(t1 - t0)  # an increment of rising time, which sampling runs down


@dataclasses.dataclass(frozen=True)
class Problem:
    """Noise to start from, fresh noise for each step, and a mixture of Gaussians."""

    noise: np.ndarray
    fresh: np.ndarray
    means: np.ndarray
    stds: np.ndarray

    def lists(self) -> dict[str, Any]:
        """As JSON for the peer, which has a batch of one."""
        return {
            "noise": self.noise[None].tolist(),
            "fresh": self.fresh[:, None].tolist(),
            "means": self.means.tolist(),
            "stds": self.stds.tolist(),
        }

    def denoise(self, y: Array, s: Array, condition: None = None) -> Array:
        """The exact clean estimate."""
        variances = self.stds**2 + s**2
        apart = jnp.sum((y - self.means).reshape(len(self.means), -1) ** 2, axis=1)
        logits = -0.5 * apart / variances - 0.5 * y.size * jnp.log(variances)
        shrink = (self.stds**2 / variances).reshape(-1, *[1] * y.ndim)
        clean = self.means + shrink * (y - self.means)
        return jnp.tensordot(jax.nn.softmax(logits), clean, axes=1)


def problem() -> Problem:
    """A small one, of about unit variance."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=(*shape, *SHAPE)).astype(np.float32)
    stds = np.array([0.3, 0.45, 0.6], np.float32)
    return Problem(draw(), draw(max(STEPS) + 2), draw(3), stds)


def refusal_or_sampling(case: Case) -> str | Sampling:
    """What our loader makes of a file."""
    try:
        return parse_scheduler(case.document).sampling(case.steps, IMAGE_TOKENS)
    except ValueError as error:
        return str(error)


def ours(samplings: list[Sampling], inputs: Problem) -> list[np.ndarray]:
    """The latents. Those of one kind of solver are one batch over padded grids."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, sampling in enumerate(samplings):
        arrays, static = eqx.partition(sampling.solver, eqx.is_array)
        groups[static, jax.tree.structure(arrays)].append(i)
    latents: dict[int, np.ndarray] = {}
    longest = max(STEPS) + 2
    for (static, _), members in groups.items():
        solvers = [eqx.filter(samplings[i].solver, eqx.is_array) for i in members]
        leaves = jax.tree.map(lambda *x: jnp.stack([_padded(a, longest) for a in x]), *solvers)
        grids = jnp.stack([_padded(samplings[i].levels, longest) for i in members])
        scales = np.array([samplings[i][2:] for i in members], np.float32)

        @jax.jit
        @jax.vmap
        def batch(leaves: Any, grid: Array, scales: Array, static: Any = static) -> Array:
            solver = eqx.combine(leaves, static)
            y = scales[0] * inputs.noise * jnp.sqrt(1 + grid[0] ** 2)
            path = HandedOver(grid, jnp.asarray(inputs.fresh)) if needs_key(solver) else None
            states = solve(inputs.denoise, y, grid, solver, path=path).ys
            assert states is not None
            return scales[1] * states[-1]

        for i, latent in zip(members, np.asarray(batch(leaves, grids, scales)), strict=True):
            latents[i] = latent
    return [latents[i] for i in range(len(samplings))]


def _padded(values: Any, length: int) -> np.ndarray:
    """With the last entry repeated. A solver stops where it first reaches the last level."""
    values = np.asarray(values, np.float32 if np.issubdtype(values.dtype, np.floating) else None)
    missing = max(length - len(values), 0) if values.ndim else 0
    return np.pad(values, (0, missing), mode="edge") if missing else values


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Of one case: a refusal's text, or how far the latents are apart."""

    refusal: str | None = None
    difference: float = np.inf
    """From the public latents in float32."""
    exact: float = np.inf
    """From the public latents in float64, where those in float32 are far from them."""
    public_error: str | None = None

    @property
    def equal(self) -> bool:
        """Equal to the public scheduler, or to what it rounds."""
        return self.refusal is None and min(self.difference, self.exact) < TOLERANCE

    @property
    def allowed(self) -> bool:
        """Equal, or refused."""
        return self.refusal is not None or self.equal


def sweep(peer: Peer, cases: list[Case], inputs: Problem) -> list[Outcome]:
    """The outcome of each case."""
    answers = [refusal_or_sampling(case) for case in cases]
    outcomes = {i: Outcome(refusal=a) for i, a in enumerate(answers) if isinstance(a, str)}
    sampled = [i for i, answer in enumerate(answers) if isinstance(answer, Sampling)]
    latents = ours([s for s in answers if isinstance(s, Sampling)], inputs)
    theirs = _public(peer, [cases[i] for i in sampled], double=False)
    for i, latent, public in zip(sampled, latents, theirs, strict=True):
        if isinstance(public, str):
            outcomes[i] = Outcome(public_error=public)
            continue
        outcomes[i] = Outcome(difference=difference(latent, public))
        if not outcomes[i].equal:
            exact = _public(peer, [cases[i]], double=True)[0]
            if not isinstance(exact, str) and difference(public, exact) > TOLERANCE:
                outcomes[i] = dataclasses.replace(outcomes[i], exact=difference(latent, exact))
    return [outcomes[i] for i in range(len(cases))]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference over the largest value, infinite at a NaN."""
    error = np.abs(a - b).max() / np.abs(b).max()
    return float(np.where(np.isnan(error), np.inf, error))


def _public(peer: Peer, cases: list[Case], *, double: bool) -> list[np.ndarray | str]:
    if not cases:
        return []
    asked = [dataclasses.asdict(case) for case in cases]
    answers = peer("sample", cases=asked, double=double)["answers"]
    return [a.get("error") or np.array(a["latent"]).reshape(SHAPE) for a in answers]


def table(cases: list[Case], outcomes: list[Outcome]) -> str:
    """The page's part."""
    by_kind: Mapping[str, list[tuple[Case, Outcome]]] = defaultdict(list)
    for case, outcome in zip(cases, outcomes, strict=True):
        by_kind[case.document["_class_name"]].append((case, outcome))
    lines = [
        "| class | equal to 1e-4 | largest difference | public rounding | refused | neither |",
        "|---|---|---|---|---|---|",
    ]
    missing = []
    for kind, pairs in by_kind.items():
        if kind not in CLASSES and all(outcome.refusal for _, outcome in pairs):
            missing.append(kind)
            continue
        equal = [o.difference for _, o in pairs if o.difference < TOLERANCE]
        rounded = sum(o.equal and o.difference >= TOLERANCE for _, o in pairs)
        refused = sum(o.refusal is not None for _, o in pairs)
        neither = sum(not o.allowed for _, o in pairs)
        largest = f"{max(equal):.1e}" if equal else ""
        lines.append(f"| `{kind}` | {len(equal)} | {largest} | {rounded} | {refused} | {neither} |")
    names = ", ".join(f"`{name}`" for name in missing)
    return "\n".join([*lines, "", f"Refused as a class, by name ({len(missing)}): {names}.", ""])


@dataclasses.dataclass(frozen=True)
class Config:
    """Compares, and writes the page."""

    page: Path | None = PAGE
    """Where the table goes, after the mark; nothing is written where a case is neither."""


def main(config: Config) -> None:
    inputs = problem()
    with Peer("benchmarks/peers/scheduler_worker.py", inputs.lists()) as peer:
        cases = all_cases(peer("classes")["classes"])
        outcomes = sweep(peer, cases, inputs)
    text = table(cases, outcomes)
    print(text)
    faults = [(c, o) for c, o in zip(cases, outcomes, strict=True) if not o.allowed]
    for case, outcome in faults:
        print(f"{case}: {outcome.public_error or f'{outcome.difference:.1e}, {outcome.exact:.1e}'}")
    if faults:
        sys.exit(f"{len(faults)} of {len(cases)} cases are neither equal nor refused.")
    if config.page is not None:
        head, mark, _ = config.page.read_text(encoding="utf-8").partition(MARK)
        config.page.write_text(head + (mark or MARK) + "\n" + text, encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
