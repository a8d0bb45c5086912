"""A small finished study, made as the study's own tests make it."""

from tests.study.conftest import finish as finish
from tests.study.conftest import grid as grid
from tests.study.conftest import study as study
