"""The environment of a user with no cluster."""

from tests.faults.conftest import local as local
