"""A small finished study, made as the study's own tests make it."""

from dataclasses import replace

import pytest

from recscale.study.grid import Grid
from tests.study.conftest import GRID
from tests.study.conftest import finish as finish
from tests.study.conftest import study as study


@pytest.fixture
def grid() -> Grid:
    """One family with blocks between fields, two scales, both arms, two seeds."""
    return replace(GRID, families=("dcnv2",), scales=(1.0, 2.0))
