"""Whether a study's table reproduces the paper's findings, by rule."""

import dataclasses
from collections.abc import Callable, Sequence

from . import rules, rules_distilled
from .compare import mean_over_seeds
from .frontier import check_one_family
from .names import Unit
from .paper import Finding, FINDINGS
from .table import Row


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether the table reproduces a finding.

    **Fields:**

    - `finding`: the paper's.
    - `answer`: by the finding's rule.
    - `numbers`: what the answer rests on.
    """

    finding: Finding
    answer: rules.Answer
    numbers: str


def verdicts(table: Sequence[Row], unit: Unit = "gflops") -> list[Verdict]:
    """The verdict on each of the paper's findings, by the finding's `rule`.

    Where the paper's finding does not hold, a rule calls it reproduced in at most 5 % of tables
    (tests/study/test_null_tables.py).

    **Arguments:**

    - `table`: see `read_table`.
    - `unit`: of costs.

    **Raises** `ValueError` for rows of several references, and of several families.
    """
    check_one_family(table, "A verdict on the paper's findings")
    rows = mean_over_seeds(table)
    kinds = {(row.score, row.reference) for row in rows}
    if len(kinds) > 1:
        raise ValueError(
            f"Verdicts compare scores of one kind, received {sorted(kinds)}. Select rows of one "
            "score and one reference."
        )
    return [Verdict(f, *_RULES[f.name](rows, unit)) for f in FINDINGS]


_RULES: dict[str, Callable[[list[Row], Unit], rules.Ruling]] = {
    "training compute": rules.training_compute,
    "size": rules.size,
    "small models at small budgets": rules.small_models,
    "large models at large budgets": rules.large_models,
    "same trend in every sampler": rules.every_sampler,
    "DDPM in few steps": rules.against_ddim("ddpm", 1),
    "DPM-Solver++": rules.against_ddim("dpm++2m", -1),
    "guidance and steps": rules.guidance_by_steps,
    "guidance and size": rules.guidance_by_size,
    "distillation helps": rules_distilled.distilled_better,
    "distillation speeds all sizes alike": rules_distilled.distilled_speed,
    "distilled small models keep up": rules_distilled.distilled_at_budgets,
    "guided distillation is uneven": rules_distilled.guided_uneven,
    "downstream": lambda rows, unit: (rules.NOT_TESTED, "Not part of this study."),
}
