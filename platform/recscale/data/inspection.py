"""What `recscale inspect` prints about a dataset."""

import numpy as np

from recscale.data.manifest import FieldInfo, Manifest, SplitInfo
from recscale.data.reader import Dataset


def describe(dataset: Dataset) -> str:
    """A dataset as text: source, splits, fields with their out-of-vocabulary share, options, ceiling, fingerprint."""
    manifest = dataset.manifest
    blocks = [
        _heading(dataset),
        _aligned([("split", "rows", "shards", "base rate"), *(_split_row(split) for split in manifest.splits)]),
        _aligned([("field", "kind", "ids", "min_count", "out of vocabulary"), *_field_rows(dataset)]),
        _aligned([("option", "value"), *manifest.options]) if manifest.options else "no preparation options",
    ]
    if manifest.bayes is not None:
        blocks.append(f"Bayes ceiling on test: AUC {manifest.bayes.auc:.6f}, log loss {manifest.bayes.log_loss:.6f}")
    return "\n\n".join(blocks) + "\n"


def _heading(dataset: Dataset) -> str:
    manifest = dataset.manifest
    return _aligned(
        [
            ("dataset", manifest.name),
            ("path", str(dataset.place)),
            ("fingerprint", manifest.fingerprint),
            ("source", _source(manifest)),
            ("rows read", f"{manifest.source.rows:,}"),
            ("rejected rows", f"{manifest.source.rejected_rows:,}"),
            ("duplicate rows", f"{manifest.source.duplicate_rows:,}"),
        ]
    )


def _source(manifest: Manifest) -> str:
    return " ".join([manifest.source.format, *manifest.source.files])


def _split_row(split: SplitInfo) -> tuple[str, ...]:
    return split.name, f"{split.rows:,}", str(len(split.shards)), f"{split.base_rate:.4f}"


def _field_rows(dataset: Dataset) -> list[tuple[str, ...]]:
    pairs = zip(dataset.manifest.fields, dataset.counts(), strict=True)
    return [_field_row(field, count_V) for field, count_V in pairs]


def _field_row(field: FieldInfo, count_V: np.ndarray) -> tuple[str, ...]:
    share = count_V[0] / count_V.sum()
    return field.name, field.kind, f"{field.vocabulary_size:,}", str(field.min_count), f"{share:.3%}"


def _aligned(rows: list[tuple[str, ...]]) -> str:
    """Rows of text in columns as wide as their widest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
