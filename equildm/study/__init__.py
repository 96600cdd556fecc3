"""The scaling study: which size, sampler, steps and guidance are best for a sampling budget?"""

from .compare import (
    difference as difference,
    draws as draws,
    Estimate as Estimate,
    mean_over_seeds as mean_over_seeds,
    score as score,
)
from .config import (
    GridConfig as GridConfig,
    LadderConfig as LadderConfig,
    ReportConfig as ReportConfig,
    SampleSetConfig as SampleSetConfig,
    StudyConfig as StudyConfig,
)
from .contest import contest as contest, group_values as group_values, regrets as regrets
from .cost import (
    BASELINE_GFLOPS as BASELINE_GFLOPS,
    evaluation_gflops as evaluation_gflops,
    normalised_cost as normalised_cost,
    reference_gflops as reference_gflops,
    training_flops as training_flops,
)
from .effort import describe_effort as describe_effort
from .evaluations import (
    evaluations_in as evaluations_in,
    evaluations_within as evaluations_within,
)
from .fair_crossover import (
    Crossover as Crossover,
    crossover as crossover,
    evaluation_price as evaluation_price,
    FAIR_PRICE as FAIR_PRICE,
)
from .fair_prediction import predict_largest as predict_largest, Prediction as Prediction
from .fair_test import (
    fair_budgets as fair_budgets,
    fair_verdict as fair_verdict,
    FairBudget as FairBudget,
    FairVerdict as FairVerdict,
)
from .fair_training import (
    against_training as against_training,
    FairFraction as FairFraction,
    training_luck as training_luck,
)
from .families import (
    family_verdicts as family_verdicts,
    FamilyVerdict as FamilyVerdict,
    straightness as straightness,
)
from .figures import FIGURES as FIGURES
from .folder import StudyFolder as StudyFolder
from .frontier import (
    best as best,
    common_budgets as common_budgets,
    families as families,
    newest as newest,
    optimal_guidance as optimal_guidance,
    pareto as pareto,
    Winner as Winner,
    winners as winners,
)
from .grid import points as points
from .jackknife import (
    frechet_spread as frechet_spread,
    FrechetReference as FrechetReference,
    leave_out as leave_out,
    leave_out_images as leave_out_images,
)
from .loss_figure import draw_losses as draw_losses, LossCurve as LossCurve
from .names import Counting as Counting, Unit as Unit
from .paper import (
    Finding as Finding,
    FINDINGS as FINDINGS,
    GUIDANCE_SCALES as GUIDANCE_SCALES,
    PaperModel as PaperModel,
    TABLE_1 as TABLE_1,
)
from .price import OWN_COST as OWN_COST, Price as Price
from .queue import share_work as share_work
from .recommend import recommend as recommend, Recommendation as Recommendation
from .reference import fit_reference as fit_reference, Reference as Reference
from .report import write_report as write_report
from .runs import model_size as model_size, open_runs as open_runs, StudyRun as StudyRun
from .sampler_errors import (
    error_figure as error_figure,
    error_table as error_table,
    first_latents as first_latents,
)
from .scaling_laws import (
    fit_power_law as fit_power_law,
    laws as laws,
    PowerLaw as PowerLaw,
    reference_rows as reference_rows,
    training_law as training_law,
)
from .scoring import Scorer as Scorer, Scores as Scores
from .students import steps_worth as steps_worth, student_curves as student_curves
from .sweep import Sweep as Sweep, sweep as sweep
from .table import (
    Point as Point,
    read_table as read_table,
    Row as Row,
    RowFiles as RowFiles,
    Size as Size,
    write_table as write_table,
)
from .train_runs import train_runs as train_runs
from .verdicts import Verdict as Verdict, verdicts as verdicts
