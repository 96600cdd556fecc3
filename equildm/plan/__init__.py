"""Plans for TPUs that are not at hand: memory, traffic and least time of compiled programs."""

from .ahead import (
    compile_ahead as compile_ahead,
    DoesNotFit as DoesNotFit,
    out_of_memory as out_of_memory,
    Program as Program,
)
from .case import PlanCase as PlanCase
from .collectives import (
    Collective as Collective,
    CollectiveTotals as CollectiveTotals,
    Kind as Kind,
    read_collectives as read_collectives,
    totals as totals,
)
from .config import PlanConfig as PlanConfig
from .expected import (
    expected_collectives as expected_collectives,
    ExpectedTraffic as ExpectedTraffic,
)
from .measure import plan_case as plan_case
from .names import Effort as Effort, ProgramName as ProgramName
from .programs import (
    abstract_program as abstract_program,
    AbstractProgram as AbstractProgram,
    model_flops as model_flops,
)
from .results import (
    append_result as append_result,
    PlanResult as PlanResult,
    read_results as read_results,
    result_of as result_of,
)
from .roofline import Roofline as Roofline, roofline as roofline
from .table import (
    markdown_page as markdown_page,
    markdown_table as markdown_table,
    print_table as print_table,
)
from .topology import (
    Chip as Chip,
    CHIPS as CHIPS,
    describe_devices as describe_devices,
    parse_topology as parse_topology,
    plan_on_this_host as plan_on_this_host,
)
