"""Plans training and sampling on TPUs that are not here.

Compiles the training step and the sampler for a described slice, on this machine's processor and
without allocating anything. Prints what a chip would need: memory beside what it has, arithmetic,
traffic, what goes over the links, and how fast a step can be at best.

    pip install -e ".[tpu]"
    python recipes/plan_tpu.py --presets 39M --topologies v5e:4x4 --per-chip 8
    python recipes/plan_tpu.py --presets 866M 2B --topologies v5p:4x4x4 --meshes fsdp=64
    python recipes/plan_tpu.py --presets 5B --programs sample --batch-size 16

Each result becomes a line of `--out` at once. What that file holds is not compiled again, so that
a plan that was stopped goes on.
"""

import dataclasses
from pathlib import Path

import equildm as eqd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Plans training and sampling on TPUs that are not here."""

    plan: eqd.Flat[eqd.plan.PlanConfig] = eqd.plan.PlanConfig()
    steps: int = 500_000
    """Updates of a training."""
    out: Path = Path("runs/plans.jsonl")
    """File for the results."""
    report: Path | None = None
    """File for a page, in Markdown, with a table of all that --out holds."""
    text: Path | None = None
    """Folder for the text of the compiled programs."""

    def __post_init__(self) -> None:
        eqd.check_counts(self, "steps")


def main(config: Config) -> None:
    eqd.plan.plan_on_this_host()
    saved = eqd.plan.read_results(config.out)
    results = []
    for case in config.plan.cases():
        # With --per-chip 0 there are several attempts, the largest first, until one fits.
        for attempt in case.attempts():
            result = eqd.plan.result_of(saved, attempt)
            if result is None:
                eqd.log(f"Compiling {attempt.title()} ...")
                result = eqd.plan.plan_case(attempt, text=config.text)
                eqd.plan.append_result(config.out, result)
                saved.append(result)
            results.append(result)
            if result["fits"]:
                break
    eqd.plan.print_table(results, config.steps)
    if config.report is not None:
        config.report.write_text(eqd.plan.markdown_page(saved, config.steps), encoding="utf-8")


if __name__ == "__main__":
    eqd.run_command(main, Config, __doc__)
