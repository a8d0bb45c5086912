"""Builders of tables with known spectra."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from recscale.collapse import tables

Array = NDArray[np.float64]
Build = Callable[[int, list[float]], Array]


@pytest.fixture
def with_spectrum() -> Build:
    """Builds a D x P table whose singular values are the ones given."""

    def build(rows: int, spectrum: list[float]) -> Array:
        rng = np.random.default_rng(rows)
        left, _ = np.linalg.qr(rng.standard_normal((rows, len(spectrum))))
        right, _ = np.linalg.qr(rng.standard_normal((len(spectrum), len(spectrum))))
        return np.asarray(left * np.asarray(spectrum) @ right.T)

    return build


@pytest.fixture(params=["direct", "gram"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test through the direct SVD and through chunked Gram matrices."""
    if request.param == "gram":
        monkeypatch.setattr(tables, "DIRECT_ENTRIES", 0)
        monkeypatch.setattr(tables, "CHUNK_ENTRIES", 50)
    return str(request.param)


@pytest.fixture
def random_tables() -> torch.Tensor:
    """Float32 rows of the four fields of `sizes`, 6 columns."""
    return torch.randn(sum(SIZES), 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def sizes() -> list[int]:
    """Vocabulary sizes: one id, fewer ids than columns, more, many more."""
    return list(SIZES)


SIZES = (1, 3, 20, 200)
