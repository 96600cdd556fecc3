"""One small model for all tests of this folder."""

import pytest
from model_folders import clip_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A Stable Diffusion with fresh weights."""
    return clip_model(tmp_path_factory.mktemp("tokenizer"))
