"""Simulated trials with known truth."""

from collections.abc import Callable, Sequence

import pytest

from recscale.curves.curve import Observation


@pytest.fixture
def trials() -> Callable[[Sequence[float], Sequence[float]], list[Observation]]:
    """Builds observations from scales and values."""

    def build(scales: Sequence[float], values: Sequence[float]) -> list[Observation]:
        return [
            Observation(scale=float(scale), x=float(scale), value=float(value), trial_id=f"trial{index:03d}")
            for index, (scale, value) in enumerate(zip(scales, values, strict=True))
        ]

    return build
