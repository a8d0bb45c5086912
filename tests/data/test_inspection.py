"""The description of a dataset says what the manifest and the vocabularies say."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recscale.data.inspection import describe
from recscale.data.manifest import SPLIT_NAMES, BayesCeiling, FieldInfo, SourceInfo
from recscale.data.reader import Dataset
from recscale.data.writer import DatasetWriter


def write(dest: Path, options: dict[str, str], bayes: BayesCeiling | None) -> Dataset:
    ids_BN = np.array([[0, 1], [1, 2], [2, 0], [0, 1]], np.int32)
    with DatasetWriter(dest) as writer:
        for split in SPLIT_NAMES:
            writer.write_rows(split, ids_BN, np.array([0, 1, 0, 0], np.uint8))
        for index, name in enumerate(("user", "price")):
            writer.write_vocabulary(name, index, pa.array([None, "a", "b"]), np.bincount(ids_BN[:, index], minlength=3))
        fields = (FieldInfo("user", "categorical", 3, 2), FieldInfo("price", "numeric", 3, 1))
        writer.finish(fields, SourceInfo("table", ("clicks.csv",), 12_345, 67, 8), options, bayes)
    return Dataset.open(dest)


@pytest.fixture
def lines(tmp_path: Path) -> list[list[str]]:
    text = describe(write(tmp_path / "shop", {"min_count": "2"}, BayesCeiling(0.8123, 0.4012)))
    return [line.split() for line in text.splitlines()]


def test_the_source_and_its_losses(lines: list[list[str]], tmp_path: Path) -> None:
    assert ["dataset", "shop"] in lines
    assert ["source", "table", "clicks.csv"] in lines
    assert ["rows", "read", "12,345"] in lines
    assert ["rejected", "rows", "67"] in lines
    assert ["duplicate", "rows", "8"] in lines
    assert ["fingerprint", Dataset.open(tmp_path / "shop").ref().fingerprint] in lines


def test_splits_fields_and_options(lines: list[list[str]]) -> None:
    assert ["train", "4", "1", "0.2500"] in lines
    assert ["user", "categorical", "3", "2", "50.000%"] in lines
    assert ["price", "numeric", "3", "1", "25.000%"] in lines
    assert ["min_count", "2"] in lines


def test_the_ceiling_only_where_it_is_known(lines: list[list[str]], tmp_path: Path) -> None:
    assert ["Bayes", "ceiling", "on", "test:", "AUC", "0.812300,", "log", "loss", "0.401200"] in lines
    text = describe(write(tmp_path / "other", {}, None))
    assert "Bayes" not in text
    assert "no preparation options" in text
