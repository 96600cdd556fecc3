"""The tables of `study_tables`, made once."""

import pytest
import study_tables


@pytest.fixture(scope="session")
def make_row():
    return study_tables.make_row


@pytest.fixture(scope="session")
def study():
    return study_tables.study()
