"""The ledger of a search: every sample that was tried and what became of it, and what follows from them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recscale.records import from_json, to_plain
from recscale.storage.location import Location, for_each, remove_tree, write_atomic
from recscale.study.search import SearchCell, near_edges
from recscale.study.tuned import TUNED_FIELDS, SearchPoint, TunedCell, TunedSettings, untuned_point

SAMPLES_FILE = "samples.parquet"
"""Name of the table of all samples inside the study's folder."""
SAMPLES_SCHEMA = pa.schema(
    [
        ("cell", pa.string()),
        ("family", pa.string()),
        ("variant", pa.string()),
        ("arm", pa.string()),
        ("scale", pa.float64()),
        ("num_sets", pa.int64()),
        ("sample", pa.int64()),
        *((name, pa.float64()) for name in TUNED_FIELDS),
        ("near_edges", pa.string()),
        ("ending", pa.string()),
        ("winner", pa.bool_()),
        ("valid_auc", pa.float64()),
        ("epochs", pa.float64()),
        ("seconds", pa.float64()),
        ("error", pa.string()),
    ]
)
"""Columns of samples.parquet; near_edges names settings near an end of their range, joined by +."""


class Ending(StrEnum):
    """What became of a sample."""

    RUNNING = "running"
    """It was started and has no outcome: it runs now, or was cut off and will go on from its checkpoint."""
    FINISHED = "finished"
    """Trained to its end."""
    STOPPED = "stopped"
    """Stopped early: others were better after as many evaluations."""
    DIVERGED = "diverged"
    """Its loss stopped being finite."""
    FAILED = "failed"
    """Its process died, or something else than its own loss went wrong: it will be tried again."""


OUTCOMES = (Ending.FINISHED, Ending.STOPPED, Ending.DIVERGED)
"""Endings that say something about the point; such a sample is never run again."""


@dataclass(frozen=True)
class Sample:
    """One point of a cell and what became of it."""

    number: int
    """Order in which the cell's samples were started, from 0."""
    point: SearchPoint
    """The values that were tried."""
    ending: Ending = Ending.RUNNING
    """running | finished | stopped | diverged | failed."""
    valid_auc: float | None = None
    """Best valid AUC of all evaluations; None before the first."""
    epochs: float | None = None
    """Passes over the train split."""
    seconds: float | None = None
    """Wall time of the attempt that ended."""
    error: str | None = None
    """What stopped a diverged or a failed sample."""


class Ledger:
    """Everything a cell's search has tried: <study>/search/<cell>/NNNN.json, and checkpoints of what runs."""

    def __init__(self, study_folder: Location, cell: SearchCell) -> None:
        self.cell = cell
        self.folder = study_folder / "search" / cell.cell_id

    def samples(self) -> tuple[Sample, ...]:
        """The samples that count for this search, by number."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: int(path.name.removesuffix(".json")))
        kept = paths[: self.cell.options.samples]
        return tuple(for_each(lambda path: from_json(Sample, path.read_bytes(), str(path)), kept, self.folder))

    def done(self) -> tuple[Sample, ...]:
        """Those with an outcome."""
        return tuple(sample for sample in self.samples() if sample.ending in OUTCOMES)

    def missing(self) -> tuple[int, ...]:
        """Numbers of the samples that have no outcome yet."""
        done = {sample.number for sample in self.done()}
        return tuple(number for number in range(self.cell.options.samples) if number not in done)

    def sample_id(self, number: int) -> str:
        """A sample's name among those of all cells."""
        return f"{self.cell.cell_id}-{number:04}"

    def pending(self) -> tuple[SearchPoint, ...]:
        """Points to run first: those that were started without an outcome; in a new search the untuned settings."""
        samples = self.samples()
        if not samples:
            return (self.first_point(),)
        return tuple(sample.point for sample in samples if sample.ending not in OUTCOMES)

    def first_point(self) -> SearchPoint:
        """The untuned settings, with the value of each range that has only one."""
        fixed = {name: low for name, (low, high) in self.cell.options.ranges.items() if low == high}
        return replace(untuned_point(self.cell.spec), **fixed)

    def start(self, point: SearchPoint) -> Sample:
        """The sample of a point that is about to run: the one that was cut off there, or a new one."""
        samples = self.samples()
        known = [each for each in samples if each.point == point and each.ending not in OUTCOMES]
        sample = known[0] if known else Sample(len(samples), point)
        self.write(replace(sample, ending=Ending.RUNNING, error=None))
        return sample

    def write(self, sample: Sample) -> None:
        """Keeps the sample; one that has an outcome needs its checkpoint no more."""
        content = json.dumps(to_plain(sample), indent=1, allow_nan=False).encode() + b"\n"
        write_atomic(self.folder / f"{sample.number:04}.json", content)
        if sample.ending in OUTCOMES:
            remove_tree(self.folder / sample.point.applied_to(self.cell.spec).trial_id)

    def winner(self) -> Sample | None:
        """The finished sample of the best valid AUC, the earliest of equals; None where none is finished.

        A stopped one was never the best: others were better after as many evaluations.
        """
        whole = [sample for sample in self.samples() if sample.ending is Ending.FINISHED]
        return max(whole, key=lambda sample: sample.valid_auc or 0.0, default=None)


def tuned_settings(ledgers: Sequence[Ledger]) -> TunedSettings:
    """The winners of all cells that have one."""
    cells = []
    for ledger in ledgers:
        winner, spec = ledger.winner(), ledger.cell.spec
        if winner is not None and winner.valid_auc is not None:
            cells.append(TunedCell(spec.model, spec.train, winner.point, winner.valid_auc, len(ledger.done())))
    return TunedSettings(ledgers[0].cell.spec.dataset_fingerprint if ledgers else None, tuple(cells))


def write_samples(study_folder: Location, ledgers: Sequence[Ledger]) -> Location:
    """Writes samples.parquet: every sample of every cell; its path."""
    rows = [row for ledger in ledgers for row in _rows(ledger)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SAMPLES_SCHEMA), sink)
    write_atomic(study_folder / SAMPLES_FILE, sink.getvalue().to_pybytes())
    return study_folder / SAMPLES_FILE


def _rows(ledger: Ledger) -> list[dict[str, Any]]:
    model, winner = ledger.cell.spec.model, ledger.winner()
    cell = {
        "cell": ledger.cell.cell_id,
        "family": model.family,
        "variant": model.variant.value,
        "arm": model.arm.value,
        "scale": model.scale,
        "num_sets": model.num_sets,
    }
    outcome = ("ending", "valid_auc", "epochs", "seconds", "error")
    return [
        {
            **cell,
            "sample": sample.number,
            **vars(sample.point),
            "near_edges": "+".join(near_edges(ledger.cell.options, sample.point)),
            **{name: getattr(sample, name) for name in outcome},
            "winner": sample == winner,
        }
        for sample in ledger.samples()
    ]
