"""The paper's question on one's own runs: which size, sampler, steps and guidance for a budget?"""

from .claims import Claims as Claims
from .compare import (
    difference as difference,
    draws as draws,
    Estimate as Estimate,
    mean_over_seeds as mean_over_seeds,
    score as score,
)
from .cost import (
    BASELINE_GFLOPS as BASELINE_GFLOPS,
    Counting as Counting,
    evaluation_gflops as evaluation_gflops,
    normalised_cost as normalised_cost,
    reference_gflops as reference_gflops,
    sampling_cost as sampling_cost,
    training_flops as training_flops,
)
from .figures import FIGURES as FIGURES
from .fit import fit_power_law as fit_power_law, PowerLaw as PowerLaw
from .frontier import (
    best as best,
    common_budgets as common_budgets,
    newest as newest,
    optimal_guidance as optimal_guidance,
    pareto as pareto,
    Winner as Winner,
    winners as winners,
)
from .laws import laws as laws, reference_rows as reference_rows, train_compute as train_compute
from .paper import (
    Finding as Finding,
    FINDINGS as FINDINGS,
    PaperModel as PaperModel,
    TABLE_1 as TABLE_1,
)
from .recommend import recommend as recommend, Recommendation as Recommendation
from .report import write_report as write_report
from .scoring import (
    fit_reference as fit_reference,
    Reference as Reference,
    Scorer as Scorer,
    Scores as Scores,
)
from .spread import (
    frechet_spread as frechet_spread,
    FrechetReference as FrechetReference,
    leave_out as leave_out,
)
from .table import (
    Point as Point,
    read_table as read_table,
    Row as Row,
    RowFiles as RowFiles,
    write_table as write_table,
)
from .verdicts import Verdict as Verdict, verdicts as verdicts
from .work import share_work as share_work
