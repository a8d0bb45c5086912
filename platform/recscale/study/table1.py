"""Table 1 of the paper beside ours, cell by cell, as text and as CSV."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean, stdev

from recscale.curves.published import RUNS, SOURCE, PublishedAuc, PublishedDataset, published_aucs
from recscale.errors import ConfigError
from recscale.records import Arm, TrialSpec
from recscale.study.curves import Finished

FAMILIES = ("dnn", "ipnn", "nfwfm", "xdeepfm", "dcnv2", "finalmlp")
"""Table 1's families, in its order."""
SCALES = (1.0, 2.0, 3.0, 4.0, 10.0)
"""Table 1's scales."""
CLEAR = 2.0
"""Standard errors from which a difference is marked."""


@dataclass(frozen=True)
class Table1Cell:
    """One cell of Table 1, ours and theirs."""

    family: str
    """Family of the model."""
    arm: str
    """SE | ME; the base is SE at scale 1."""
    scale: float
    """Embedding budget as a multiple of the base."""
    trials: int
    """Our finished trials."""
    ours: float | None
    """Mean test AUC of them; None where none has finished."""
    our_std: float | None
    """Standard deviation over our seeds; None with fewer than two."""
    theirs: float | None
    """Published mean test AUC; None where the paper has none."""
    their_std: float | None
    """Published standard deviation."""
    difference: float | None
    """ours - theirs."""
    standard_errors: float | None
    """The difference over sqrt(our_std^2 / trials + their_std^2 / 3); None where either spread is unknown."""


def check_cells(families: Sequence[str], scales: Sequence[float]) -> None:
    """ConfigError where Table 1 has no such family or scale."""
    for family in families:
        if family not in FAMILIES:
            raise ConfigError(f"Table 1 has no family {family!r}; expected some of {', '.join(FAMILIES)}")
    for scale in scales:
        if scale not in SCALES:
            raise ConfigError(f"Table 1 has no scale {scale:g}; expected some of {', '.join(f'{s:g}' for s in SCALES)}")


def published_dataset(source_format: str, name: str, against: PublishedDataset | None) -> PublishedDataset:
    """The one asked for, else the dataset's own; ConfigError where Table 1 does not have it."""
    if against is not None:
        return against
    if source_format not in {*PublishedDataset}:
        raise ConfigError(
            f"dataset {name!r} was prepared as {source_format!r}, Table 1 is about Criteo and Avazu; give --against "
            f"criteo or --against avazu to see them side by side all the same"
        )
    return PublishedDataset(source_format)


def table1_cells(
    trials: Sequence[TrialSpec], finished: Sequence[Finished], published: Sequence[PublishedAuc]
) -> tuple[Table1Cell, ...]:
    """The cells that the trials cover, in Table 1's order: base, single-, then multi-embedding, by scale."""
    theirs = {(cell.family, cell.arm, cell.scale): cell for cell in published}
    covered = {_key(spec) for spec in trials}
    ordered = sorted(covered, key=lambda key: (FAMILIES.index(key[0]), key[1] is Arm.MULTI, key[2]))
    ours = {key: [result.test.auc for spec, result in finished if _key(spec) == key] for key in ordered}
    return tuple(_cell(key, ours[key], theirs.get(key)) for key in ordered)


def _key(spec: TrialSpec) -> tuple[str, Arm, float]:
    return spec.model.family, spec.model.arm, spec.model.scale


def _cell(key: tuple[str, Arm, float], ours: Sequence[float], theirs: PublishedAuc | None) -> Table1Cell:
    family, arm, scale = key
    mean = fmean(ours) if ours else None
    std = stdev(ours) if len(ours) > 1 else None
    gap = mean - theirs.mean if mean is not None and theirs else None
    error = math.sqrt(std**2 / len(ours) + theirs.std**2 / RUNS) if std is not None and theirs else 0.0
    return Table1Cell(
        family=family,
        arm=arm.value,
        scale=scale,
        trials=len(ours),
        ours=mean,
        our_std=std,
        theirs=theirs.mean if theirs else None,
        their_std=theirs.std if theirs else None,
        difference=gap,
        standard_errors=gap / error if gap is not None and error else None,
    )


def table1_text(cells: Sequence[Table1Cell], against: PublishedDataset, dataset: str) -> str:
    """Both tables side by side, a line per cell, and what the marks mean."""
    head = ("family", "arm", "scale", "seeds", "ours", "theirs", "ours - theirs", "in std errors")
    rows = [head, *(_line(cell) for cell in cells)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    title = f"test AUC on {dataset} beside Table 1 on {against.value.title()} ({SOURCE}, {RUNS} runs)"
    legend = (
        f"in std errors: the difference over the standard error of both means, from the spreads over seeds; * from "
        f"{CLEAR:g} on; - where a spread is unknown"
    )
    return "\n".join([title, *lines, legend])


def table1_csv(cells: Sequence[Table1Cell]) -> bytes:
    """The cells as CSV, empty where a number is unknown."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Table1Cell)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(cell) for cell in cells)
    return text.getvalue().encode()


def table1_of(
    trials: Sequence[TrialSpec], finished: Sequence[Finished], against: PublishedDataset
) -> tuple[Table1Cell, ...]:
    """The cells beside what was published on that dataset."""
    return table1_cells(trials, finished, published_aucs(against))


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Words to the left, numbers to the right."""
    return [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _line(cell: Table1Cell) -> tuple[str, ...]:
    """One row of the table as text."""
    marked = "*" if cell.standard_errors is not None and abs(cell.standard_errors) >= CLEAR else " "
    return (
        cell.family,
        cell.arm,
        f"{cell.scale:g}x",
        str(cell.trials),
        _mean(cell.ours, cell.our_std),
        _mean(cell.theirs, cell.their_std),
        "-" if cell.difference is None else f"{cell.difference:+.5f}",
        ("-" if cell.standard_errors is None else f"{cell.standard_errors:+.1f}") + marked,
    )


def _mean(mean: float | None, std: float | None) -> str:
    """A mean with its spread where it has one."""
    if mean is None:
        return "-"
    return f"{mean:.5f}" if std is None else f"{mean:.5f} ± {std:.5f}"
