"""One small model for all tests of this folder, and a pipeline in files to damage."""

import shutil

import pytest
from bad_files import make_pipeline
from model_folders import clip_model, ONE_LEVEL


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A Stable Diffusion with fresh weights."""
    return clip_model(tmp_path_factory.mktemp("tokenizer"), ONE_LEVEL)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """The folder that `bad_files.make_pipeline` makes, to read only."""
    return make_pipeline(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def copy(pipeline, tmp_path):
    """A copy of `pipeline` to change."""
    return shutil.copytree(pipeline, tmp_path / "copy")
