"""Whole models in and out: run folders, folders of diffusers, single files."""

from .adapters import apply_lora as apply_lora
from .diffusers_folder import (
    load_diffusers as load_diffusers,
    save_diffusers as save_diffusers,
    stable_diffusion as stable_diffusion,
)
from .layouts import ModelLayout as ModelLayout
from .load import load_pretrained as load_pretrained, run_step as run_step
from .part_table import PartTable as PartTable, summarise_parts as summarise_parts
from .run_model import (
    begin_run as begin_run,
    open_parts as open_parts,
    read_run_model as read_run_model,
    RunModelConfig as RunModelConfig,
)
from .save import (
    default_layout as default_layout,
    part_tables as part_tables,
    save_pretrained as save_pretrained,
)
from .single_file import (
    load_single_file as load_single_file,
    save_single_file as save_single_file,
)
from .start import open_start as open_start
