"""Layouts of a model's files."""

from typing import Literal

ModelLayout = Literal["diffusers", "single-file", "equildm"]
