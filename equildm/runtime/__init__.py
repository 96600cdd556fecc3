"""The machine: precision, devices, processes, run folders, checkpoints and logs."""

from ._files import (
    replacing as replacing,
    write_atomic as write_atomic,
    write_json as write_json,
)
from ._leaves import copied as copied
from .checkpoint import Checkpoints as Checkpoints, Restored as Restored
from .cluster import Cluster as Cluster
from .command import run_command as run_command, UserError as UserError
from .compile_cache import (
    cache_folder as cache_folder,
    enable_compile_cache as enable_compile_cache,
)
from .config import from_json as from_json, to_json as to_json
from .counts import check_counts as check_counts
from .device_limits import memory_use as memory_use, peak_flops as peak_flops
from .distributed import (
    abort_together as abort_together,
    first_process as first_process,
    log as log,
)
from .flops import (
    count_flops as count_flops,
    count_parameters as count_parameters,
    Flops as Flops,
    xla_flops as xla_flops,
)
from .gather import batch_parts as batch_parts, gather as gather, put as put
from .interrupt import (
    exit_on_sigterm as exit_on_sigterm,
    Interrupt as Interrupt,
    STOPPED as STOPPED,
)
from .locks import Locks as Locks
from .mesh import make_mesh as make_mesh, parse_mesh as parse_mesh
from .metrics import MetricsLog as MetricsLog, read_metrics as read_metrics
from .mirror import local_folder as local_folder
from .precision import InPrecision as InPrecision, Policy as Policy
from .progress import Progress as Progress
from .remote import is_address as is_address
from .run import Run as Run
from .seeds import check_seeds as check_seeds
from .sharding import (
    abstract as abstract,
    batch_sharding as batch_sharding,
    check_batch as check_batch,
    partition as partition,
    put_batch as put_batch,
    replicated as replicated,
    Rule as Rule,
    shardings as shardings,
)
from .tracker import (
    AbstractTracker as AbstractTracker,
    FunctionTracker as FunctionTracker,
    TensorBoardTracker as TensorBoardTracker,
)
from .waiting import (
    barrier as barrier,
    broadcast_from_first as broadcast_from_first,
    on_first_process as on_first_process,
)
from .wandb_tracker import check_wandb as check_wandb, WandbTracker as WandbTracker
from .work_clock import WorkClock as WorkClock
