"""The kinds of folders of diffusers, and which of them a folder or a model is."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..denoise import DiTConfig, MMDiTConfig
from ..pipeline import LatentDiffusion
from .diffusers_folder import check_diffusers, folder_tables, load_diffusers, save_diffusers
from .part_table import PartTable
from .pipeline_index import pipeline_class, PIXART_PIPELINES, SD3_PIPELINE
from .pixart_folder import check_pixart, load_pixart, pixart_tables, save_pixart
from .sd3_folder import check_sd3, load_sd3, save_sd3, sd3_tables


class PublicFolder(NamedTuple):
    """What can be done with a kind of folder.

    **Fields:**

    - `load`, `save`: see `load_diffusers` and `save_diffusers`.
    - `check`: raises `ValueError` for a model that such a folder does not hold exactly.
    - `tables`: the parts of a model and their names there.
    """

    load: Callable[..., LatentDiffusion]
    save: Callable[..., None]
    check: Callable[[LatentDiffusion], None]
    tables: Callable[[LatentDiffusion], list[PartTable]]

    def fits(self, model: LatentDiffusion) -> bool:
        """Whether such a folder holds a model exactly."""
        try:
            self.check(model)
        except ValueError:
            return False
        return True


UNET = PublicFolder(load_diffusers, save_diffusers, check_diffusers, folder_tables)
SD3 = PublicFolder(load_sd3, save_sd3, check_sd3, sd3_tables)
PIXART = PublicFolder(load_pixart, save_pixart, check_pixart, pixart_tables)


def kind_of_folder(folder: Path) -> PublicFolder:
    """By the pipeline that its index names. Any other is left to `load_diffusers` to refuse."""
    name = pipeline_class(folder)
    if name == SD3_PIPELINE:
        return SD3
    return PIXART if name in PIXART_PIPELINES else UNET


def kind_of_model(model: LatentDiffusion) -> PublicFolder:
    """By its network."""
    sizes = model.config.network.backbone
    if isinstance(sizes, MMDiTConfig):
        return SD3
    return PIXART if isinstance(sizes, DiTConfig) else UNET
