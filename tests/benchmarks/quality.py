"""What an evaluation costs beside its forward pass: the exact AUC, and the spectra of the tables."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from recscale.collapse.tables import measure_tables
from recscale.training.metrics import roc_auc, score_predictions
from tests.benchmarks.ceilings import seconds
from tests.benchmarks.measure import Row, Side, alternate, anonymous_bytes, compared
from tests.benchmarks.world import vocabulary_sizes

PREDICTIONS = 5_000_000
DIM = 100


def measure(repeats: int, rows: int = PREDICTIONS) -> Iterator[Row]:
    """AUC against scikit-learn's; spectra against numpy's SVD of every table."""
    ours, baseline = alternate(Side.ours(our_auc, rows), Side.baseline(their_auc, rows), repeats)
    with Side.ours(all_metrics, rows) as side:
        note = f"{rows:,} predictions; with log loss, normalized entropy and calibration {side():.2f} s"
    yield compared("exact AUC", ours, baseline, "s", "< 2 s", note)
    ours, baseline = alternate(Side.ours(our_spectra), Side.baseline(their_spectra), max(repeats // 2, 1))
    with Side.ours(spectra_memory) as side:
        extra = side()
    note = f"39 fields, 1.1M ids, K = {DIM}, spectra, metrics and weighting by frequency; {extra / 1e6:.0f} MB extra"
    yield compared("spectra", ours, baseline, "s", "< 5 s, < 1 GB", f"{note}; median {median(ours):.1f} s")


def predictions(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with some signal, and labels."""
    generator = torch.Generator().manual_seed(0)
    logit_B = torch.randn(rows, generator=generator) - 1
    return logit_B, (torch.rand(rows, generator=generator) < torch.sigmoid(logit_B)).float()


def our_auc(rows: int) -> Callable[[], float]:
    logit_B, label_B = predictions(rows)
    return lambda: seconds(lambda: roc_auc(logit_B, label_B))


def all_metrics(rows: int) -> Callable[[], float]:
    logit_B, label_B = predictions(rows)
    return lambda: seconds(lambda: score_predictions(logit_B, label_B))


def their_auc(rows: int) -> Callable[[], float]:
    logit_B, label_B = (tensor.numpy() for tensor in predictions(rows))
    return lambda: seconds(lambda: roc_auc_score(label_B, logit_B))


def _tables() -> tuple[torch.Tensor, tuple[int, ...], list[np.ndarray]]:
    sizes = vocabulary_sizes()
    counts = [(1e6 / np.arange(1, size + 1)).astype(np.int64) for size in sizes]
    return torch.randn(sum(sizes), DIM, generator=torch.Generator().manual_seed(0)), sizes, counts


def our_spectra() -> Callable[[], float]:
    weight_VC, sizes, counts = _tables()
    return lambda: seconds(lambda: measure_tables(weight_VC, sizes, 1, counts))


def their_spectra() -> Callable[[], float]:
    weight_VC, sizes, _ = _tables()
    tables = [table.numpy() for table in weight_VC.split(list(sizes))]
    return lambda: seconds(lambda: [np.linalg.svd(table, compute_uv=False) for table in tables])


def spectra_memory() -> Callable[[], float]:
    """Bytes beyond the tables at the peak, by the kernel's own mark."""
    weight_VC, sizes, counts = _tables()

    def run() -> float:
        Path("/proc/self/clear_refs").write_text("5")
        before = anonymous_bytes()
        measure_tables(weight_VC, sizes, 1, counts)
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        mapped = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
        return float((int(peak.split()[1]) - int(mapped.split()[1])) * 1024 - before)

    return run
